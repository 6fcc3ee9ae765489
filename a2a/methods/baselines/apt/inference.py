"""The two stages of APT (Shin et al. 2025, section 3.4): guided denoising from a good beginning, and unrolling.

All stacks are in [-1, 1]. Explained in the chapter "APT".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from a2a.common.rng import randn
from a2a.prior.schedule import END, NoiseSchedule

Estimate = Callable[[Tensor, int], Tensor]


@dataclass(frozen=True, eq=False)
class Guided:
    r"""A denoiser whose clean estimate is moved towards the given contrasts.

    .. math:: \hat x_0 \leftarrow \hat x_0 - \alpha \nabla_{x_t} \| A \hat x_0 - y \|

    The paper prints the square of the norm, its code has the norm, for which the published step size is made: of all
    pixels together a square with that step explodes.

    Parameters
    ----------
    schedule
        Of the noise.
    estimate
        Clean estimate of x_t at a time, with a gradient.
    stack
        ``(b, n, H, W)``; what it holds in missing contrasts does not matter.
    given
        Bool ``(b, n, 1, 1)``.
    generators
        One for each row.
    strength
        The step size alpha.
    guidance
        ``norm`` or ``squared``.
    """

    schedule: NoiseSchedule
    estimate: Estimate
    stack: Tensor
    given: Tensor
    generators: Sequence[torch.Generator]
    strength: float
    guidance: Literal["norm", "squared"] = "norm"

    def __call__(self, x: Tensor, t: int) -> Tensor:
        """Return the guided clean estimate of x_t."""
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            clean = self.estimate(x, t).clamp(-1, 1)
            misfit = torch.where(self.given, clean - self.stack, 0.0).flatten(1)
            size = misfit.norm(dim=1) if self.guidance == "norm" else misfit.square().sum(dim=1)
            (gradient,) = torch.autograd.grad(size.sum(), x)
        return clean.detach() - self.strength * gradient

    def noised(self, clean: Tensor, t: int) -> Tensor:
        """Return ``q(x_t | clean)`` with fresh noise; the clean stack itself at the end."""
        noise = randn(clean.shape[1:], self.generators, clean)
        return clean if t == END else self.schedule.diffuse(clean, torch.full((len(clean),), t), noise)


def first_stage(guided: Guided, begun: Tensor | None, start: int, steps: int) -> Tensor:
    """Denoise from time `start`; given contrasts are put back at every step, so that they end as they are.

    Every step noises its clean estimate anew, as the authors' code does: no posterior, no DDIM.

    Parameters
    ----------
    guided
        The denoiser.
    begun
        Stacks whose missing contrasts are noised to `start`, or None to begin with nothing but noise.
    start
        The time M.
    steps
        S, of `start`; S + 1 evaluations.
    """
    noise = randn(guided.stack.shape[1:], guided.generators, guided.stack)
    x = noise if begun is None else torch.where(guided.given, noise, guided.noised(begun, start))
    for t, s in guided.schedule.transitions(steps + 1, start=start):
        clean = torch.where(guided.given, guided.stack, guided(x, t))
        x = guided.noised(clean, s)
    return x


def unroll(
    guided: Guided, first: Tensor, times: tuple[int, int], repetitions: int, weight: float
) -> tuple[Tensor, Tensor]:
    """Average clean estimates at one time near the end; return the average and x at the later of the times.

    At the beginning missing contrasts are not noised, as in the authors' code.

    Parameters
    ----------
    guided
        The denoiser.
    first
        What the first stage made.
    times
        That of the repetitions, and the next.
    repetitions
        How many.
    weight
        Of the new estimate, w.
    """
    average, x = first, torch.where(guided.given, guided.noised(guided.stack, times[0]), first)
    for number in range(repetitions):
        average = (1 - weight) * average + weight * guided(x, times[0])
        x = guided.noised(average, times[1] if number == repetitions - 1 else times[0])
    return average, x


def second_stage(guided: Guided, first: Tensor, start: int, iterations: int, weight: float) -> Tensor:
    """Refine what the first stage made by iterative unrolling, then denoise the last two steps.

    Parameters
    ----------
    guided
        The denoiser.
    first
        What the first stage made.
    start
        Time of the repetitions.
    iterations
        Evaluations N, the two of the last steps among them.
    weight
        See `unroll`.
    """
    times = guided.schedule.times(3, start=start)
    _, x = unroll(guided, first, (times[0], times[1]), iterations - 2, weight)
    for t, s in ((times[1], times[2]), (times[2], END)):
        x = guided.noised(guided(x, t), s)
    return x
