"""What the methods share that make missing modalities from clean ones: scenarios, inputs, refusals, validation.

A given modality enters as it is and leaves as it is; in the place of a missing one stands a constant, and where nothing
is given at all, noise. Explained in the chapter "mmGAN".
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from a2a.common.rng import generator, randn, spawn
from a2a.data.store.read import Split
from a2a.forward.observation import Observation
from a2a.methods.baselines.base import Baseline
from a2a.training.config import TrainConfig

SCENARIO = 3  # purpose of a random stream, part of the key
SLICES = 64


class SynthesisConfig(TrainConfig):
    """How scenarios are drawn in training; each method adds its sizes.

    Parameters
    ----------
    curriculum
        ``clean``: over the first half of the run, in n - 1 equal stages, at most 1, 2, ... modalities are missing;
        ``official``: as mm-gan does, whose stages open groups of equally many missing modalities only in part;
        ``none``: every scenario from the first step.
    scenario_for
        Whether each ``slice`` has a scenario of its own, or all slices of a ``step`` share one, as in mm-gan.
    nothing
        Whether the scenario in which nothing is given is trained (Any2all's extension); it enters after the curriculum.
    """

    curriculum: Literal["clean", "official", "none"] = "clean"
    scenario_for: Literal["slice", "step"] = "slice"
    nothing: bool = True


class GivenConfig(SynthesisConfig):
    """Of methods that look at given modalities only: there must be one, and all slices of a step share a scenario."""

    scenario_for: Literal["step"] = "step"
    nothing: Literal[False] = False


@lru_cache(maxsize=8)
def scenario_vectors(modalities: int) -> Tensor:
    """All ways to give some of n modalities, but not all of them: bool ``(2^n - 1, n)``, True where given.

    Row 0 gives nothing; the others follow in the order of mm-gan: by the number of given modalities, then as binary
    numbers.
    """
    numbers = torch.arange(2**modalities - 1)
    bits = (numbers[:, None] >> torch.arange(modalities - 1, -1, -1)) % 2
    return bits[torch.argsort(bits.sum(dim=1), stable=True)].bool()


def open_scenarios(config: SynthesisConfig, modalities: int, step: int) -> range:
    """Rows of `scenario_vectors` that a step of the curriculum draws from, all with the same probability.

    With n modalities, stage k = 0, 1, ... lasts ``steps / (2 n - 2)`` steps. ``clean`` opens what lacks at most k + 1;
    ``official`` opens the rows from 1 + round((1 - k / (n - 1)) c) on, where c is how many rows lack more than one
    modality but not all: for n = 4 these are the rows 10, 7, 3 and 0 of Sharma and Hamarneh (2020), counted without
    the first.

    Parameters
    ----------
    config
        The run.
    modalities
        Their number n.
    step
        Of the optimiser.
    """
    vectors, last = scenario_vectors(modalities), modalities - 1
    stage = last if config.curriculum == "none" else 2 * last * step // config.steps
    if stage >= last:
        return range(0 if config.nothing else 1, len(vectors))
    missing = modalities - vectors.sum(dim=1)
    if config.curriculum == "clean":
        return range(int((missing > stage + 1).sum()), len(vectors))
    return range(1 + round((1 - stage / last) * (int((missing > 1).sum()) - 1)), len(vectors))


def draw_given(config: SynthesisConfig, modalities: int, step: int, draws: Sequence[torch.Generator]) -> Tensor:
    """Draw which modalities are given: bool ``(len(draws), modalities)``, a row for each slice of a step.

    Parameters
    ----------
    config
        The run.
    modalities
        Their number n.
    step
        Of the optimiser.
    draws
        A generator for each slice.
    """
    rows = open_scenarios(config, modalities, step)
    if config.scenario_for == "step":
        shared = torch.randint(rows.start, rows.stop, (), generator=generator(config.seed, SCENARIO, step))
        return scenario_vectors(modalities)[shared].expand(len(draws), -1)
    chosen = [int(torch.randint(rows.start, rows.stop, (), generator=draw)) for draw in draws]
    return scenario_vectors(modalities)[chosen]


def network_input(stack: Tensor, given: Tensor, fill: float, draws: Sequence[torch.Generator]) -> Tensor:
    """Fill the missing modalities with a constant, or, in rows that give nothing, with standard normal noise.

    Parameters
    ----------
    stack
        ``(b, n, H, W)`` in the range of the network; what it holds in missing modalities does not matter.
    given
        bool ``(b, n)``.
    fill
        Black, in the range of the network.
    draws
        A generator for each row; only rows that give nothing use theirs.
    """
    filled = torch.where(given[:, :, None, None], stack, fill)
    empty = [row for row in range(len(given)) if not given[row].any()]
    if empty:
        filled[empty] = randn(stack.shape[1:], [draws[row] for row in empty], stack)
    return filled


def passed_through(answer: Tensor, entered: Tensor, given: Tensor) -> Tensor:
    """Put given modalities in place of the network's answer: a x + (1 - a) y (implicit conditioning).

    Parameters
    ----------
    answer
        Of the network, ``(B, n, H, W)``.
    entered
        What it was given, of the same shape.
    given
        Which modalities those are, boolean ``(B, n)``.
    """
    return torch.where(given[:, :, None, None], entered.to(answer.dtype), answer)


def by_scenario(answer: Callable[[Tensor, list[int]], Tensor], images: Tensor, given: Tensor) -> Tensor:
    """Answer rows of which the same modalities are given together.

    Parameters
    ----------
    answer
        Maps rows and the channels that are given to images ``(rows, n, H, W)``.
    images
        ``(b, n, H, W)``.
    given
        bool ``(b, n)``.
    """
    answers = torch.empty_like(images)
    for vector in given.unique(dim=0):
        rows = (given == vector).all(dim=1)
        answers[rows] = answer(images[rows], vector.nonzero().flatten().tolist()).to(images.dtype)
    return answers


S = TypeVar("S", bound=SynthesisConfig)


class Synthesis(Baseline[S]):
    """A method for clean and missing modalities in any combination."""

    @abstractmethod
    def fill_in(self, images: Tensor, given: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Complete rows that may have different modalities given.

        Parameters
        ----------
        images
            ``(b, n, H, W)`` in [0, 1]; missing modalities hold anything.
        given
            bool ``(b, n)``.
        generators
            A generator for each row.

        Returns
        -------
        torch.Tensor
            ``(b, n, H, W)`` in image units.
        """

    def refuses(self, observation: Observation) -> str | None:
        """K-space, and nothing at all if that was not trained."""
        measured = [self.spec.names[i] for i in observation.scenario.indices("measured")]
        if measured:
            return f"it takes clean images only, but {' and '.join(measured)} is given as k-space"
        if not observation.scenario.indices("clean") and not self.config.nothing:
            return "it was not trained to make images from nothing, give at least one modality"
        return None

    def deterministic(self, observation: Observation) -> bool:
        """The noise in place of an empty input is the only randomness; methods that draw more say so."""
        return bool(observation.scenario.indices("clean"))

    def predict(self, observation: Observation, generators: Sequence[torch.Generator]) -> Tensor:
        """Complete rows that are observed alike."""
        images = observation.adjoint
        given = torch.tensor([kind == "clean" for kind in observation.kinds], device=images.device)
        return self.fill_in(images, given.expand(len(images), -1), generators)


@torch.no_grad()
def validation_error(method: Synthesis[Any], split: Split) -> float:
    """Mean absolute error of the missing modalities, in image units.

    At most 64 slices, evenly spread over the split; the scenarios that give something take turns, so that each slice
    has always the same one, and the same noise.
    """
    chosen = np.unique(np.linspace(0, len(split) - 1, min(SLICES, len(split))).round().astype(int))
    clean = torch.from_numpy(np.asarray(split.images[chosen], dtype=np.float32))
    vectors, device = scenario_vectors(len(method.spec))[1:], next(method.network.parameters()).device
    given, generators = vectors[torch.arange(len(clean)) % len(vectors)], spawn(0, len(clean))
    parts = [slice(first, first + method.batch) for first in range(0, len(clean), method.batch)]
    answers = [method.fill_in(clean[part].to(device), given[part].to(device), generators[part]).cpu() for part in parts]
    error = (torch.cat(answers).clamp(0, 1) - clean).abs().mean(dim=(2, 3))
    return float(error[~given].mean())
