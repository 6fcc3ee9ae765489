"""DDPM and DDIM: samples of the prior itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from a2a.forward.completion import Completion
from a2a.forward.observation import Observation
from a2a.prior.denoiser import Denoiser
from a2a.prior.schedule import Spacing
from a2a.samplers.reverse import OnStep, reverse
from a2a.samplers.spread import noise_of_a_step
from a2a.samplers.table import Eta


def ddim(
    prior: Denoiser,
    shape: tuple[int, int, int],
    *,
    steps: int = 150,
    eta: Eta = 0.0,
    spacing: Spacing = 1.0,
    samples: int = 1,
    generators: Sequence[torch.Generator] | None = None,
    batch: int = 16,
    on_step: OnStep | None = None,
) -> Completion:
    """Sample the prior with DDIM (Song et al. 2021, Eq. 12); chapter "Unconditional samples".

    Parameters
    ----------
    prior
        The denoiser.
    shape
        ``(B, H, W)`` of what to sample.
    steps, eta
        Transitions; noise level (0 deterministic, 1 ancestral, ``"optimal"``: see `a2a.samplers.spread`).
    spacing, samples, generators, batch, on_step
        See `a2a.samplers.reverse.reverse`.
    """
    nothing = Observation.build(prior.spec, {}, {}, shape)
    level, noise = noise_of_a_step(prior, eta, list(range(len(prior.spec))), [])
    step = DDIMStep(prior, level, noise)
    return reverse(
        prior, nothing, lambda part, draws: step, f"sampling, {steps} steps", steps=steps, spacing=spacing,
        samples=samples, generators=generators, batch=batch, on_step=on_step,
    )  # fmt: skip


@dataclass(frozen=True)
class DDIMStep:
    """One step of DDIM with noise level `eta` and the noise of `a2a.samplers.spread.noise_of_a_step`."""

    prior: Denoiser
    eta: float
    noise: Callable[[Tensor, int, int], Tensor]

    @torch.no_grad()
    def step(self, x: Tensor, z: Tensor, t: int, s: int) -> tuple[Tensor, Tensor]:
        """See `a2a.samplers.reverse.Step`."""
        schedule, x0 = self.prior.schedule, self.prior.predict(x, t)
        return schedule.step(x0, schedule.left_in(x, x0, t), self.noise(z, t, s), t, s, self.eta), x0


def ddpm(
    prior: Denoiser,
    shape: tuple[int, int, int],
    *,
    steps: int | None = None,
    samples: int = 1,
    generators: Sequence[torch.Generator] | None = None,
    batch: int = 16,
) -> Completion:
    """Sample the prior with the ancestral DDPM sampler (Ho et al. 2020, Algorithm 2).

    It is `ddim` with eta = 1, whose noise is the posterior variance.

    Parameters
    ----------
    prior
        The denoiser.
    shape
        ``(B, H, W)`` of what to sample.
    steps
        Transitions; None takes all T times.
    samples, generators, batch
        See `a2a.samplers.reverse.reverse`.
    """
    steps = prior.schedule.length if steps is None else steps
    return ddim(prior, shape, steps=steps, eta=1.0, samples=samples, generators=generators, batch=batch)
