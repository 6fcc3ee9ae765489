"""One interface for everything that completes a stack: Any2all and what it is compared with."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

import torch

from a2a.common.errors import UnsupportedObservation
from a2a.forward.completion import Completion
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.prior.prior import Prior
from a2a.samplers import mds, mps
from a2a.samplers.conditioned import Levels


class Weights(Protocol):
    """What was trained, a prior or a compared method: for which stack, which grid, and from what (its model card)."""

    spec: StackSpec
    size: int
    card: dict


class Method(Weights, Protocol):
    """Maps an observation to completed stacks."""

    name: str

    def deterministic(self, observation: Observation) -> bool:
        """Whether all samples of a completion would be the same."""

    def accepts(self, observation: Observation) -> str | None:
        """Return why the observation cannot be used, in words, or None if it can."""

    def complete(
        self, observation: Observation, samples: int = 1, rows: Sequence[torch.Generator] | None = None
    ) -> Completion:
        """Complete the stacks; see `a2a.samplers.reverse.reverse` for `samples` and `rows`."""


@dataclass(frozen=True)
class Any2all:
    """Any2all with one of its samplers.

    Parameters
    ----------
    prior
        The trained stack prior.
    sampler
        ``"mds"`` or ``"mps"``.
    steps
        Network evaluations; None takes the sampler's default.
    batch
        Rows computed together.
    errors, levels
        What MDS takes errors of the clean estimate for, and how it shows clean modalities to the network, see
        `a2a.samplers.mds.mds`; MPS does not ask.
    """

    prior: Prior
    sampler: Literal["mds", "mps"] = "mps"
    steps: int | None = None
    batch: int = 16
    errors: Literal["independent", "coupled"] = "independent"
    levels: Levels = "shared"

    @property
    def name(self) -> str:
        """``"any2all-mps"`` or that of `mds_name`."""
        return "any2all-mps" if self.sampler == "mps" else mds_name(self.errors, self.levels)

    @property
    def spec(self) -> StackSpec:
        """The modalities of the prior."""
        return self.prior.spec

    @property
    def size(self) -> int:
        """Height and width that the prior was trained for."""
        return self.prior.size

    @property
    def card(self) -> dict:
        """The prior's model card."""
        return self.prior.card

    def deterministic(self, observation: Observation) -> bool:
        """Never: it samples."""
        return False

    def accepts(self, observation: Observation) -> str | None:
        """Any observation of the prior's own modalities and size."""
        if observation.spec.names != self.prior.spec.names:
            theirs, ours = (", ".join(spec.names) for spec in (observation.spec, self.prior.spec))
            return f"the observation is of {theirs}, the prior of {ours}"
        height, width = observation.shape[1:]
        if (height, width) != (self.size, self.size):
            return f"its slices are {height} x {width}, the prior is for {self.size} x {self.size}"
        return None

    def complete(
        self, observation: Observation, samples: int = 1, rows: Sequence[torch.Generator] | None = None
    ) -> Completion:
        """Sample the posterior.

        Raises
        ------
        UnsupportedObservation
            If the observation is of other modalities than the prior, or of another size.
        """
        require(self, observation)
        sampler = partial(mds, errors=self.errors, levels=self.levels) if self.sampler == "mds" else mps
        steps = {} if self.steps is None else {"steps": self.steps}
        return sampler(self.prior, observation, samples=samples, rows=rows, batch=self.batch, **steps)


def mds_name(errors: Literal["independent", "coupled"], levels: Levels) -> str:
    """Name of MDS in tables: ``"any2all-mds"``, ``"-coupled"`` after it for such errors, ``"-own"`` for own levels."""
    return f"any2all-mds{'-coupled' if errors == 'coupled' else ''}{'-own' if levels == 'own' else ''}"


def require(method: Method, observation: Observation) -> None:
    """Raise `UnsupportedObservation` with the method's own reason if it does not accept the observation."""
    if reason := method.accepts(observation):
        raise UnsupportedObservation(f"{method.name} cannot use {observation.scenario!s}: {reason}.")
