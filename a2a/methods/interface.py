"""One interface for everything that completes a stack: Any2all and what it is compared with."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch

from a2a.common.errors import InputError, UnsupportedObservation
from a2a.forward.completion import Completion
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.prior.engine import OnnxPrior
from a2a.prior.prior import Prior
from a2a.samplers.table import find_sampler

ANY2ALL = "any2all"


class Weights(Protocol):
    """What was made for a certain stack and grid, with a model card that says how its data were prepared."""

    @property
    def spec(self) -> StackSpec:
        """Its modalities."""

    @property
    def size(self) -> int:
        """Height and width of its slices."""

    @property
    def card(self) -> dict[str, Any]:
        """Model card."""


class Method(Protocol):
    """Maps an observation to completed stacks."""

    @property
    def name(self) -> str:
        """Name in tables and on the command line."""

    @property
    def spec(self) -> StackSpec:
        """Its modalities."""

    @property
    def size(self) -> int:
        """Height and width of its slices."""

    def deterministic(self, observation: Observation) -> bool:
        """Whether all samples of a completion would be the same."""

    def accepts(self, observation: Observation) -> str | None:
        """Return why the observation cannot be used, in words, or None if it can."""

    def complete(
        self, observation: Observation, samples: int = 1, generators: Sequence[torch.Generator] | None = None
    ) -> Completion:
        """Complete the stacks; see `a2a.samplers.reverse.reverse` for `samples` and `generators`.

        Parameters
        ----------
        observation
            B observed stacks.
        samples
            Completions S of each.
        generators
            One for each of the S * B rows, sample by sample.
        """


@dataclass(frozen=True)
class Any2all:
    """Any2all with one of its samplers.

    Parameters
    ----------
    prior
        The trained stack prior, or the same in ONNX Runtime, for samplers without gradients.
    sampler
        A name of `a2a.samplers.table.samplers`: ``"mds"`` or ``"mps"``.
    options
        Of the sampler, such as ``{"steps": 10}``; what is not named is at its default.
    batch
        Rows computed together.

    Raises
    ------
    InputError
        If there is no such sampler, or it has no such option.
    """

    prior: Prior | OnnxPrior
    sampler: str = "mds"
    options: Mapping[str, Any] = field(default_factory=dict)
    batch: int = 16

    def __post_init__(self) -> None:
        find_sampler(self.sampler).options(self.options)

    @property
    def name(self) -> str:
        """``"any2all-mds"`` and what was chosen, see `a2a.samplers.table.Sampler.label`."""
        return find_sampler(self.sampler).label(self.options)

    def told(self, dataset: str) -> "Any2all":
        """Return the method for one of the data sets that the prior learned, see `a2a.prior.prior.Prior.told`.

        Raises
        ------
        InputError
            If the prior does not know it, or is one in ONNX Runtime.
        """
        if not isinstance(self.prior, Prior):
            raise InputError("engine: ONNX Runtime is not told the data set; take the engine torch.")
        return replace(self, prior=self.prior.told(dataset))

    @property
    def spec(self) -> StackSpec:
        """The modalities of the prior."""
        return self.prior.spec

    @property
    def size(self) -> int:
        """Height and width that the prior was trained for."""
        return self.prior.size

    @property
    def card(self) -> dict[str, Any]:
        """The prior's model card."""
        return self.prior.card

    @property
    def digest(self) -> str:
        """SHA-256 of the weights that answer, with those of an expert where modalities are told as they are."""
        told = self.options.get("noise_levels") == "per-modality"
        return self.prior.digest_with_expert if told else self.prior.digest

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
        self, observation: Observation, samples: int = 1, generators: Sequence[torch.Generator] | None = None
    ) -> Completion:
        """Sample the posterior.

        Raises
        ------
        UnsupportedObservation
            If the observation is of other modalities than the prior, or of another size.
        """
        require(self, observation)
        much = {"samples": samples, "generators": generators, "batch": self.batch}
        return find_sampler(self.sampler).function(self._asked(observation), observation, **self.options, **much)

    def _asked(self, observation: Observation) -> Prior | OnnxPrior:
        """The prior for what is given; it warns of modalities that its data set never had."""
        if not (isinstance(self.prior, Prior) and self.prior.absent):
            return self.prior
        absent, names = self.prior.absent, self.spec.names
        said = f"data set {self.prior.dataset} had no {' and no '.join(names[i] for i in absent)}"
        warnings.warn(f"{said}; what {self.name} makes with or of it is a guess.", stacklevel=3)
        return replace(self.prior, absent=tuple(i for i in absent if observation.kinds[i] == "missing"))


def require(method: Method, observation: Observation) -> None:
    """Raise `UnsupportedObservation` with the method's own reason if it does not accept the observation."""
    if reason := method.accepts(observation):
        raise UnsupportedObservation(f"{method.name} cannot use {observation.scenario!s}: {reason}.")
