"""What a laptop is asked for: the settings behind one word, and how long they take here.

Explained in the chapter "Your own NIfTI files".
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from a2a.common.errors import InputError
from a2a.forward.observation import Observation
from a2a.methods.interface import Any2all
from a2a.prior.denoiser import Denoiser
from a2a.samplers.table import Eta, find_sampler

TRIED = 4  # rows of a trial


@dataclass(frozen=True)
class Quality:
    """Settings of MDS.

    Parameters
    ----------
    steps
        Network evaluations of each sample.
    samples
        Of each slice.
    eta
        Fresh noise of each step.
    rho
        Correlation of the noise of neighbouring slices.
    """

    steps: int
    samples: int
    eta: Eta = 1.0
    rho: float = 0.9


QUALITIES = {"fast": Quality(10, 4), "best": Quality(10, 16, "optimal")}
"""Chosen on held-out slices of real heads (experiments/tuning/heads.yaml): the optimal noise is best by CRPS, 25
evaluations are worse than 10, and the mean of few samples is nearer to the truth with less noise."""


def settings(quality: str, prior: Denoiser, said: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Return the options of MDS and the number of samples that a word stands for.

    Parameters
    ----------
    quality
        One of `QUALITIES`.
    prior
        Given images are shown to it as they are, where it has learnt that.
    said
        Options that were named, which count more.

    Raises
    ------
    InputError
        If there is no such quality.
    """
    if quality not in QUALITIES:
        raise InputError(f"quality: {quality!r} is none of {', '.join(QUALITIES)}.")
    found = QUALITIES[quality]
    options = {"steps": found.steps, "eta": found.eta, "rho": found.rho, "noise_levels": prior.noise_levels}
    return options | dict(said), found.samples


def rows_at_once(size: int) -> int:
    """Return how many slices are computed together: fewer large ones, which leave the processor's cache.

    Measured at 224 pixels in bf16: 4 take 0.07 CPU seconds each and step, 16 take 0.13.

    Parameters
    ----------
    size
        Pixels along each side.
    """
    return 16 if size <= 128 else 4


def estimated_seconds(method: Any2all, observation: Observation, samples: int) -> float:
    """Return how long a completion will take, from one step of a few slices on this machine.

    Parameters
    ----------
    method
        Any2all with its options.
    observation
        B observed stacks.
    samples
        Of each.
    """
    rows = min(TRIED, observation.shape[0], method.batch)
    steps = int(method.options.get("steps", _default_steps(method.sampler)))
    middle = (observation.shape[0] - rows) // 2
    trial = replace(method, options=dict(method.options) | {"steps": 1, "restarts": 0}, batch=rows)
    part = observation[middle : middle + rows]
    started = time.perf_counter()
    trial.complete(part)
    return (time.perf_counter() - started) / rows * steps * samples * observation.shape[0]


def _default_steps(sampler: str) -> int:
    return find_sampler(sampler).model.model_fields["steps"].default
