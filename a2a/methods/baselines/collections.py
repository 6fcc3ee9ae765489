"""What the methods share that learn from several data sets at once, of which no subject has every modality.

They are told the data set; a step shows slices of one data set that have the same modalities (MCBS); and what a subject
does not have is neither given nor asked for.
"""

import warnings
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal, Self, TypeVar

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from a2a.common.errors import InputError
from a2a.common.rng import generator, spawn
from a2a.data.store.datasets import identifiers, keys_of, owner, seen_modalities
from a2a.data.store.read import SliceStore
from a2a.forward.completion import Completion
from a2a.forward.observation import Observation
from a2a.methods.baselines.adversarial import GanObjective
from a2a.methods.baselines.synthesis import (
    SCENARIO,
    SLICES,
    GivenConfig,
    Synthesis,
    by_scenario,
    open_scenarios,
    scenario_vectors,
)
from a2a.training.batches import consistent_rows
from a2a.training.config import Count


class CollectionConfig(GivenConfig):
    """How slices of several data sets are drawn in training.

    Parameters
    ----------
    batches
        ``consistent``: all slices of a step are of one data set and have the same modalities, see
        `a2a.training.batches.consistent_rows`; ``shuffled``: any slices, and then one for a step.
    """

    batches: Literal["consistent", "shuffled"] = "consistent"
    batch: int = Field(16, ge=1)

    @model_validator(mode="after")
    def _of_one_kind(self) -> "CollectionConfig":
        if self.batches == "shuffled" and self.batch > 1:
            raise ValueError(f"batches: shuffled shows one slice a step, but batch is {self.batch}; set it to 1")
        return self


def require_sources(available: Tensor, sources: Tensor) -> None:
    """Refuse a condition that no step may have.

    Parameters
    ----------
    available
        Which modalities there is truth of, bool ``(n,)``.
    sources
        Which are given, bool ``(n,)``.

    Raises
    ------
    InputError
        If a source is not there, there is none, or nothing is left to learn.
    """
    if bool((sources & ~available).any()):
        absent = (sources & ~available).nonzero().flatten().tolist()
        raise InputError(f"sources: modalities {absent} are to be given, but the slices do not have them.")
    if not bool(sources.any()) or not bool((available & ~sources).any()):
        raise InputError("sources: at least one modality must be given, and one that is there must be left to make.")


K = TypeVar("K", bound=CollectionConfig)


@dataclass(frozen=True, eq=False)
class CollectionMethod(Synthesis[K]):
    """A method that is told the data set of what it completes.

    Parameters
    ----------
    dataset
        Identifier; by default the first one in the alphabet.
    """

    dataset: str = ""

    single: ClassVar[bool] = False
    """Whether it takes one given image only."""

    @property
    def datasets(self) -> dict[str, list[str]]:
        """The data sets that it learned, each with the modalities that were seen there."""
        found = self.card.get("datasets")
        if not isinstance(found, dict) or not found:
            raise InputError(f"card: the weights of {self.name} do not say which data sets they know (datasets).")
        return found

    @property
    def number(self) -> int:
        """What the network is told."""
        known = sorted(self.datasets)
        return known.index(self.dataset) if self.dataset else 0

    def told(self, dataset: str) -> Self:
        """Return the method for one of its data sets.

        Raises
        ------
        InputError
            If the weights do not know it; the message lists those they know.
        """
        if dataset not in self.datasets:
            raise InputError(f"dataset: these weights know {', '.join(sorted(self.datasets))}, not {dataset!r}.")
        return replace(self, dataset=dataset)

    def refuses(self, observation: Observation) -> str | None:
        """K-space, nothing at all and, for a method of one image, more than one."""
        clean = observation.scenario.indices("clean")
        if self.single and len(clean) > 1 and not observation.scenario.indices("measured"):
            names = " and ".join(self.spec.names[i] for i in clean)
            return f"it translates one image, but {names} are given"
        return super().refuses(observation)

    def complete(
        self, observation: Observation, samples: int = 1, generators: Sequence[torch.Generator] | None = None
    ) -> Completion:
        """Complete the stacks, see `a2a.methods.baselines.base.Baseline.complete`; and warn of what was never seen."""
        done = super().complete(observation, samples, generators)
        name = sorted(self.datasets)[self.number]
        scenario = observation.scenario
        involved = [self.spec.names[i] for i in (*scenario.indices("clean"), *scenario.indices("missing"))]
        if unseen := [one for one in involved if one not in self.datasets[name]]:
            said = f"data set {name} had no {' and no '.join(unseen)}; what {self.name} makes with or of it is a guess."
            warnings.warn(said, stacklevel=2)
        return done


@torch.no_grad()
def collection_error(method: CollectionMethod[Any], store: SliceStore) -> float:
    """Mean absolute error of modalities that are there and not given, in image units.

    At most 64 slices, evenly spread over the split ``val``; the scenarios of what a slice has take turns.

    Parameters
    ----------
    method
        Is told the data set of each slice.
    store
        A collection.
    """
    split, names = store.split("val"), identifiers(store)
    rows = np.unique(np.linspace(0, len(split) - 1, min(SLICES, len(split))).round().astype(int))
    owners, device, errors = owner(store, split), next(method.network.parameters()).device, []
    for turn, row in enumerate(rows.tolist()):
        images = torch.from_numpy(np.asarray(split.images[[row]], dtype=np.float32)).to(device)
        available = ~images[0].isnan().flatten(1).any(dim=1)
        vectors = scenario_vectors(int(available.sum()))[1:]
        vectors = vectors[vectors.sum(dim=1) == 1] if method.single else vectors
        if not len(vectors):
            continue
        given = torch.zeros_like(available)
        given[available] = vectors[turn % len(vectors)].to(device)
        answer = method.told(names[owners[row]]).fill_in(images.nan_to_num(0.0), given[None], spawn(0, 1))
        asked = available & ~given
        errors.append(float((answer[0, asked].clamp(0, 1) - images[0, asked]).abs().mean()))
    return float(np.mean(errors))


