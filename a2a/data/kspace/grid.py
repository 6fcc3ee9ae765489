"""From a scanner's k-space to k-space of the prior's grid.

Conventions. A sample with index i of n along an axis of field of view F lies at the frequency ``(i - n // 2) / F`` in
cycles per millimetre, and the phase of all samples is counted from one point of the patient, the *zero* of the scan,
which is the middle of its field of view. The operators count it from pixel ``n // 2`` of their grid. Where the two
points differ, each sample is multiplied by ``exp(-2 pi i k o)`` with the offset o in millimetres: a shift in the plane
is exact. Image values stay what they are, as orthonormal transforms of an image of the scan's matrix have them, and
noise is scaled with the data.

1. The *readout* is complete, so its image is known wherever it is asked for: it is evaluated at the pixels of the grid,
   and what lies beside them is cut. Pixels outside its field of view get no sensitivity. Of frequencies that were not
   measured (a coarse matrix, discarded samples) a rim of up to a quarter is taken as zero, which blurs a little and
   keeps every column a system of its own; where more is lacking, all of them count as not sampled.
2. The *phase encoding* is undersampled, so its lines stay at the frequencies that they have: those of the grid if the
   fields of view are equal (`Placed.mask`), else others (`Placed.frequencies`, see `a2a.forward.operators.LineSense`).
3. Frequencies that the pixels of the grid cannot hold are cut.

Which slice goes where, and how the axes run, is found by `a2a.data.kspace.frame`. Explained in the chapter "Your own
NIfTI files".
"""

from dataclasses import dataclass

import numpy as np
import torch

from a2a.common.errors import InputError
from a2a.data.kspace.frame import Grid, framed
from a2a.data.kspace.scan import ScannerKSpace, noise_std, without_gap, without_padding
from a2a.forward.measured import KSpace, KSpaceLines

ALIGNED = 3e-4  # relative difference of fields of view up to which lines lie on the grid's frequencies
WEAK = 0.25  # of the readout's band: so much of its rim may be lacking and is taken as zero, not as unknown
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Placed:
    """k-space that was brought to the prior's grid.

    Parameters
    ----------
    data
        complex64: on the grid ``(N, coils, H, W)``; off it lines first, ``(N, coils, L, W)``, or ``(N, coils, L, H)``
        if `columns`.
    mask
        Boolean on the grid: ``(H,)`` if the phase encoding runs along H and the readout is complete, else ``(H, W)``;
        None off the grid.
    frequencies
        Of the lines off the grid, float64 ``(L,)`` in cycles per pixel; None on the grid.
    band
        Boolean, the frequencies of the readout that were measured.
    columns
        Whether the phase encoding runs along W.
    covered
        Boolean ``(N, H, W)``: pixels inside the scan's field of view.
    noise_std
        Of each real and imaginary part of `data`.
    affine
        (row, column, slice) to RAS millimetres, ``(4, 4)``; None if nothing states it.
    order
        Which slice of the scan became which, ``(N,)``.
    """

    data: np.ndarray
    mask: np.ndarray | None
    frequencies: np.ndarray | None
    band: np.ndarray
    columns: bool
    covered: np.ndarray
    noise_std: float
    affine: np.ndarray | None
    order: np.ndarray

    def with_maps(self, maps: np.ndarray) -> KSpace | KSpaceLines:
        """The measurement with coil maps, complex ``(coils, H, W)`` or ``(N, coils, H, W)``; none sees what is not
        covered.
        """
        if not self.covered.all() and maps.shape[-2:] == self.covered.shape[1:]:
            maps = maps * (self.covered[:, None] if maps.ndim == 4 else self.covered.any(axis=0))
        data, sensitivity = torch.from_numpy(self.data), torch.from_numpy(np.ascontiguousarray(maps))
        if self.frequencies is None:
            return KSpace(data, torch.from_numpy(self.mask), sensitivity, self.noise_std)
        lines, band = torch.from_numpy(self.frequencies), torch.from_numpy(self.band)
        return KSpaceLines(data, lines, sensitivity, self.noise_std, self.columns, None if band.all() else band)

    def centre(self) -> tuple[np.ndarray, np.ndarray]:
        """The fully sampled middle as k-space of the grid, for coil maps.

        Returns
        -------
        tuple of numpy.ndarray
            ``(N, coils, H, W)``, and a boolean mask, ``(H,)`` or ``(H, W)``. Off the grid the lines around zero that
            follow each other without a gap are turned into an image of low resolution, which is cut to the field of
            view and transformed again.
        """
        if self.frequencies is None:
            return self.data, self.mask
        count, coils, _, readout = self.data.shape
        height = self.covered.shape[2 if self.columns else 1]
        middle, step = without_gap(self.frequencies)
        place = np.arange(height) - height // 2
        turn = np.exp(2j * np.pi * np.outer(place, self.frequencies[middle])).astype(np.complex64)
        image = turn @ self.data[:, :, middle] * np.float32(step * np.sqrt(height))
        seen = self.covered.any(axis=1 if self.columns else 2)
        data = transform(image * seen[:, None, :, None], 2)
        inner = np.abs(place) < len(self.frequencies[middle]) * step * height / 2
        mask = inner[:, None] & self.band[None, :]
        return (data.swapaxes(2, 3), mask.T) if self.columns else (data, mask)


