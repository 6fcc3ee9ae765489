"""k-space of one modality as a scanner's file holds it, and what it says of itself: padding and noise.

The conventions are those of `a2a.data.kspace.grid`, which brings it to the prior's grid.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from a2a.common.errors import InputError
from a2a.data.volumes.normalisation import Normalisation

SILENT = 1e-6  # of the median line: less is padding
_PERIPHERY = 0.9
_ENOUGH = 64


@dataclass(frozen=True, eq=False)
class ScannerKSpace:
    """k-space of one modality as a scanner's file holds it; see the conventions of this module.

    Parameters
    ----------
    data
        complex64 ``(N, coils, X, Y)``: readout X, phase encoding Y; zero where not sampled.
    lines
        Boolean ``(Y,)``, the phase-encode lines that were sampled.
    field_of_view_mm
        Of the encoding, along X and Y.
    axes
        Towards where X, Y and the slices run, such as ``"PLS"``; None where the file does not say.
    noise_std
        Of each real and imaginary part, in units of the data; None if unknown.
    maps
        Coil sensitivity maps on the prior's grid, ``(coils, H, W)`` or ``(N, coils, H, W)``; None if there are none.
    scale
        Physical values of the image units 0 and 1, if the data are in image units.
    directions
        Unit vectors ``(3, 3)`` in RAS along which X, Y and the slices run, row by row; None where not stated.
    centres
        The zero of each slice in RAS millimetres, ``(N, 3)``; None where not stated.
    samples
        Boolean ``(X,)``, the samples of a readout that were measured; all by default.
    """

    data: np.ndarray
    lines: np.ndarray
    field_of_view_mm: tuple[float, float]
    axes: str | None = None
    noise_std: float | None = None
    maps: np.ndarray | None = None
    scale: Normalisation | None = None
    directions: np.ndarray | None = field(default=None, repr=False)
    centres: np.ndarray | None = field(default=None, repr=False)
    samples: np.ndarray | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.data.ndim != 4 or not np.iscomplexobj(self.data) or not self.data.size:
            wanted = "complex (slices, coils, readout, phase encoding)"
            raise InputError(f"k-space is {self.data.dtype} {self.data.shape}; needed is {wanted}.")
        if self.lines.shape != self.data.shape[-1:]:
            wanted = f"({self.data.shape[-1]},), the phase-encode lines of k-space"
            raise InputError(f"mask has shape {self.lines.shape}; needed is {wanted}.")
        if not self.lines.any():
            raise InputError("mask samples nothing; give the modality as missing instead.")
        if not np.isfinite(self.data).all():
            raise InputError("k-space has values that are NaN or infinite.")
        if not all(np.isfinite(side) and side > 0 for side in self.field_of_view_mm):
            raise InputError(f"its header says a field of view of {self.field_of_view_mm} mm; both must be positive.")


def without_padding(scan: ScannerKSpace) -> ScannerKSpace:
    """Count lines and samples of a readout that carry no signal at all as not measured, whatever the mask says.

    Raises
    ------
    InputError
        If nothing is left.
    """
    power = np.sqrt((np.abs(scan.data) ** 2).mean(axis=(0, 1), dtype=np.float64))
    by_line = power.max(axis=0)
    loud = by_line[scan.lines & (by_line > 0)]
    if not loud.size:
        raise InputError("k-space holds nothing but zeros.")
    lines = scan.lines & (by_line > SILENT * np.median(loud))
    by_sample = power[:, lines].max(axis=1)
    samples = by_sample > SILENT * np.median(by_sample[by_sample > 0])
    if scan.samples is not None:
        samples &= scan.samples
    first, last = np.flatnonzero(samples)[[0, -1]]
    samples[first : last + 1] = True  # padding lies at the ends
    return replace(scan, lines=lines, samples=samples)


def noise_std(scan: ScannerKSpace) -> float:
    """Standard deviation of the noise: what the file says, else the median magnitude at the rim of k-space.

    At frequencies above nine tenths of the largest the signal is weak, but not nothing: the estimate is right for fine
    matrices and too large, never too small, for coarse ones with little noise (2.5 times in the test's 48 x 48). A
    noise scan, or ``noise_std`` in the file, is better.

    Raises
    ------
    InputError
        If too few samples lie there.
    """
    if scan.noise_std is not None:
        return scan.noise_std
    samples = np.ones(scan.data.shape[2], dtype=bool) if scan.samples is None else scan.samples
    return rim_noise(scan.data, samples[:, None] & scan.lines)


def rim_noise(data: np.ndarray, sampled: np.ndarray) -> float:
    """Standard deviation of the noise as the median magnitude at the rim of k-space, see `noise_std`.

    Parameters
    ----------
    data
        ``(N, coils, X, Y)``.
    sampled
        Boolean ``(X, Y)``.

    Raises
    ------
    InputError
        If too few samples lie there.
    """
    away = [np.abs(np.arange(n) - n // 2) for n in sampled.shape]
    x, y = (far / max(far[sampled.any(axis=1 - axis)].max(initial=0), 1) for axis, far in enumerate(away))
    values = data[..., (np.maximum(x[:, None], y) >= _PERIPHERY) & sampled]
    values = values[values != 0]
    if values.size < _ENOUGH:
        raise InputError("its noise level is unknown, and too few samples lie at the rim of k-space; add noise_std.")
    return float(np.median(np.abs(np.stack([values.real, values.imag]))) / 0.6745)


def without_gap(frequencies: np.ndarray) -> tuple[slice, float]:
    """The lines around zero frequency that follow each other at the smallest distance, and that distance."""
    gaps = np.diff(frequencies)
    step = float(gaps.min()) if gaps.size else 1.0
    first = last = int(np.abs(frequencies).argmin())
    while first > 0 and gaps[first - 1] < 1.01 * step:
        first -= 1
    while last < len(gaps) and gaps[last] < 1.01 * step:
        last += 1
    reach = int(round(min(-frequencies[first], frequencies[last]) / step)) if first < last else 0
    zero = int(np.abs(frequencies).argmin())
    return slice(zero - reach, zero + reach + 1), step