@dataclass(frozen=True, eq=False)
class CollectionObjective(GanObjective):
    """Training on several data sets at once, see `CollectionConfig`.

    Raises
    ------
    InputError
        If a subject has fewer than two modalities.
    """

    config: CollectionConfig

    incomplete: ClassVar[bool] = True

    @property
    @abstractmethod
    def method(self) -> type[CollectionMethod[Any]]:
        """What the finished generator becomes."""

    @cached_property
    def keys(self) -> tuple[tuple[int, tuple[bool, ...]], ...]:
        """Data set and available modalities of each training slice."""
        return keys_of(self.store, self.store.split("train"))

    def networks(self) -> dict[str, nn.Module]:
        """Generator and discriminators."""
        for subject, (_, available) in zip(self.store.split("train").subjects.tolist(), self.keys, strict=True):
            if sum(available) < 2:
                raise InputError(
                    f"{self.store.path}: subject {subject} has {sum(available)} modality; training needs one to give "
                    "and one to make, leave it out."
                )
        return super().networks()

    def rows(self, step: int, slices: int) -> list[int]:
        """Training slices of a step, of one kind."""
        if self.config.batches == "shuffled":
            return super().rows(step, slices)
        return consistent_rows(self.keys, self.config.seed, step, self.config.batch)

    def sources(self, available: Tensor, step: int) -> Tensor:
        """Draw which of the available modalities are given in a step, bool ``(n,)``, from easy to hard.

        Parameters
        ----------
        available
            bool ``(n,)``.
        step
            Of the optimiser.
        """
        count = int(available.sum())
        rows = open_scenarios(self.config, count, step)
        drawn = torch.randint(rows.start, rows.stop, (), generator=generator(self.config.seed, SCENARIO, step))
        given = torch.zeros_like(available)
        given[available] = scenario_vectors(count)[drawn]
        return given

    def inputs(self, clean: Tensor, draws: list[torch.Generator], step: int) -> tuple[Tensor, ...]:
        """Truth with 0 where there is none, what is available, what is given, and the number of the data set."""
        available = ~clean.isnan().flatten(2).any(dim=2)
        sources = self.sources(available[0], step)
        require_sources(available[0], sources)
        number = self.keys[self.rows(step, len(self.keys))[0]][0]
        return clean.nan_to_num(0.0), available, sources.expand_as(available), torch.full((len(clean),), number)

    def validation(self, network: nn.Module) -> float:
        """Mean absolute error of what was not given, see `collection_error`."""
        return collection_error(self.finished(network, {}), self.store)

    def finished(self, network: nn.Module, card: dict[str, Any]) -> CollectionMethod[Any]:
        """Wrap the generator; the card says which data sets it knows."""
        told = card | {"datasets": seen_modalities(self.store)}
        return self.method(network, self.config, self.store.spec, self.store.size, told)


class TranslationConfig(CollectionConfig):
    """Of methods that translate one image to one other and are told the site.

    Parameters
    ----------
    sites
        Data sets that the network has room for.
    curriculum
        None: one modality is given and one other is made, both drawn.
    """

    sites: Count = 4
    curriculum: Literal["none"] = "none"


@dataclass(frozen=True, eq=False)
class TranslationObjective(CollectionObjective):
    """Training on pairs of modalities that a data set has, all of a step alike."""

    config: TranslationConfig

    def networks(self) -> dict[str, nn.Module]:
        """Generator and perhaps a discriminator.

        Raises
        ------
        InputError
            If there are more data sets than the network has room for.
        """
        if (count := len(identifiers(self.store))) > self.config.sites:
            raise InputError(f"sites: {self.config.sites}, but {self.store.path} has {count} data sets.")
        return super().networks()

    def inputs(self, clean: Tensor, draws: list[torch.Generator], step: int) -> tuple[Tensor, ...]:
        """Images to translate and what they become, in image units; number of the data set, source and target."""
        available = ~clean[0].isnan().flatten(1).any(dim=1)
        draw = generator(self.config.seed, SCENARIO, step)
        pair = available.nonzero().flatten()[torch.randperm(int(available.sum()), generator=draw)[:2]]
        number = self.keys[self.rows(step, len(self.keys))[0]][0]
        told = (torch.full((len(clean),), value) for value in (number, *pair.tolist()))
        return clean[:, pair[:1]], clean[:, pair[1:]], *told


@dataclass(frozen=True, eq=False)
class TranslationMethod(CollectionMethod[K]):
    """A method that translates the one given image to each missing modality."""

    single: ClassVar[bool] = True

    @staticmethod
    def to_network(images: Tensor) -> Tensor:
        """Map [0, 1] to the range of the network."""
        return images

    @staticmethod
    def to_images(answer: Tensor) -> Tensor:
        """Map the range of the network to [0, 1]."""
        return answer

    def fill_in(self, images: Tensor, given: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Complete rows of one data set, with one image given in each."""

        def answer(rows: Tensor, sources: list[int]) -> Tensor:
            source, filled = sources[0], rows.clone()
            for target in set(range(rows.shape[1])) - set(sources):
                told = (torch.full((len(rows),), value, device=rows.device) for value in (self.number, source, target))
                made = self.network(self.to_network(rows[:, source : source + 1]), *told)
                filled[:, target] = self.to_images(made.float())[:, 0]
            return filled

        return by_scenario(answer, images, given)