def to_grid(scan: ScannerKSpace, grid: Grid) -> Placed:
    """Bring k-space to the prior's grid.

    Parameters
    ----------
    scan
        From a file.
    grid
        Where to.

    Raises
    ------
    InputError
        If slices, directions or field of view do not fit, or the noise level cannot be known; says what would.
    """
    scan = without_padding(scan)
    noise, frame = noise_std(scan), framed(scan.axes, scan.directions, scan.centres, len(scan.data), grid)
    pixel, size = grid.field_of_view_mm / grid.size, grid.size
    columns = frame.letters[1] in "LR"
    along, across = (0, 1) if columns else (1, 0)  # of readout and phase encoding: 0 for rows, 1 for columns
    samples = np.ones(scan.data.shape[2], dtype=bool) if scan.samples is None else scan.samples
    fields = scan.field_of_view_mm
    data, band, seen = _readout(
        scan.data[frame.order], fields[0], frame.signs[0], frame.offsets[:, along], samples, size, pixel
    )
    data, places, factor = _phase(data, scan.lines, fields[1], frame.signs[1], frame.offsets[:, across], size, pixel)
    noise *= factor * np.sqrt(fields[0] / (pixel * scan.data.shape[2]))
    covered = seen[:, None, :] & covered_pixels(size, pixel, fields[1], frame.offsets[:, across])[:, :, None]
    covered = covered.swapaxes(1, 2) if columns else covered
    if covered.mean() < 0.5:
        raise InputError(
            f"its field of view covers {covered.mean():.0%} of the window of {grid.field_of_view_mm:g} mm that is "
            "completed; its header places it elsewhere than the given images."
        )
    more = (band, columns, covered, float(noise), frame.affine, frame.order)
    if not np.issubdtype(places.dtype, np.integer):
        return Placed(np.ascontiguousarray(data.swapaxes(2, 3)), None, places, *more)
    whole = np.zeros((*data.shape[:3], size), dtype=np.complex64)
    whole[..., places] = data
    mask = np.zeros((size, size), dtype=bool)
    mask[:, places] = band[:, None]
    whole, mask = (whole, mask) if columns else (whole.swapaxes(2, 3), mask.T)
    one = bool((mask == mask[:, :1]).all())
    return Placed(np.ascontiguousarray(whole), np.array(mask[:, 0] if one else mask), None, *more)


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


