"""The way from a volume to slices on the training grid and back.

A slice is shown as a radiologist sees it: row 0 is anterior, column 0 is the patient's right, and slices run upwards.
Crop, pad and resize together are one linear map per axis, two small matrices. They are written out here, not taken from
a resize function, because they must be undone on the original grid: a library hides where its pixels lie.
Explained in the chapter "Your own NIfTI files".
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.sparse import csr_array

from a2a.common.errors import InputError
from a2a.data.volumes.foreground import skull_stripped
from a2a.data.volumes.nifti import Volume


@dataclass(frozen=True)
class SliceGeometry:
    """Where the training grid lies in one subject's RAS volume.

    Parameters
    ----------
    shape
        Voxels ``(X, Y, Z)`` of the RAS volume.
    affine
        Its affine (RAS+ mm), row by row.
    planes
        Increasing z indices of the slices.
    start
        Lower edge of the square window along x and y, in voxels; voxel i covers [i, i + 1]. May lie outside.
    extent
        Side of the window along x and y, in voxels.
    size
        Pixels of the training grid along each side (H = W).
    """

    shape: tuple[int, int, int]
    affine: tuple[tuple[float, ...], ...]
    planes: tuple[int, ...]
    start: tuple[float, float]
    extent: tuple[float, float]
    size: int

    @classmethod
    def fit(
        cls,
        volumes: Sequence[Volume],
        size: int = 64,
        field_of_view_mm: float = 192.0,
        brain_fraction: float = 0.05,
        foreground: np.ndarray | None = None,
    ) -> "SliceGeometry":
        """Centre the window on the brain and choose the planes that show enough of it.

        Brain is where any of the volumes is positive, as in skull-stripped images, unless `foreground` says it. A
        `brain_fraction` of 0 says that the images are not skull-stripped: then noise is positive everywhere and tells
        nothing, so the window is centred on the grid and every plane is taken. The window starts on a voxel's edge, so
        that a grid whose pixels are voxels copies them.

        Parameters
        ----------
        volumes
            RAS volumes of one subject on one grid.
        size
            Pixels of the training grid.
        field_of_view_mm
            Side of the square window; with `size` it fixes the pixel, the same for every subject.
        brain_fraction
            A plane is taken if brain covers at least this part of the window's area; 0 for whole heads.
        foreground
            ``bool (X, Y, Z)``, what counts as brain (see `a2a.data.volumes.foreground`).

        Raises
        ------
        InputError
            If no plane has enough brain, or the brain is larger than the window.
        """
        first = volumes[0]
        dx, dy, _ = first.spacing
        extent = tuple(field_of_view_mm / d for d in (dx, dy))
        affine = tuple(tuple(map(float, row)) for row in first.affine)
        if brain_fraction == 0:
            start = tuple(float(round((n - e) / 2)) for n, e in zip(first.data.shape[:2], extent, strict=True))
            return cls(first.data.shape, affine, tuple(range(first.data.shape[2])), start, extent, size)
        brain = skull_stripped(volumes) if foreground is None else foreground
        covered = brain.sum(axis=(0, 1)) * (dx * dy / field_of_view_mm**2)
        planes = np.flatnonzero(covered >= brain_fraction)
        if planes.size == 0:
            raise InputError(f"{first.name}: no plane shows brain in {brain_fraction:.0%} of the window.")
        edges = [_bounds(brain[:, :, planes].any(axis=axes)) for axes in ((1, 2), (0, 2))]
        sides = [(high - low) * d for (low, high), d in zip(edges, (dx, dy), strict=True)]
        if max(sides) > field_of_view_mm:
            raise InputError(
                f"{first.name}: signal spans {sides[0]:.0f} x {sides[1]:.0f} mm, more than the field of view of "
                f"{field_of_view_mm:g} mm; remove skull and background first."
            )
        start = tuple(float(round((low + high - e) / 2)) for (low, high), e in zip(edges, extent, strict=True))
        return cls(first.data.shape, affine, tuple(map(int, planes)), start, extent, size)

    @property
    def z_mm(self) -> tuple[float, ...]:
        """World z of the centre of each plane's window, in mm."""
        x, y = ((s + e / 2 - 0.5) for s, e in zip(self.start, self.extent, strict=True))
        row = self.affine[2]
        return tuple(float(row[0] * x + row[1] * y + row[2] * k + row[3]) for k in self.planes)

    @property
    def pixel_affine(self) -> np.ndarray:
        """From (row, column, plane) of a slice's pixel to RAS millimetres, float64 ``(4, 4)``."""
        (sx, sy), size = (e / self.size for e in self.extent), self.size
        pixels = np.array(
            [
                [0.0, -sx, 0.0, self.start[0] + (size - 0.5) * sx - 0.5],
                [-sy, 0.0, 0.0, self.start[1] + (size - 0.5) * sy - 0.5],
                [0.0, 0.0, 1.0, 0.0],
                [0.0, 0.0, 0.0, 1.0],
            ]
        )
        return np.array(self.affine) @ pixels

    @property
    def middle_mm(self) -> np.ndarray:
        """Middle of the volume's grid, the part of the planes, in RAS millimetres ``(3,)``."""
        x, y, _ = self.shape
        return (np.array(self.affine) @ ((x - 1) / 2, (y - 1) / 2, self.planes[0], 1.0))[:3]

    def to_slices(self, volume: np.ndarray) -> np.ndarray:
        """Sample a volume on the training grid.

        Each pixel is a triangle-weighted mean of the voxels around its centre (as wide as one pixel to either side, but
        at least one voxel), zeros outside the volume: bilinear interpolation with antialiasing. Values stay in range.

        Parameters
        ----------
        volume
            ``(X, Y, Z)`` on the RAS grid.

        Returns
        -------
        numpy.ndarray
            ``float32 (N, size, size)``, anterior first, the patient's right first.

        Raises
        ------
        InputError
            If the shape is not that of the geometry.
        """
        if volume.shape != self.shape:
            raise InputError(f"A volume of shape {volume.shape} does not fit the geometry's {self.shape}.")
        columns, rows = (_resample(n, s, e, self.size)[::-1] for n, s, e in self._axes())
        resized = _both_axes(columns, rows, volume[:, :, list(self.planes)])
        return np.ascontiguousarray(resized.transpose(2, 1, 0))

    def to_volume(self, slices: np.ndarray) -> np.ndarray:
        """Bring slices back to the RAS grid by the same kind of interpolation; zero outside window and planes.

        Between planes that are not neighbours the volume is interpolated linearly. Weights are positive and sum to at
        most 1, so a standard deviation stays positive and a mean in range.

        Parameters
        ----------
        slices
            ``(N, size, size)``, one per plane.

        Returns
        -------
        numpy.ndarray
            ``float32 (X, Y, Z)``.

        Raises
        ------
        InputError
            If the number or the size of the slices is not that of the geometry.
        """
        expected = (len(self.planes), self.size, self.size)
        if slices.shape != expected:
            raise InputError(f"Slices of shape {slices.shape} do not fit the geometry's {expected}.")
        columns, rows = (
            _resample(self.size, -s * self.size / e, n * self.size / e, n)[:, ::-1] for n, s, e in self._axes()
        )
        planes = _both_axes(columns, rows, slices.transpose(2, 1, 0))
        volume = np.zeros(self.shape, dtype=np.float32)
        volume[:, :, self.planes[0] : self.planes[-1] + 1] = _between(planes, self.planes)
        return volume

    def to_dict(self) -> dict:
        """JSON form for the manifest."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> "SliceGeometry":
        """Inverse of `to_dict`, also after a trip through JSON."""
        frozen = {k: tuple(v) for k, v in values.items() if k not in ("affine", "size")}
        return cls(affine=tuple(map(tuple, values["affine"])), size=int(values["size"]), **frozen)

    def _axes(self) -> zip:
        """Voxels, window start and window side of the x and the y axis."""
        return zip(self.shape[:2], self.start, self.extent, strict=True)


def _bounds(profile: np.ndarray) -> tuple[int, int]:
    """Edges of the part of a 1-D mask that holds all its ones."""
    where = np.flatnonzero(profile)
    return int(where[0]), int(where[-1]) + 1


def _resample(n: int, start: float, extent: float, size: int) -> np.ndarray:
    """Matrix ``float32 (size, n)`` that samples n zero-padded pixels on `size` pixels over [start, start + extent]."""
    step = extent / size
    centres = start + (np.arange(size) + 0.5) * step - 0.5
    width = max(step, 1.0)
    reach = np.arange(math.floor(centres[0] - width), math.ceil(centres[-1] + width) + 1)
    weights = np.clip(1.0 - np.abs(reach - centres[:, None]) / width, 0.0, None)
    weights /= weights.sum(axis=1, keepdims=True)
    matrix = np.zeros((size, n))
    inside = (reach >= 0) & (reach < n)
    matrix[:, reach[inside]] = weights[:, inside]
    return matrix.astype(np.float32)


def _both_axes(first: np.ndarray, second: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Apply a matrix along each of the first two axes of ``(a, b, c)``.

    Sparse products, because a BLAS may round differently with another number of threads.
    """
    for matrix in (first, second):
        a, b, c = data.shape
        flat = np.ascontiguousarray(data, dtype=np.float32).reshape(a, b * c)
        data = (csr_array(matrix) @ flat).reshape(len(matrix), b, c).transpose(1, 0, 2)
    return data


def _between(values: np.ndarray, planes: Sequence[int]) -> np.ndarray:
    """Fill the planes between first and last (last axis) by linear interpolation; given planes are copied."""
    wanted = np.arange(planes[0], planes[-1] + 1)
    below = np.clip(np.searchsorted(planes, wanted, side="right") - 1, 0, max(len(planes) - 2, 0))
    above = np.minimum(below + 1, len(planes) - 1)
    gap = np.maximum(np.take(planes, above) - np.take(planes, below), 1)
    part = ((wanted - np.take(planes, below)) / gap).astype(np.float32)
    return values[..., below] * (1 - part) + values[..., above] * part
