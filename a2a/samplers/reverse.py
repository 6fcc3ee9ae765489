"""The one loop that all samplers share: from noise at t = T-1 to a clean stack, in exactly `steps` evaluations."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import zip_longest
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from a2a.common.errors import InputError, whole
from a2a.common.progress import progress
from a2a.common.rng import spawn
from a2a.common.units import to_image
from a2a.forward.completion import Completion
from a2a.forward.observation import Observation
from a2a.prior.denoiser import Denoiser
from a2a.prior.schedule import END, NoiseSchedule, Spacing
from a2a.samplers.draws import Draws
from a2a.samplers.neighbours import Neighbours

RESTART = 0.85  # share of the T times at which a restart begins: outlines are still open, the size of the head is not

_ALLOCATOR = "DefaultCPUAllocator"  # what PyTorch says where the memory of a processor ends

Passes = list[list[tuple[int, int]]]
"""Transitions (t, s) of one pass from noise to the clean stack after the other."""

OnStep = Callable[[int, Tensor, Tensor], None]
"""``on_step(t, x, x0)`` is called after every step with the time that it began at, its result and the clean estimate
that it took, both `(B, n, H, W)` in the model's range. It is called once for each batch of rows."""


class Step(Protocol):
    """What a sampler does to some rows in one step."""

    def step(self, x: Tensor, z: Tensor, t: int, s: int) -> tuple[Tensor, Tensor]:
        """Go from time t to the next time s.

        Parameters
        ----------
        x
            x_t, `(B, n, H, W)` in the model's range.
        z
            Fresh standard normal noise of the same shape.
        t, s
            This time and the next, `a2a.prior.schedule.END` after the last.

        Returns
        -------
        tuple of Tensor
            x_s, and the clean estimate that the step took.
        """


Again = Callable[[Observation, Tensor, int, int, Draws], Tensor]
"""``again(part, x0, t, s, draws)`` begins another pass at time s with x0, `(B, n, H, W)` in the model's range, where
the pass that began at t has ended; after the last pass s is `a2a.prior.schedule.END`."""


