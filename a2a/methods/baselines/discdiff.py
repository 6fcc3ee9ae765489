"""DisC-Diff (Mao et al. 2023, MICCAI): diffusion of one image given a degraded copy of it and another contrast.

Published for super-resolution; here, as in Any2all, the degraded copy is the zero-filled reconstruction of undersampled
k-space. The network never sees k-space, coil maps or mask. Explained in the chapter "DisC-Diff".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from a2a.common.errors import InputError
from a2a.common.rng import generator, randn
from a2a.common.units import to_image, to_model
from a2a.forward.observation import Observation
from a2a.forward.operators import LinearOperator
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.entropy import entropies, rows_of_entropy
from a2a.methods.baselines.learned_variance import step, variational_bound
from a2a.methods.baselines.reconstruction import Reconstruction, ReconstructionConfig, ReconstructionObjective, channels
from a2a.methods.registry import method
from a2a.networks.discdiff import DisCDiffNetwork
from a2a.networks.unet import UNetConfig
from a2a.prior.schedule import NoiseSchedule
from a2a.training.batches import STEP
from a2a.training.config import NetworkSize, Schedule

CHARBONNIER = 1e-6  # under the root: a perfect prediction costs 1e-3
TINY = 1e-8  # keeps the ratio of the disentanglement loss finite


class DisCDiffConfig(ReconstructionConfig):
    """Training of `DisCDiff`; the defaults are the published size and optimiser.

    Parameters
    ----------
    network
        Of each encoder and of the decoder.
    variance
        ``learned``, as published, or ``fixed`` to that of the posterior, which needs no variational bound.
    schedule
        Of the noise.
    sampling_steps
        Network evaluations of a completion.
    disentangling
        Weight of the disentanglement loss.
    curriculum
        Share of the steps, from the first on, in which simple slices come before complicated ones.
    """

    method: Literal["discdiff"] = "discdiff"
    network: NetworkSize = NetworkSize(
        width=96, multipliers=(1, 1, 2, 2, 3, 3), blocks=2, attention=(8, 16, 32), head_width=48
    )
    variance: Literal["learned", "fixed"] = "learned"
    schedule: Schedule = Schedule(kind="linear")
    sampling_steps: PositiveInt = 20
    disentangling: float = Field(1.0, ge=0)
    curriculum: float = Field(0.1, ge=0, le=1)
    batch: int = Field(5, ge=1)
    lr: float = Field(1e-4, gt=0)
    ema: float = Field(0.9999, ge=0, lt=1)

    @model_validator(mode="after")
    def _possible(self) -> "DisCDiffConfig":
        if self.sampling_steps > self.schedule.length:
            raise ValueError(f"sampling_steps: {self.sampling_steps}, but schedule has {self.schedule.length} times")
        if self.network.patch > 1:
            raise ValueError(f"network.patch: {self.network.patch}, but DisC-Diff folds no patches; leave it out")
        return self

    @property
    def noise(self) -> NoiseSchedule:
        """The noise schedule with its tables."""
        return NoiseSchedule(self.schedule.kind, self.schedule.length)


def charbonnier(difference: Tensor) -> Tensor:
    """Smoothed absolute error ``mean sqrt(d^2 + 1e-6)`` of each row, ``(b,)``."""
    return (difference.square() + CHARBONNIER).sqrt().flatten(1).mean(dim=1)


def disentanglement(common: Tensor, distinct: Tensor) -> Tensor:
    """L_com / L_dist of each row, ``(b,)``: common features shall agree, distinct ones shall differ.

    Each is the sum over the pairs of streams of the mean squared difference (Mao et al. 2023, joint loss; the authors'
    code has no 1e-8 in the denominator).

    Parameters
    ----------
    common, distinct
        Features of the streams, ``(b, 3, c, h, w)``.
    """
    return _spread(common) / (_spread(distinct) + TINY)


def _spread(features: Tensor) -> Tensor:
    first, second = torch.triu_indices(features.shape[1], features.shape[1], offset=1)
    return (features[:, first] - features[:, second]).square().mean(dim=(2, 3, 4)).sum(dim=1)


@dataclass(frozen=True, eq=False)
class DisCDiffObjective(ReconstructionObjective):
    """Noise prediction with Charbonnier loss, disentanglement and, for a learned variance, the variational bound."""

    config: DisCDiffConfig

    def optimiser(self, network: nn.Module) -> torch.optim.Optimizer:
        """AdamW without decay, as the authors do."""
        return torch.optim.AdamW(network.parameters(), lr=self.config.lr, weight_decay=0.0, fused=True)

    @cached_property
    def entropies(self) -> np.ndarray:
        """Rounded entropy of the target of each training slice, computed once, from training subjects only."""
        target = channels(self.config, self.store.spec)[1]
        return entropies(self.store.split("train").images[:, target])

    def rows(self, step: int, slices: int) -> list[int]:
        """From simple to complicated slices while the curriculum lasts, then every slice alike."""
        steps = round(self.config.curriculum * self.config.steps)
        if step >= steps:
            return super().rows(step, slices)
        draw = generator(self.config.seed, STEP, step)
        return rows_of_entropy(self.entropies, step / steps, self.config.batch, draw)

    def inputs(self, clean: Tensor, draws: list[torch.Generator], step: int) -> tuple[Tensor, ...]:
        """Return noisy target, times, zero-filled target, reference, true target and noise; images in [-1, 1]."""
        zero_filled, reference, target = map(to_model, super().inputs(clean, draws, step))
        schedule = self.config.noise
        times = torch.stack([torch.randint(schedule.length, (), generator=draw) for draw in draws])
        noise = randn(target.shape[1:], draws)
        return schedule.diffuse(target, times, noise), times, zero_filled, reference, target, noise

    def loss(self, name: str, networks: Mapping[str, nn.Module], inputs: tuple[Tensor, ...]) -> Tensor:
        """Return the mean over the rows of the sum of all terms."""
        noisy, times, zero_filled, reference, target, noise = inputs
        found = networks[name](noisy, times, zero_filled, reference)
        out = found.out.float()
        terms = charbonnier(noise - out[:, :1])
        terms = terms + self.config.disentangling * disentanglement(found.common.float(), found.distinct.float())
        if self.config.variance == "learned":
            schedule = self.config.noise
            signal, spread = schedule.coefficients(times, noisy)
            estimate = (noisy - spread * out[:, :1]) / signal
            terms = terms + variational_bound(schedule, target, noisy, times, estimate, out[:, 1:])
        return terms.mean()


@method
@dataclass(frozen=True, eq=False)
class DisCDiff(Reconstruction[DisCDiffConfig]):
    """Reconstructs by diffusion of the target, given its zero-filled image and the reference; several samples differ.

    See `DisCDiffConfig`.
    """

    config: DisCDiffConfig

    name: ClassVar[str] = "discdiff"
    Config: ClassVar[type[DisCDiffConfig]] = DisCDiffConfig
    Objective: ClassVar[type[DisCDiffObjective]] = DisCDiffObjective

    @classmethod
    def build(cls, config: DisCDiffConfig, spec: StackSpec, size: int) -> nn.Module:
        """Make the network; it sees two images, however many modalities the stack has.

        Raises
        ------
        InputError
            If the network has more levels than the slices can be halved.
        """
        shape = UNetConfig(1, **config.network.model_dump())
        if size % shape.stride:
            raise InputError(f"network: slices of side {size} do not fit, {shape.stride} must divide the side.")
        return DisCDiffNetwork(shape, 2 if config.variance == "learned" else 1)

    @property
    def evaluations(self) -> int:
        """Network evaluations for each sample."""
        return self.config.sampling_steps

    def deterministic(self, observation: Observation) -> bool:
        """It samples."""
        return False

    def reconstruct(
        self, zero_filled: Tensor, reference: Tensor, operator: LinearOperator, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """Sample by ancestral steps, the clean estimate clipped to [-1, 1]; the operator is not used."""
        schedule, given = self.config.noise, (to_model(zero_filled), to_model(reference))
        x = randn(zero_filled.shape[1:], generators, zero_filled)
        for t, s in schedule.transitions(self.config.sampling_steps):
            out = self.network(x, torch.full((len(x),), t, device=x.device), *given).out.float()
            abar, noise = schedule.abar(t), randn(x.shape[1:], generators, x)
            clean = ((x - (1 - abar) ** 0.5 * out[:, :1]) / abar**0.5).clamp(-1, 1)
            x = step(schedule, clean, x, noise, t, s, out[:, 1:] if self.config.variance == "learned" else None)
        return to_image(x)


DisCDiffObjective.method = DisCDiff
