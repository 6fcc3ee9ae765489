"""What the compared methods share: weights with their description, refusals, and one ``complete``.

Explained in the part "What it is compared with" of the book.
"""

import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import torch
from pydantic import StrictFloat, StrictInt, ValidationError
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from a2a.common.documents import validated
from a2a.common.errors import InputError
from a2a.common.escaping import shown
from a2a.common.files import write_atomically, write_json
from a2a.common.rng import spawn
from a2a.forward.completion import Completion
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.methods.interface import require
from a2a.prior.weights import Description, filled, read_weights, state_digest
from a2a.training.config import TrainConfig
from a2a.training.objective import Objective

C = TypeVar("C", bound=TrainConfig)
"""Configuration of a method's training."""


class MethodDescription(Description):
    """What the JSON beside the weights of a method says."""

    method: str
    fill: StrictFloat | StrictInt | str
    config: dict[str, Any]


def write_weights(
    path: Path, network: nn.Module, description: dict[str, Any], dtype: torch.dtype = torch.float32
) -> None:
    """Write the tensors of a network (.safetensors) and beside them a JSON: a description with their checksum.

    Parameters
    ----------
    path
        The file of the tensors.
    network
        Theirs.
    description
        What the JSON says.
    dtype
        Of the floating-point tensors in the file.
    """
    path, state = Path(path), network.state_dict()
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    tensors = {name: value.to(dtype) if value.is_floating_point() else value for name, value in tensors.items()}
    write_atomically(path, lambda part: part.write_bytes(to_bytes(tensors)))
    write_json(path.with_suffix(".json"), description | {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()})


