"""DDPM and DDIM: samples of the prior itself."""

from collections.abc import Sequence

import torch
from torch import Tensor

from a2a.forward.completion import Completion
from a2a.forward.observation import Observation
from a2a.prior.denoiser import Denoiser
from a2a.prior.schedule import Spacing
from a2a.samplers.reverse import reverse


def ddim(
    prior: Denoiser,
    shape: tuple[int, int, int],
    *,
    steps: int = 150,
    eta: float = 0.0,
    spacing: Spacing = 1.0,
    samples: int = 1,
    rows: Sequence[torch.Generator] | None = None,
    batch: int = 16,
) -> Completion:
    """Sample the prior with DDIM (Song et al. 2021, Eq. 12); chapter "Unconditional samples".

    Parameters
    ----------
    prior
        The denoiser.
    shape
        ``(B, H, W)`` of what to sample.
    steps, eta
        Transitions; noise level (0 deterministic, 1 ancestral).
    spacing, samples, rows, batch
        See `a2a.samplers.reverse.reverse`.
    """
    nothing = Observation.build(prior.spec, {}, {}, shape)

    def update(x: Tensor, z: Tensor, t: int, s: int) -> Tensor:
        with torch.no_grad():
            x0 = prior.predict(x, t)
        return prior.schedule.step(x0, prior.schedule.left_in(x, x0, t), z, t, s, eta)

    label = f"sampling, {steps} steps"
    common = {"samples": samples, "rows": rows, "batch": batch, "label": label}
    return reverse(prior, nothing, lambda _: update, steps=steps, spacing=spacing, **common)


def ddpm(
    prior: Denoiser,
    shape: tuple[int, int, int],
    *,
    steps: int | None = None,
    samples: int = 1,
    rows: Sequence[torch.Generator] | None = None,
    batch: int = 16,
) -> Completion:
    """Sample the prior with the ancestral DDPM sampler (Ho et al. 2020, Algorithm 2).

    It is `ddim` with eta = 1, whose noise is the posterior variance, over all T times unless `steps` says fewer.
    """
    steps = prior.schedule.length if steps is None else steps
    return ddim(prior, shape, steps=steps, eta=1.0, samples=samples, rows=rows, batch=batch)
