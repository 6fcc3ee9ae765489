"""Methods and the data sets of a collection: those that are told one, and those that know one alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from a2a.common.errors import InputError
from a2a.forward.completion import Completion
from a2a.forward.observation import Observation
from a2a.forward.scenario import Scenario
from a2a.forward.stack import StackSpec
from a2a.methods.interface import Any2all, Method, require


def known_datasets(method: Method) -> Mapping[str, Sequence[str]]:
    """Return the data sets that a method is told apart, each with the modalities seen there; none of most methods.

    Parameters
    ----------
    method
        Any2all or a compared method.
    """
    source = method.prior if isinstance(method, Any2all) else method
    found: Mapping[str, Sequence[str]] = getattr(source, "datasets", {})
    return found


def dataset_of(method: Method) -> str:
    """Return the identifier that a method is told; empty if it is told none.

    Parameters
    ----------
    method
        Any2all or a compared method.
    """
    source = method.prior if isinstance(method, Any2all) else method
    return str(getattr(source, "dataset", ""))


def told(method: Method, dataset: str) -> Any:
    """Return a method that completes subjects of one data set.

    Parameters
    ----------
    method
        Any2all or a compared method.
    dataset
        Identifier; empty where the method knows no data sets.

    Raises
    ------
    InputError
        If the method knows several and none is named, it knows none and one is named, or it does not know it.
    """
    known = known_datasets(method)
    if not known and not dataset:
        return method
    if not known:
        raise InputError(f"dataset: {method.name} knows no data sets, {dataset!r} means nothing to it; leave it out.")
    if not dataset:
        raise InputError(f"dataset: {method.name} knows several data sets; name one of {', '.join(sorted(known))}.")
    return method.told(dataset)  # type: ignore[attr-defined]


@dataclass(frozen=True, eq=False)
class OfOneDataset:
    """A method of some modalities in the place of one of more: it leaves the others open.

    Parameters
    ----------
    method
        For the modalities of one data set.
    spec
        All modalities of the collection.

    Raises
    ------
    InputError
        If the method has a modality that the collection has not.
    """

    method: Method
    spec: StackSpec

    def __post_init__(self) -> None:
        if unknown := [name for name in self.method.spec.names if name not in self.spec.names]:
            all_names = ", ".join(self.spec.names)
            raise InputError(f"{self.method.name}: its weights are of {unknown[0]}, which is none of {all_names}.")

    @property
    def name(self) -> str:
        """That of the method."""
        return self.method.name

    @property
    def size(self) -> int:
        """Height and width of its slices."""
        return self.method.size

    @property
    def digest(self) -> str:
        """SHA-256 of its weights."""
        return str(getattr(self.method, "digest", self.name))

    @property
    def channels(self) -> list[int]:
        """Where its modalities stand."""
        return [self.spec.index(name) for name in self.method.spec.names]

    def deterministic(self, observation: Observation) -> bool:
        """Whether all samples would be the same."""
        return self.method.deterministic(self._part(observation))

    def accepts(self, observation: Observation) -> str | None:
        """Return why the observation cannot be used: the method's own reason, or a modality that it does not know."""
        if observation.spec.names != self.spec.names:
            return f"the observation is of {', '.join(observation.spec.names)}, not of {', '.join(self.spec.names)}"
        given = [name for name, kind in zip(self.spec.names, observation.kinds, strict=True) if kind != "missing"]
        if unknown := [name for name in given if name not in self.method.spec.names]:
            return f"{' and '.join(unknown)} is given, but it knows {', '.join(self.method.spec.names)} only"
        return self.method.accepts(self._part(observation))

    def complete(
        self, observation: Observation, samples: int = 1, generators: Sequence[torch.Generator] | None = None
    ) -> Completion:
        """Complete its modalities; the others are NaN.

        Raises
        ------
        UnsupportedObservation
            With the reason of `accepts`.
        """
        require(self, observation)
        done = self.method.complete(self._part(observation), samples, generators)
        stacks = done.samples.new_full((*done.samples.shape[:2], len(self.spec), *done.samples.shape[3:]), torch.nan)
        stacks[:, :, self.channels] = done.samples
        return Completion(stacks, self.spec, done.seconds, done.evaluations)

    def _part(self, observation: Observation) -> Observation:
        """The observation of its own modalities."""
        return part(observation, self.channels, self.method.spec)


def part(observation: Observation, channels: Sequence[int], spec: StackSpec) -> Observation:
    """Return what was acquired of some modalities.

    Parameters
    ----------
    observation
        Of all.
    channels
        Where these stand.
    spec
        Their stack.
    """
    scenario, support = observation.scenario, observation.support
    kinds, labels = tuple(scenario.kinds[i] for i in channels), tuple(scenario.labels[i] for i in channels)
    return Observation(
        spec,
        Scenario(spec.names, kinds, labels),
        type(observation.operator)(tuple(observation.operator.blocks[i] for i in channels)),
        tuple(observation.data[i] for i in channels),
        tuple(observation.noise_std[i] for i in channels),
        None if support is None else support[:, list(channels)],
    )