def _readout(
    data: np.ndarray, fov: float, sign: int, offsets: np.ndarray, samples: np.ndarray, size: int, pixel: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bring the readout to the grid's frequencies: data ``(N, coils, size, Y)``, measured band, covered pixels."""
    length = data.shape[2]
    aligned = abs(fov / (size * pixel) - 1) < ALIGNED
    fov = size * pixel if aligned else fov
    k, inside = sampled_frequencies(length, fov, sign, pixel)
    inside &= samples
    if not inside.any():
        raise InputError("none of the samples of its readout lie within the frequencies of the prior's grid.")
    data, k = data[:, :, inside], k[inside]
    covered = covered_pixels(size, pixel, fov, offsets)
    if aligned:
        index = (np.round(k * size).astype(int) + size // 2) % size
        whole = np.zeros((*data.shape[:2], size, data.shape[3]), dtype=np.complex64)
        whole[:, :, index] = ramp(data, k / pixel, offsets, 2) * np.float32(np.sqrt(size / length))
        return whole, _or_weak(np.isin(np.arange(size), index)), covered
    place = (np.arange(size) - size // 2) * pixel - offsets[:, None]
    turn = np.exp(2j * np.pi * place[..., None] * (k / pixel)) / np.sqrt(length) * covered[..., None]
    hybrid = turn[:, None].astype(np.complex64) @ data
    grid, step = (np.arange(size) - size // 2) / size, pixel / fov
    band = (grid > k.min() - step * 0.999) & (grid < k.max() + step * 0.999)
    return transform(hybrid, 2) * band[:, None].astype(np.float32), _or_weak(band), covered


def _or_weak(band: np.ndarray) -> np.ndarray:
    """The band that counts as measured: everything where only a rim is lacking, in which signal is taken as zero."""
    return band if band.mean() < 1 - WEAK else np.ones_like(band)


def _phase(
    data: np.ndarray, lines: np.ndarray, fov: float, sign: int, offsets: np.ndarray, size: int, pixel: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Bring lines to the grid's zero and scale: data ``(N, coils, size, L)``, their indices or frequencies, factor."""
    aligned = abs(fov / (size * pixel) - 1) < ALIGNED
    fov = size * pixel if aligned else fov
    k, inside = sampled_frequencies(data.shape[3], fov, sign, pixel)
    inside &= lines
    if not inside.any():
        raise InputError("none of its lines lie within the frequencies of the prior's grid.")
    factor = fov / (pixel * np.sqrt(data.shape[3] * size))
    data, k = data[..., inside], k[inside]
    data = ramp(data, k / pixel, offsets, 3) * np.float32(factor)
    if aligned:
        return data, (np.round(k * size).astype(int) + size // 2) % size, factor
    order = np.argsort(k)
    return data[..., order], k[order], factor


def sampled_frequencies(length: int, fov: float, sign: int, pixel: float) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies of samples in cycles per pixel of the grid, and which of them the grid can hold.

    Of its highest frequency, which it cannot tell from its negative, one sample is taken, the first of the axis.

    Parameters
    ----------
    length
        Samples of the axis.
    fov
        Field of view, mm.
    sign
        -1 where the axis runs against that of the grid.
    pixel
        Of the grid, mm.
    """
    k = sign * (np.arange(length) - length // 2) * (pixel / fov)
    inside = (sign * k >= -0.5 - _ROUNDING) & (sign * k < 0.5 - _ROUNDING)
    return np.clip(k, -0.5, 0.5), inside


def ramp(data: np.ndarray, k_mm: np.ndarray, offsets: np.ndarray, axis: int) -> np.ndarray:
    """Count the phase from another point: ``exp(-2 pi i k o)`` along an axis.

    Parameters
    ----------
    data
        ``(N, coils, X, Y)``.
    k_mm
        Frequencies of the axis, cycles per mm.
    offsets
        o of each slice ``(N,)``, mm.
    axis
        2 or 3.
    """
    if not np.abs(offsets).max() > 1e-9:
        return data
    shape = [len(offsets), 1, 1, 1]
    shape[axis] = len(k_mm)
    return data * np.exp(-2j * np.pi * np.outer(offsets, k_mm)).astype(np.complex64).reshape(shape)


def covered_pixels(size: int, pixel: float, fov: float, offsets: np.ndarray) -> np.ndarray:
    """Which pixels of an axis lie in a field of view whose middle has an offset, ``(N, size)``.

    Parameters
    ----------
    size
        Pixels of the axis.
    pixel
        Of the grid, mm.
    fov
        Field of view, mm.
    offsets
        Of each slice ``(N,)``, mm.
    """
    place = (np.arange(size) - size // 2) * pixel - offsets[:, None]
    return np.abs(place) <= fov / 2 * (1 + 1e-6)
