"""Passes from noise to a clean stack, one after the other, that begin with less and less noise."""

from typing import Annotated

import numpy as np
from pydantic import Field

from a2a.common.errors import whole
from a2a.prior.schedule import NoiseSchedule, Spacing
from a2a.samplers.reverse import Passes

Inner = Annotated[int, Field(ge=1, description="network evaluations of each pass from noise to a clean stack")]


def annealed(schedule: NoiseSchedule, steps: int, inner: int, spacing: Spacing) -> Passes:
    """Return passes of `inner` transitions each, the first ones of more where `steps` is no multiple.

    Parameters
    ----------
    schedule
        The noise schedule.
    steps
        Transitions in all.
    inner
        Transitions of a pass.
    spacing
        Of the times at which the passes begin, from T-1 down; see `NoiseSchedule.times`.

    Raises
    ------
    InputError
        If `inner` is more than `steps`, or there are more steps than times.

    Examples
    --------
    >>> annealed(NoiseSchedule(), 4, 2, 1.0)
    [[(999, 0), (0, -1)], [(500, 0), (0, -1)]]
    """
    whole("steps", steps, 1, schedule.length)
    whole("inner", inner, 1, steps)
    count = steps // inner
    begins = schedule.times(min(count + 1, schedule.length), spacing)[:count]
    shares = [len(share) for share in np.array_split(np.arange(steps), count)]
    return [schedule.transitions(share, 1.0, max(t, share - 1)) for t, share in zip(begins, shares, strict=True)]
