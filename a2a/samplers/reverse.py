"""The one loop that all samplers share: from noise at t = T-1 to a clean stack, in exactly `steps` evaluations."""

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from a2a.completion import Completion
from a2a.observation import Observation
from a2a.prior import Denoiser, to_image
from a2a.progress import progress
from a2a.rng import generators, randn

Update = Callable[[Tensor, Tensor, int, int], Tensor]
"""One step of a sampler: ``update(x_t, z, t, s) -> x_s`` with fresh noise z; s is the next time."""


def reverse(
    prior: Denoiser,
    observation: Observation,
    update_for: Callable[[Observation], Update],
    *,
    steps: int,
    spacing: float = 1.0,
    samples: int,
    rows: Sequence[torch.Generator] | None,
    batch: int,
    label: str,
) -> Completion:
    """Run a sampler's update from noise to completed stacks.

    Parameters
    ----------
    prior
        The denoiser.
    observation
        B observed stacks (all modalities missing: unconditional).
    update_for
        Makes the update for a part of the (sample, item) rows.
    steps
        Transitions, and network evaluations, of each sample.
    spacing
        Of the times, see `a2a.diffusion.NoiseSchedule.times`.
    samples
        Posterior samples S for each of the B items.
    rows
        One generator for each of the S * B rows, sample by sample (default ``generators(0, B, S)``). A row's
        result depends on its generator alone, not on `batch`.
    batch
        Rows that are computed together.
    label
        Text of the progress bar.

    Returns
    -------
    Completion
        Samples `(S, B, n, H, W)` in image units.
    """
    started = time.perf_counter()
    items, height, width = observation.shape
    draws = list(rows) if rows is not None else generators(0, items, samples)
    if len(draws) != samples * items:
        raise ValueError(f"rows must hold samples * items = {samples * items} generators, got {len(draws)}")
    everything, shape = observation.repeat(samples), (len(prior.spec), height, width)
    transitions, parts = prior.schedule.transitions(steps, spacing), range(0, len(draws), batch)
    bar, done = iter(progress(range(len(parts) * steps), label)), []
    for first in parts:
        part = slice(first, first + batch)
        update = update_for(everything[part].to(prior.like.device))
        x = randn(shape, draws[part], prior.like)
        for t, s in transitions:
            next(bar)
            x = update(x, randn(shape, draws[part], prior.like), t, s)
        done.append(to_image(prior.clamp(x)).cpu())
    for _ in bar:
        pass
    stacks = torch.cat(done).reshape(samples, items, *shape)
    return Completion(stacks, prior.spec, time.perf_counter() - started, steps)