@dataclass(frozen=True, eq=False)
class Baseline(ABC, Generic[C]):
    """A trained method for some observations.

    Parameters
    ----------
    network
        In evaluation mode.
    config
        The run that trained it; says the size of the network.
    spec
        The n modalities, in the order of the channels.
    size
        Height and width of the slices it was trained on.
    card
        Model card.
    batch
        Rows computed together.
    """

    network: nn.Module
    config: C
    spec: StackSpec
    size: int
    card: dict[str, Any] = field(default_factory=dict)
    batch: int = 16

    name: ClassVar[str]
    fill: ClassVar[float | str]
    """What stands in for a missing modality in the network's input; stored with the weights and checked."""
    options: ClassVar[tuple[str, ...]] = ()
    """Fields of the configuration that may be chosen anew for each completion, see `a2a.methods.options`."""
    Config: ClassVar[type[Any]]
    Objective: ClassVar[type[Objective]]
    """What a run of this method learns."""

    @classmethod
    @abstractmethod
    def build(cls, config: C, spec: StackSpec, size: int) -> nn.Module:
        """Make the network of a configuration, for stacks like `spec` of slices ``(size, size)``.

        Parameters
        ----------
        config
            The run that trains it.
        spec
            The modalities.
        size
            Height and width of the slices.
        """

    @abstractmethod
    def refuses(self, observation: Observation) -> str | None:
        """Return in words why an observation of the right modalities and size cannot be used, or None."""

    @abstractmethod
    def deterministic(self, observation: Observation) -> bool:
        """Whether all samples of a completion would be the same."""

    @abstractmethod
    def predict(self, observation: Observation, generators: Sequence[torch.Generator]) -> Tensor:
        """Complete some rows: ``(rows, n, H, W)`` in image units, NaN in modalities the method does not give."""

    def chosen(self, options: Mapping[str, Any]) -> Self:
        """Return the method with other values in some fields of its configuration.

        Parameters
        ----------
        options
            By name.

        Raises
        ------
        InputError
            If they do not go together.
        """
        try:
            config = self.Config.model_validate(self.config.model_dump() | dict(options))
        except ValidationError as error:
            raise InputError(f"{self.name}: {error.errors()[0]['msg'].removeprefix('Value error, ')}.") from None
        return replace(self, config=config)

    @property
    def evaluations(self) -> int:
        """Network evaluations for each sample."""
        return 1

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the weights, to say which of them made a result."""
        return state_digest(self.network.state_dict())

    def accepts(self, observation: Observation) -> str | None:
        """Return why the observation cannot be used, in words, or None if it can."""
        if observation.spec.names != self.spec.names:
            theirs, ours = ", ".join(observation.spec.names), ", ".join(self.spec.names)
            return f"the observation is of {theirs}, the weights are for {ours}"
        if observation.shape[1:] != (self.size, self.size):
            height, width = observation.shape[1:]
            return f"the slices are {height} x {width}, the weights are for {self.size} x {self.size}"
        return self.refuses(observation)

    @torch.no_grad()
    def complete(
        self, observation: Observation, samples: int = 1, generators: Sequence[torch.Generator] | None = None
    ) -> Completion:
        """Complete the stacks; clean modalities come back bit for bit.

        Parameters
        ----------
        observation
            B observed stacks.
        samples
            Completions S of each; more than one only where they differ.
        generators
            One generator for each of the S * B rows, sample by sample (default ``spawn(0, B, S)``).

        Returns
        -------
        Completion
            Samples ``(S, B, n, H, W)`` in image units; NaN in modalities that the method does not give.

        Raises
        ------
        UnsupportedObservation
            With the reason of `accepts`.
        InputError
            If several samples are asked of a method that would repeat itself.
        """
        require(self, observation)
        started = time.perf_counter()
        if samples > 1 and self.deterministic(observation):
            raise InputError(f"samples: {self.name} gives one answer to {observation.scenario!s}; ask for 1.")
        draws = list(generators) if generators is not None else spawn(0, observation.shape[0], samples)
        everything, like = observation.repeat(samples), next(self.network.parameters())
        parts = [slice(first, first + self.batch) for first in range(0, len(draws), self.batch)]
        stacks = torch.cat([self.predict(everything[part].to(like), draws[part]).cpu() for part in parts]).clamp(0, 1)
        clean = list(observation.scenario.indices("clean"))
        stacks[:, clean] = everything.adjoint[:, clean].to(stacks)
        shaped = stacks.unflatten(0, (samples, observation.shape[0]))
        return Completion(shaped, self.spec, time.perf_counter() - started, self.evaluations)

    def save(self, path: Path, dtype: torch.dtype = torch.float32) -> None:
        """Write ``path`` (.safetensors) and beside it a JSON that describes it.

        Parameters
        ----------
        path
            The file.
        dtype
            Of the weights; ``torch.float16`` makes the file half as large, as in ``weights/``.
        """
        description = {
            "method": self.name,
            "fill": self.fill,
            "config": self.config.model_dump(mode="json"),
            "spec": self.spec.to_list(),
            "size": self.size,
            "card": self.card,
        }
        write_weights(path, self.network, description, dtype)

    @classmethod
    def load(cls, path: Path, spec: StackSpec | None = None) -> Self:
        """Read weights of this method.

        Raises
        ------
        InputError
            If a file is missing or corrupt, or the weights are of another method, fill value, size or stack than they
            must be; the sentence names both sides.
        """
        path = Path(path)
        description, tensors = read_weights(path, MethodDescription, "a method")
        for key, wanted in (("method", cls.name), ("fill", cls.fill)):
            if (said := getattr(description, key)) != wanted:
                raise InputError(f"{path}: its {key} is {shown(repr(said), 40)}, but {cls.name} needs {wanted!r}.")
        found, size = StackSpec(description.spec), description.size
        if spec is not None and spec.names != found.names:
            raise InputError(
                f"{path}: these weights are for {', '.join(found.names)}, but {', '.join(spec.names)} are needed."
            )
        config = validated(path.with_suffix(".json"), description.config, cls.Config)
        network = filled(path, lambda: cls.build(config, found, size), tensors, cls.name)
        return cls(network, config, found, size, description.card.model_dump(mode="json", exclude_unset=True))