@torch.inference_mode(False)
@torch.enable_grad()
def reverse(
    prior: Denoiser,
    observation: Observation,
    step_for: Callable[[Observation, Draws], Step],
    label: str,
    *,
    steps: int,
    spacing: Spacing = 1.0,
    restarts: int = 0,
    passes: Passes | None = None,
    again: Again | None = None,
    rho: float = 0.0,
    samples: int,
    generators: Sequence[torch.Generator] | None,
    batch: int,
    on_step: OnStep | None = None,
) -> Completion:
    """Repeat a sampler's step from noise to completed stacks.

    Parameters
    ----------
    prior
        The denoiser.
    observation
        B observed stacks (all modalities missing: unconditional).
    step_for
        Makes the step for a part of the (sample, item) rows; a step that needs more noise than it is given takes it
        from their draws.
    label
        Text of the progress bar.
    steps
        Transitions, and network evaluations, of each sample, in all.
    spacing
        Of the times, see `a2a.prior.schedule.NoiseSchedule.times`.
    restarts
        How often a finished sample is noised again to t = 0.85 T and brought back (Xu et al. 2023). The evaluations are
        shared by all passes. A pass forgets part of what earlier ones decided too early, such as the brightness of a
        missing modality, and leaves the posterior as it is if the step is exact.
    passes
        All transitions, `steps` in all, in place of those that `steps`, `spacing` and `restarts` say; see
        `a2a.samplers.passes.annealed`.
    again
        How every pass but the first begins; by default with x0 noised again, whatever the data say of it.
    rho
        Correlation of the noise of neighbouring items, slices of one volume, see `a2a.samplers.neighbours`. With 0 a
        row's result depends on its own generator alone, else on those of the items before it, too.
    samples
        Posterior samples S for each of the B items.
    generators
        One generator for each of the S * B rows, sample by sample (default ``spawn(0, B, S)``). Results do not depend
        on `batch`.
    batch
        Rows that are computed together.
    on_step
        Called after every step, if given.

    Returns
    -------
    Completion
        Samples `(S, B, n, H, W)` in image units.

    Raises
    ------
    InputError
        If a setting is out of its range, the observation is of other modalities than the prior, `batch` rows do not fit
        the memory of the device, or samples come out that are not finite.
    """
    started = time.perf_counter()
    items, height, width = observation.shape
    if observation.spec.names != prior.spec.names:
        theirs, ours = (", ".join(spec.names) for spec in (observation.spec, prior.spec))
        raise InputError(f"observation: it is of {theirs}, but the prior is of {ours}.")
    for name, value in (("samples", samples), ("batch", batch)):
        whole(name, value, 1)
    draws = list(generators) if generators is not None else spawn(0, items, samples)
    if not len(draws) == len(set(map(id, draws))) == samples * items:
        wanted = f"samples * items = {samples * items} different generators"
        raise InputError(f"generators: must hold {wanted}, got {len(draws)}.")
    everything, shape = observation.repeat(samples), (len(prior.spec), height, width)
    passes = passes or _passes(prior.schedule, steps, spacing, restarts)
    parts = range(0, len(draws), batch)
    bar, done, neighbours = iter(progress(range(len(parts) * steps), label)), [], Neighbours(rho, items)
    for first in parts:
        part = slice(first, first + batch)
        try:
            rows = everything[part].to(prior.like)
            fresh = Draws(draws[part], shape, prior.like, partial(neighbours, first=first))
            begin = partial(again or partial(_noised, prior.schedule), rows)
            x = _walk(passes, step_for(rows, fresh), begin, fresh, on_step, bar)
            done.append(to_image(prior.clamp(x)).cpu())
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and not isinstance(error, torch.OutOfMemoryError):
                if _ALLOCATOR not in str(error):
                    raise
            raise InputError(_too_large(len(draws[part]))) from error
    for _ in bar:
        pass
    stacks = torch.cat(done).reshape(samples, items, *shape)
    if observation.support is not None:  # what data and their noise moved there
        stacks = torch.where(observation.support.cpu(), stacks, 0.0)
    if not bool(stacks.isfinite().all()):
        raise InputError(f"{label}: samples are not finite; look at the data, or take a smaller step size.")
    return Completion(stacks, prior.spec, time.perf_counter() - started, steps)


def _too_large(rows: int) -> str:
    advice = f"try batch = {rows // 2}" if rows > 1 else "use smaller slices, or a network with checkpointing"
    return f"batch: {rows} rows do not fit the memory of the device; {advice}."


def _noised(schedule: NoiseSchedule, part: Observation, x0: Tensor, t: int, s: int, draws: Draws) -> Tensor:
    """Begin another pass with x0 as it is: a restart."""
    abar = schedule.abar(s)
    return x0 if s == END else abar**0.5 * x0 + (1 - abar) ** 0.5 * draws.images()


def _walk(
    passes: Passes,
    step: Step,
    begin: Callable[[Tensor, int, int, Draws], Tensor],
    draws: Draws,
    on_step: OnStep | None,
    bar: Iterator[int],
) -> Tensor:
    """Take some rows from noise to the clean stack, in one pass or several."""
    x = draws.images()
    for transitions, following in zip_longest(passes, passes[1:]):
        for t, s in transitions:
            next(bar)
            x, x0 = step.step(x, draws.images(), t, s)
            if on_step is not None:
                on_step(t, x.detach().clone(), x0.detach().clone())
        x = begin(x, transitions[0][0], following[0][0] if following else END, draws)
    return x


def _passes(schedule: NoiseSchedule, steps: int, spacing: Spacing, restarts: int) -> Passes:
    """The transitions of the first pass and of the restarts, which share the steps."""
    whole("steps", steps, 1, schedule.length)
    whole("restarts", restarts, 0, steps - 1)
    shares = [len(share) for share in np.array_split(np.arange(steps), restarts + 1)]
    later = [schedule.transitions(share, spacing, round(RESTART * schedule.length)) for share in shares[1:]]
    return [schedule.transitions(shares[0], spacing), *later]
