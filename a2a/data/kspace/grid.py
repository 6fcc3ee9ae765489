"""From a scanner's k-space to k-space of the prior's grid.

Conventions. k-space is complex ``(slices, coils, X, Y)`` with the readout along X and the phase encoding along Y, zero
frequency at ``(X // 2, Y // 2)``, and belongs to an orthonormal transform, centred in image space too: image pixel
``n // 2`` lies in the middle of the field of view. Bringing it to the grid takes four steps, each exact for data that
are complete along the readout and undersampled along the phase encoding:

1. The *readout* is cut (its oversampling is removed) or padded, in image space, to the prior's field of view.
2. The *phase encoding* cannot be cut, it is folded; its field of view has to be the prior's.
3. Both are cut to the central frequencies, ``size`` of each, which gives the prior's pixel. The factor
   ``sqrt(size / X) sqrt(size / Y)`` keeps image values what they were; noise is scaled with the data.
4. The image is turned so that rows run from anterior to posterior, columns from the patient's right to the left, and
   slices upwards. A reversed axis reverses k-space about its zero frequency, which leaves pixel ``n // 2`` in place.

Explained in the chapter "Your own NIfTI files".
"""

from dataclasses import dataclass, replace

import numpy as np

from a2a.common.errors import InputError
from a2a.data.volumes.normalisation import Normalisation

TARGET = "PLS"
PAIRS = ("AP", "LR", "IS")
TOLERANCE = 0.05
_PERIPHERY = 0.9
_ENOUGH = 64


