"""All series of one scan on the grid of its reference."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from a2a.common.errors import InputError
from a2a.data.volumes.nifti import Volume, on_one_grid, require_same_grid
from a2a.data.volumes.registration import Alignment, align, resample

OVERLAP = 0.5
"""Share of what the reference shows that a series must cover."""


@dataclass(frozen=True)
class AlignedSeries:
    """The series of one scan after their registration.

    Parameters
    ----------
    volumes
        Every series on the grid of the reference, in stack order.
    originals
        The series in RAS order on their own grids.
    alignments
        How those were moved that lay on another grid.
    before
        ``(X, Y, Z)``: these series on the reference's grid by the scanner's own coordinates, for comparison.
    seen
        ``bool (X, Y, Z)``: what of the reference's grid lies in the field of view of each of these series.
    """

    volumes: dict[str, Volume]
    originals: dict[str, Volume]
    alignments: dict[str, Alignment]
    before: dict[str, np.ndarray]
    seen: dict[str, np.ndarray]


def align_series(volumes: dict[str, Volume], reference: str, registration: Literal["none", "rigid"]) -> AlignedSeries:
    """Bring every series that lies on another grid to that of the reference; the others are taken as they are.

    Parameters
    ----------
    volumes
        The series in RAS order.
    reference
        Name of the one that stays.
    registration
        ``none`` refuses other grids, ``rigid`` registers and interpolates once.

    Raises
    ------
    InputError
        If grids differ and registration is not wanted or not installed, or a series covers less than half of what the
        reference shows.
    """
    fixed = volumes[reference]
    apart = [name for name, volume in volumes.items() if not on_one_grid(fixed, volume)]
    if registration == "none":
        require_same_grid([fixed, *volumes.values()])
    result = AlignedSeries(dict(volumes), volumes, {}, {}, {})
    for name in apart:
        found = align(fixed, volumes[name])
        data, inside = resample(volumes[name], fixed, found.matrix)
        shown = fixed.data > 0
        if (share := float(inside[shown].mean()) if shown.any() else 0.0) < OVERLAP:
            raise InputError(
                f"{volumes[name].name}: it covers {share:.0%} of what {fixed.name} shows, and half is needed; name "
                "series of the same part of the body, or leave this one out."
            )
        result.volumes[name] = Volume(data, fixed.affine, volumes[name].path)
        result.alignments[name] = found
        result.before[name] = resample(volumes[name], fixed)[0]
        result.seen[name] = inside
    return result
