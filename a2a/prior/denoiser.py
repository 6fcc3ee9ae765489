"""What a sampler needs of a prior, trained or exact. Explained in the chapter "The diffusion prior"."""

from collections.abc import Sequence
from typing import Literal, Protocol

import torch
from torch import Tensor

from a2a.forward.stack import StackSpec
from a2a.prior.schedule import NoiseSchedule

Times = int | Sequence[int]


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x.clamp(-1, 1)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return gradient


def clamped(x: Tensor) -> Tensor:
    """Clamp to [-1, 1] with the identity as gradient, so that guidance has no dead zone."""
    return _StraightThrough.apply(x) if x.requires_grad else x.clamp(-1, 1)


class Denoiser(Protocol):
    """Estimates the clean stack: `a2a.prior.prior.Prior` and `a2a.prior.gaussian.GaussianPrior` both do."""

    @property
    def spec(self) -> StackSpec:
        """The modalities."""

    @property
    def schedule(self) -> NoiseSchedule:
        """The noise schedule."""

    @property
    def noise_levels(self) -> Literal["joint", "per-modality"]:
        """The noise levels that it is told: one for the stack, or one for each modality."""

    @property
    def like(self) -> Tensor:
        """An empty tensor with the dtype and device in which this prior works."""

    def predict(self, x: Tensor, t: Times) -> Tensor:
        """Return the clean estimate E[x_0 | x_t], shaped like `x` (model range).

        t is the time of the stack, or one for each modality where the prior knows levels of their own. The noise that
        belongs to an estimate is what it leaves of x_t, `a2a.prior.schedule.NoiseSchedule.left_in`.
        """

    def variance(self, t: int) -> Tensor:
        """Mean squared error of the clean estimate at time t, `(n,)` in squared image units."""

    def error_covariance(self, t: int) -> Tensor:
        """Covariance of that error between modalities in each band, `(K, n, n)`; see `a2a.prior.frequency_bands`."""

    def clamp(self, x: Tensor) -> Tensor:
        """Bring `x` (model range) into the range that data can have, with a straight-through gradient."""