@dataclass(frozen=True)
class Grid:
    """What k-space is needed on.

    Parameters
    ----------
    slices
        Their number; None where any will do.
    size
        Pixels along each side (H = W).
    field_of_view_mm
        Side of the square field of view.
    percentile
        Of positive image values, that becomes 1 (`a2a.data.volumes.normalisation.Normalisation.fit`).
    """

    slices: int | None
    size: int
    field_of_view_mm: float
    percentile: float = 99.5


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
    """

    data: np.ndarray
    lines: np.ndarray
    field_of_view_mm: tuple[float, float]
    axes: str | None = None
    noise_std: float | None = None
    maps: np.ndarray | None = None
    scale: Normalisation | None = None

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


def to_grid(scan: ScannerKSpace, grid: Grid) -> tuple[ScannerKSpace, np.ndarray]:
    """Bring k-space to the prior's grid.

    Parameters
    ----------
    scan
        From a file.
    grid
        Where to.

    Returns
    -------
    ScannerKSpace
        With axes ``"PLS"`` as far as the data go: X are rows, Y are columns, whichever was the phase encoding.
    numpy.ndarray
        Boolean mask, ``(H,)`` if the phase encoding runs along the rows' axis H, else ``(H, W)``.

    Raises
    ------
    InputError
        If number of slices, field of view, matrix or orientation do not fit; says what would.
    """
    if grid.slices not in (None, len(scan.data)):
        raise InputError(f"it has {len(scan.data)} slices; needed are {grid.slices}, those of the given images.")
    noise = noise_std(scan)
    data = _readout_to(scan, grid.field_of_view_mm)
    _require_phase_encoding(scan, grid)
    if min(data.shape[2:]) < grid.size:
        found = " x ".join(map(str, data.shape[2:]))
        needed = f"at least {grid.size} x {grid.size}"
        raise InputError(f"its matrix is {found} on the prior's field of view; needed is {needed}.")
    factor = np.sqrt(grid.size**2 / (data.shape[2] * data.shape[3]))
    data = centred(centred(data, grid.size, 2), grid.size, 3) * np.float32(factor)
    data, mask = _turned(data, centred(scan.lines, grid.size, 0), scan.axes)
    field = (grid.field_of_view_mm, grid.field_of_view_mm)
    placed = replace(scan, data=data, lines=np.ones(grid.size, bool), field_of_view_mm=field, noise_std=noise * factor)
    return placed, mask


def centred(values: np.ndarray, size: int, axis: int) -> np.ndarray:
    """Cut or zero-pad an axis to `size` entries around its middle ``n // 2``.

    Parameters
    ----------
    values
        Any array.
    size
        Entries wanted.
    axis
        The axis.
    """
    length = values.shape[axis]
    start = length // 2 - size // 2
    inside = np.take(values, range(max(start, 0), min(start + size, length)), axis=axis)
    before = max(-start, 0)
    widths = [(0, 0)] * values.ndim
    widths[axis] = (before, size - before - inside.shape[axis])
    return np.pad(inside, widths)


def transform(values: np.ndarray, axis: int, inverse: bool = False) -> np.ndarray:
    """Centred orthonormal Fourier transform along one axis, in the precision of the data.

    Parameters
    ----------
    values
        Any array.
    axis
        The axis.
    inverse
        Whether it goes from k-space to the image.
    """
    along = np.fft.ifft if inverse else np.fft.fft
    shifted = along(np.fft.ifftshift(values, axes=axis), axis=axis, norm="ortho")
    return np.fft.fftshift(shifted, axes=axis).astype(values.dtype, copy=False)


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
    x, y = (np.abs(np.arange(n) - n // 2) / (n / 2) for n in scan.data.shape[2:])
    rim = (np.maximum(x[:, None], y) >= _PERIPHERY) & scan.lines
    values = scan.data[..., rim]
    values = values[values != 0]
    if values.size < _ENOUGH:
        raise InputError("its noise level is unknown, and too few samples lie at the rim of k-space; add noise_std.")
    return float(np.median(np.abs(np.stack([values.real, values.imag]))) / 0.6745)


def _readout_to(scan: ScannerKSpace, field_of_view_mm: float) -> np.ndarray:
    """Cut or pad the readout to the field of view, in image space."""
    readout = scan.data.shape[2]
    wanted = round(readout * field_of_view_mm / scan.field_of_view_mm[0])
    if wanted == readout:
        return scan.data
    return transform(centred(transform(scan.data, 2, inverse=True), wanted, 2), 2)


def _require_phase_encoding(scan: ScannerKSpace, grid: Grid) -> None:
    found, needed = scan.field_of_view_mm[1], grid.field_of_view_mm
    if abs(found / needed - 1) > TOLERANCE:
        raise InputError(
            f"its field of view along the phase encoding is {found:g} mm and the prior's {needed:g} mm; they may "
            f"differ by {TOLERANCE:.0%}."
        )


def _turned(data: np.ndarray, lines: np.ndarray, axes: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Turn data to rows towards P, columns towards L, slices towards S; return them with their mask."""
    axes = checked_axes(axes)
    mask = np.broadcast_to(lines, data.shape[2:])
    if axes[0] in "LR":
        data, mask, axes = data.swapaxes(2, 3), mask.T, axes[1] + axes[0] + axes[2]
    for axis, (found, wanted) in zip((2, 3), zip(axes, TARGET[:2], strict=False), strict=True):
        if found != wanted:
            data, mask = _reversed(data, axis), _reversed(mask, axis - 2)
    data = data[::-1] if axes[2] != TARGET[2] else data
    along_rows = bool((mask == mask[:, :1]).all())
    return np.ascontiguousarray(data), np.array(mask[:, 0] if along_rows else mask)


def checked_axes(axes: str | None) -> str:
    """Return three letters that say where rows (readout), columns (phase encoding) and slices run to.

    Raises
    ------
    InputError
        If they are missing, no three letters of A or P, L or R, I or S in some order, or the slices are not transverse.
    """
    wanted = "three letters for where readout, phase encoding and slices run to, such as PLS"
    if axes is None:
        raise InputError(f"it does not say how the patient lies in it; name its axes, {wanted} (--kspace-axes).")
    axes = axes.strip().upper()
    found = sorted("".join(pair for pair in PAIRS if letter in pair) for letter in axes)
    if found != sorted(PAIRS):
        raise InputError(f"axes {axes!r} are none; needed are {wanted}.")
    if axes[2] not in "IS":
        raise InputError(f"axes {axes!r} are not of transverse slices; the third letter must be I or S.")
    return axes


def _reversed(values: np.ndarray, axis: int) -> np.ndarray:
    """Reverse an axis about its middle ``n // 2``."""
    flipped = np.flip(values, axis)
    return flipped if values.shape[axis] % 2 else np.roll(flipped, 1, axis)
