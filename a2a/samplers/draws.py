"""Fresh noise of some rows, and the Gaussian posterior that data make of a clean estimate: its mean, and its draws."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from a2a.common.rng import randn
from a2a.forward.observation import Observation
from a2a.prior.denoiser import Denoiser
from a2a.prior.schedule import NoiseSchedule
from a2a.samplers.prior_weight import prior_weight

Variance = Annotated[
    Literal["measured", "unit"],
    Field(description="of the clean estimate: its error on validation slices, or that of pixels of variance 1"),
]


@dataclass(frozen=True, eq=False)
class Draws:
    """Standard normal noise of some rows, each from its own generator.

    Parameters
    ----------
    generators
        One for each row.
    shape
        Of a row, `(n, H, W)`.
    like
        Gives device and dtype.
    correlate
        ``correlate(noise, draw=number)`` makes the noise of neighbouring slices go together, see
        `a2a.samplers.neighbours`.
    """

    generators: Sequence[torch.Generator]
    shape: tuple[int, ...]
    like: Tensor
    correlate: Callable[..., Tensor]
    _numbers: "count[int]" = field(default_factory=count)

    def images(self) -> Tensor:
        """Draw noise in every pixel, ``(B, n, H, W)``."""
        return self.correlate(randn(self.shape, self.generators, self.like), draw=next(self._numbers))

    def data(self, part: Observation) -> Tensor:
        """Draw the noise e that the data of some rows have and return Re(A^H e), ``(B, n, H, W)``, image units."""
        each = zip(part.operator.blocks, part.data, part.noise_std, strict=True)
        noise = [block.noisy(torch.zeros_like(y), std, self.generators) for block, y, std in each]
        return part.operator.adjoint(noise)


def answered(part: Observation, image: Tensor, variance: Tensor) -> Tensor:
    r"""Mean of :math:`x \sim N(\hat x, V I)` when the data are known.

    .. math:: \arg\min_x \tfrac{1}{2 \sigma^2} \|y - A x\|^2 + \tfrac{1}{2 V} \|x - \hat x\|^2

    Parameters
    ----------
    part
        B observed stacks.
    image
        The mean without data, ``(B, n, H, W)``, image units.
    variance
        V of each modality, ``(n,)`` or one number, squared image units.
    """
    return part.operator.prox(image, part.adjoint, prior_weight(part, variance))


def fluctuation(part: Observation, variance: Tensor, draws: Draws) -> Tensor:
    r"""Draw exactly from :math:`N(0, (A^H A / \sigma^2 + I / V)^{-1})`, what is open when the data are known.

    .. math:: \arg\min_x \tfrac{1}{2 \sigma^2} \|e - A x\|^2 + \tfrac{1}{2 V} \|x - \sqrt{V} z\|^2,
              \qquad e \sim N(0, \sigma^2 I), \quad z \sim N(0, I)

    One solve for what has the noise of the data on one side and that of the estimate on the other (Papandreou and
    Yuille 2010), in place of steps of Langevin dynamics. Zero where data without noise say everything.

    Parameters
    ----------
    part
        B observed stacks.
    variance
        V, see `answered`.
    draws
        Fresh noise of the rows.
    """
    z = draws.images()
    start = variance.sqrt().to(z).reshape(-1, 1, 1) * z
    return part.operator.prox(start, draws.data(part), prior_weight(part, variance))


def noise_variance(schedule: NoiseSchedule, t: int) -> Tensor:
    r"""Variance of the noise in :math:`x_t / \sqrt{\bar\alpha_t}`, one number in squared image units, float64."""
    abar = schedule.abar(t)
    return torch.tensor((1 - abar) / abar / 4, dtype=torch.float64)


def variance_of_estimate(prior: Denoiser, t: int, variance: Variance) -> Tensor:
    r"""Variance V that a clean estimate at time t is taken to have, ``(n,)`` or one number in squared image units.

    Parameters
    ----------
    prior
        The denoiser.
    t
        The time.
    variance
        ``"measured"``: its error on validation slices; ``"unit"``: :math:`1 - \bar\alpha_t` in the model's range, which
        is true of independent pixels of variance 1 (Song et al. 2023).
    """
    if variance == "measured":
        return prior.variance(t)
    return torch.tensor((1 - prior.schedule.abar(t)) / 4, dtype=torch.float64)
