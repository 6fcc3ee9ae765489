"""What the methods share that complete by diffusion with ADM's U-Net: sizes, and options of sampling."""

from typing import Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from a2a.common.errors import InputError
from a2a.common.rng import spawn
from a2a.data.store.read import Split
from a2a.methods.baselines.synthesis import SLICES, SynthesisConfig, scenario_vectors
from a2a.networks.unet import UNetConfig
from a2a.training.config import NetworkSize
from a2a.training.objective import Objective

BATCH = 16
Predicts = Literal["noise", "velocity"]


class ConditionalConfig(SynthesisConfig):
    """A run of such a method; every scenario that gives something is drawn from the first step on.

    Parameters
    ----------
    network
        Size of the U-Net; its ``patch`` and ``noise_levels`` are for priors.
    predicts
        What the network answers: ``noise``, as published, or ``velocity``. A small network that predicts noise knows
        nothing of an image where that is nearly all noise: its clean estimate enlarges what is wrong 150 times, and
        what it decides there, above all how bright an image is, stays.
    """

    network: NetworkSize = NetworkSize(
        width=128, multipliers=(1, 1, 2, 2, 4, 4), blocks=2, attention=(8, 16, 32), head_width=64
    )
    predicts: Predicts = "noise"
    curriculum: Literal["none"] = "none"
    nothing: Literal[False] = False
    batch: int = Field(8, ge=1)
    lr: float = Field(1e-4, gt=0)
    ema: float = Field(0.9999, ge=0, lt=1)

    @model_validator(mode="after")
    def _of_adm(self) -> "ConditionalConfig":
        if self.network.patch != 1 or self.network.noise_levels != "joint":
            raise ValueError("network: patch must be 1 and noise_levels joint; other values are for priors")
        return self

    def shape(self, modalities: int, size: int, stacks: int = 1) -> UNetConfig:
        """Return the sizes of the network.

        Parameters
        ----------
        modalities
            Of the stack.
        size
            Side of the slices.
        stacks
            How many stacks enter.

        Raises
        ------
        InputError
            If the network has more levels than the slices can be halved.
        """
        found = UNetConfig(modalities, **self.network.model_dump(), stacks=stacks)
        if size % found.stride:
            raise InputError(f"network: slices of side {size} do not fit, {found.stride} must divide the side.")
        return found


def target(predicts: Predicts, clean: Tensor, noise: Tensor, signal: Tensor, spread: Tensor) -> Tensor:
    """Return what a network is to answer of ``signal * clean + spread * noise``.

    Parameters
    ----------
    predicts
        See `ConditionalConfig`.
    clean, noise
        ``(b, n, H, W)``.
    signal, spread
        ``(b, 1, 1, 1)``.
    """
    return noise if predicts == "noise" else signal * noise - spread * clean


def noise_in(predicts: Predicts, answer: Tensor, x: Tensor, signal: Tensor | float, spread: Tensor | float) -> Tensor:
    """Return the noise in x that an answer stands for.

    Parameters
    ----------
    predicts
        What the network answers.
    answer, x
        The answer and x_t, ``(b, n, H, W)``.
    signal, spread
        Square roots of abar and 1 - abar.
    """
    return answer if predicts == "noise" else spread * x + signal * answer


def wide(given: Tensor) -> Tensor:
    """Spread ``(b, n)`` over the pixels: ``(b, n, 1, 1)``."""
    return given[:, :, None, None]


def over_missing(error: Tensor, given: Tensor) -> Tensor:
    """Mean of an error over the missing modalities of each slice, each slice counting alike.

    Parameters
    ----------
    error
        ``(b, n, H, W)``.
    given
        Bool ``(b, n)``.
    """
    missing = (~given).to(error.dtype)
    return ((error.mean(dim=(2, 3)) * missing).sum(dim=1) / missing.sum(dim=1)).mean()


def validation_rows(split: Split) -> tuple[Tensor, Tensor, list[torch.Generator]]:
    """Return at most 64 slices, evenly spread over a split, what is given of each, and a generator for each.

    The scenarios that give something take turns.
    """
    rows = np.unique(np.linspace(0, len(split) - 1, min(SLICES, len(split))).round().astype(int))
    clean = torch.from_numpy(np.asarray(split.images[rows], np.float32))
    vectors = scenario_vectors(clean.shape[1])[1:]
    return clean, vectors[torch.arange(len(clean)) % len(vectors)], spawn(0, len(clean))


@torch.no_grad()
def mean_loss(objective: Objective, network: nn.Module, inputs: tuple[Tensor, ...]) -> float:
    """Mean of an objective's loss over rows, some of them at a time.

    Parameters
    ----------
    objective
        Its loss is a mean over rows.
    network
        Its product.
    inputs
        See `a2a.training.objective.Objective.loss`.
    """
    device, total = next(network.parameters()).device, 0.0
    for part in zip(*(each.split(BATCH) for each in inputs), strict=True):
        loss = objective.loss(objective.product, {objective.product: network}, tuple(one.to(device) for one in part))
        total += float(loss) * len(part[0])
    return total / len(inputs[0])
