"""The one loop that all samplers share: from noise at t = T-1 to a clean stack, in exactly `steps` evaluations."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from a2a.common.errors import InputError, whole
from a2a.common.progress import progress
from a2a.common.rng import randn, spawn
from a2a.common.units import to_image
from a2a.forward.completion import Completion
from a2a.forward.observation import Observation
from a2a.prior.denoiser import Denoiser
from a2a.prior.schedule import NoiseSchedule, Spacing
from a2a.samplers.neighbours import Neighbours

RESTART = 0.85  # share of the T times at which a restart begins: outlines are still open, the size of the head is not

_ALLOCATOR = "DefaultCPUAllocator"  # what PyTorch says where the memory of a processor ends

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


@torch.inference_mode(False)
@torch.enable_grad()
def reverse(
    prior: Denoiser,
    observation: Observation,
    step_for: Callable[[Observation], Step],
    label: str,
    *,
    steps: int,
    spacing: Spacing = 1.0,
    restarts: int = 0,
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
        Makes the step for a part of the (sample, item) rows.
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
    passes, parts = _passes(prior.schedule, steps, spacing, restarts), range(0, len(draws), batch)
    bar, done, neighbours = iter(progress(range(len(parts) * steps), label)), [], Neighbours(rho, items)
    for first in parts:
        part = slice(first, first + batch)
        try:
            step = step_for(everything[part].to(prior.like))
            noise = _noise(shape, draws[part], prior.like, partial(neighbours, first=first))
            done.append(to_image(prior.clamp(_walk(prior.schedule, passes, step, noise, on_step, bar))).cpu())
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


def _noise(
    shape: tuple[int, ...], draws: Sequence[torch.Generator], like: Tensor, correlate: Callable[..., Tensor]
) -> Callable[[], Tensor]:
    """Return what draws the noise of some rows, one draw after the other."""
    number = count()
    return lambda: correlate(randn(shape, draws, like), draw=next(number))


def _too_large(rows: int) -> str:
    advice = f"try batch = {rows // 2}" if rows > 1 else "use smaller slices, or a network with checkpointing"
    return f"batch: {rows} rows do not fit the memory of the device; {advice}."


def _walk(
    schedule: NoiseSchedule,
    passes: list[list[tuple[int, int]]],
    step: Step,
    noise: Callable[[], Tensor],
    on_step: OnStep | None,
    bar: Iterator[int],
) -> Tensor:
    """Take some rows from noise to the clean stack, in one pass or several."""
    x = noise()
    for number, transitions in enumerate(passes):
        if number:
            abar = schedule.abar(transitions[0][0])
            x = abar**0.5 * x + (1 - abar) ** 0.5 * noise()
        for t, s in transitions:
            next(bar)
            x, x0 = step.step(x, noise(), t, s)
            if on_step is not None:
                on_step(t, x.detach().clone(), x0.detach().clone())
    return x


def _passes(schedule: NoiseSchedule, steps: int, spacing: Spacing, restarts: int) -> list[list[tuple[int, int]]]:
    """The transitions of the first pass and of the restarts, which share the steps."""
    whole("steps", steps, 1, schedule.length)
    whole("restarts", restarts, 0, steps - 1)
    shares = [len(share) for share in np.array_split(np.arange(steps), restarts + 1)]
    later = [schedule.transitions(share, spacing, round(RESTART * schedule.length)) for share in shares[1:]]
    return [schedule.transitions(shares[0], spacing), *later]
