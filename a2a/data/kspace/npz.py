"""k-space in one ``.npz`` with data, mask, coil sensitivity maps and noise level of one modality.

Explained in the chapter "Your own NIfTI files".
"""

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import map_coordinates

from a2a.common.errors import InputError
from a2a.common.files import write_atomically
from a2a.data.kspace.arrays import read_arrays
from a2a.data.kspace.check import require_centred
from a2a.data.kspace.coil_maps import estimated_maps
from a2a.data.kspace.frame import Grid, nearest_axes
from a2a.data.kspace.grid import ScannerKSpace, to_grid
from a2a.data.kspace.plane import plane_to_grid
from a2a.data.kspace.scan import rim_noise
from a2a.data.volumes.normalisation import Normalisation
from a2a.forward.measured import AnyKSpace, KSpace

FIELDS, FOUND = ("kspace", "mask"), ("maps", "noise_std")
RANGE, AFFINE, PLANES = "range", "affine", "planes"


@dataclass(frozen=True, eq=False)
class KSpaceFile:
    """What a k-space file holds, in image units, and where it lies.

    Parameters
    ----------
    kspace
        Data `(N, coils, H, W)`, mask, maps and noise level.
    scale
        Physical values of the image units 0 and 1; None if they are not known.
    affine
        (row, column, plane) of its image to RAS millimetres, ``(4, 4)``; None if that is not known.
    planes
        The plane of each slice, ``(N,)``; counted from 0 by default.
    estimated
        Whether its maps are estimated from the data, which are then in a scanner's units.
    """

    kspace: AnyKSpace
    scale: Normalisation | None = None
    affine: np.ndarray | None = None
    planes: tuple[int, ...] | None = None
    estimated: bool = False


def write_kspace(path: Path, content: KSpaceFile) -> None:
    """Write a file that `read_npz` reads, compressed."""
    kspace, scale = content.kspace, content.scale
    values = (kspace.data.numpy(), kspace.mask.numpy(), kspace.maps.numpy(), np.float64(kspace.noise_std))
    named = dict(zip((*FIELDS, *FOUND), values, strict=True)) | (
        {RANGE: np.array([scale.low, scale.high])} if scale else {}
    )
    named |= {} if content.affine is None else {AFFINE: np.asarray(content.affine, dtype=np.float64)}
    named |= {} if content.planes is None else {PLANES: np.asarray(content.planes, dtype=np.int64)}

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            np.savez_compressed(file, **named)

    write_atomically(Path(path), write)


def read_npz(path: Path, name: str, grid: Grid) -> KSpaceFile:
    """Read what `write_kspace` wrote, as it is; `placed_npz` brings it to the grid.

    Parameters
    ----------
    path
        ``.npz`` with ``kspace`` complex `(N, coils, H, W)` (centred, of an orthonormal transform of images in [0, 1],
        slices upwards, rows from anterior to posterior, which is the phase-encode axis H), ``mask`` boolean `(H,)` or
        `(H, W)`, ``maps`` complex `(coils, H, W)` or `(N, coils, H, W)`, ``noise_std``, the standard deviation of each
        real and imaginary part, and optionally ``range``, the physical values of the image units 0 and 1, and
        ``affine``, which maps (row, column, plane) of the image to RAS millimetres, with ``planes``, the plane of each
        slice (counted from 0 by default). With an affine any field of view and matrix will do, and rows and columns
        may run in any direction. Without ``maps`` the data are a scanner's, in any unit: maps are estimated from the
        fully sampled middle, and the noise level at the rim, where ``noise_std`` is lacking too.
    name
        The modality, for messages.
    grid
        Where it is needed.

    Raises
    ------
    InputError
        If the file is damaged, lacks a field, or has another shape.
    """
    values = _load(Path(path), name)
    data, size, affine = values["kspace"], grid.size, values.get(AFFINE)
    fits = data.ndim == 4 and (affine is not None or data.shape[2:] == (size, size))
    if not fits or (affine is None and len(data) != (grid.slices or len(data))):
        needed = f"({grid.slices or 'slices'}, coils, {size}, {size})"
        raise InputError(f"k-space of {name} has shape {data.shape}; needed is {needed}.")
    if not np.isin(values["mask"], (0, 1)).all():
        raise InputError("mask must hold only 0 and 1 (or false and true).")
    std = values.get("noise_std")
    if std is not None and (std.size != 1 or std.dtype.kind not in "iuf"):
        raise InputError("noise_std must be one real number.")
    data, mask = data.astype(np.complex64) if np.iscomplexobj(data) else data, values["mask"].astype(bool)
    planes, place = _planes(values.get(PLANES), len(data)), None if affine is None else _affine(affine)
    noise = _rim(data, mask, name) if std is None else float(std.item())
    if "maps" in values:
        arrays = (torch.from_numpy(a) for a in (data, mask, values["maps"].astype(np.complex64)))
        return KSpaceFile(KSpace(*arrays, noise), scale_of(values.get(RANGE)), place, planes)
    sampled = data * _sampled(data, mask, name)
    require_centred(sampled, name)
    arrays = (torch.from_numpy(a) for a in (sampled, mask, estimated_maps(sampled, mask, name)))
    return KSpaceFile(KSpace(*arrays, noise), scale_of(values.get(RANGE)), place, planes, estimated=True)


def _rim(data: np.ndarray, mask: np.ndarray, name: str) -> float:
    """The noise level at the rim of what was sampled."""
    return rim_noise(data, _sampled(data, mask, name))


def _sampled(data: np.ndarray, mask: np.ndarray, name: str) -> np.ndarray:
    """The mask of both axes, if data and mask can be used for estimates."""
    if not np.iscomplexobj(data) or mask.shape not in (data.shape[2:3], data.shape[2:]):
        raise InputError(f"k-space of {name} is {data.dtype} with a mask {mask.shape}; needed are complex and its own.")
    return np.broadcast_to(mask.reshape(len(mask), -1), data.shape[2:])


def placed_npz(content: KSpaceFile, grid: Grid) -> KSpaceFile:
    """Bring what `read_npz` read to the grid.

    Without an affine its pixels are those of the grid, around the middle of the given images. A file that lies on the
    grid already stays as it is, bit for bit.

    Raises
    ------
    InputError
        If slices, directions or field of view do not fit.
    """
    kspace, size = content.kspace, grid.size
    if content.affine is None and grid.affine is None:
        return content
    affine, planes = content.affine, content.planes or tuple(range(len(kspace.data)))
    if affine is None:
        affine, planes = _around_the_middle(grid), grid.planes or planes
    if grid.affine is not None and kspace.data.shape[2:] == (size, size):
        order = _same_pixels(affine, planes, grid)
        if order is not None:
            maps = kspace.maps[order] if kspace.maps.ndim == 4 else kspace.maps
            return replace(content, kspace=replace(kspace, data=kspace.data[order], maps=maps))
    height, width = kspace.data.shape[2:]
    mask = np.broadcast_to(kspace.mask.numpy().reshape(height, -1), (height, width))
    rows = bool((mask == mask[:, :1]).all())
    if rows or (mask == mask[:1]).all():
        placed = to_grid(_as_scan(kspace, affine, planes, mask[:, 0] if rows else mask[0], rows), grid)
    else:
        scan = _as_scan(kspace, affine, planes, mask.any(axis=1), True)
        placed = plane_to_grid(scan, mask.T, grid)
    maps = kspace.maps.numpy()
    maps = maps[placed.order] if maps.ndim == 4 else maps
    moved = placed.with_maps(_resampled(maps, affine, placed.affine, size))
    return replace(content, kspace=moved, affine=placed.affine)


def _around_the_middle(grid: Grid) -> np.ndarray:
    """The affine of the grid's pixels, moved so that their middle is that of the given images."""
    affine, edge = np.array(grid.affine), (grid.size - 1) / 2
    if grid.middle is not None:
        away = grid.middle - grid.place(edge, edge, 0)
        up = grid.directions[2]
        affine[:3, 3] += away - (away @ up) * up
    return affine


def _same_pixels(affine: np.ndarray, planes: tuple[int, ...], grid: Grid) -> list[int] | None:
    """The file's slice for each of the grid, if their pixels coincide to a thousandth; else None."""
    edge = grid.size - 1
    wanted = range(grid.slices or 0) if grid.planes is None else grid.planes
    for_plane = {plane: n for n, plane in enumerate(planes)}
    corners = np.array([(r, c, k, 1) for r in (0, edge) for c in (0, edge) for k in (min(wanted), max(wanted))])
    apart = np.abs((affine - grid.affine) @ corners.T).max()
    if apart > 1e-3 * grid.field_of_view_mm / grid.size or not all(plane in for_plane for plane in wanted):
        return None
    return [for_plane[plane] for plane in wanted]


def _as_scan(
    kspace: KSpace, affine: np.ndarray, planes: tuple[int, ...], lines: np.ndarray, rows: bool
) -> ScannerKSpace:
    """k-space of pixels as a scanner would hold it: the readout first, its zero at pixel n // 2."""
    data = kspace.data.numpy()
    height, width = data.shape[2:]
    sides = np.linalg.norm(affine[:3, :3], axis=0)
    axes, fields = (affine[:3, :3] / sides).T, (float(height * sides[0]), float(width * sides[1]))
    zeros = np.array([(affine @ (height // 2, width // 2, plane, 1))[:3] for plane in planes])
    along = [1, 0, 2] if rows else [0, 1, 2]
    return ScannerKSpace(
        data.swapaxes(2, 3) if rows else data,
        lines,
        (fields[along[0]], fields[along[1]]),
        nearest_axes(axes[along]),
        kspace.noise_std,
        directions=axes[along],
        centres=zeros,
    )


def _resampled(maps: np.ndarray, affine: np.ndarray, to: np.ndarray, size: int) -> np.ndarray:
    """Coil maps ``(..., H, W)`` of one grid at the pixels of another in the same planes, by cubic splines."""
    row, column = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    pixels = np.stack([row, column, np.zeros_like(row), np.ones_like(row)]).reshape(4, -1)
    place = (np.linalg.inv(affine) @ to @ pixels)[:2].reshape(2, size, size)
    if maps.shape[-2:] == (size, size) and np.abs(place - np.stack([row, column])).max() < 1e-3:
        return maps
    flat = maps.reshape(-1, *maps.shape[-2:])
    parts = [[map_coordinates(part, place, order=3, mode="nearest") for part in (m.real, m.imag)] for m in flat]
    moved = [real + 1j * imaginary for real, imaginary in parts]
    return np.stack(moved).reshape(*maps.shape[:-2], size, size).astype(np.complex64)


def _affine(affine: np.ndarray) -> np.ndarray:
    fits = affine.shape == (4, 4) and affine.dtype.kind in "iuf" and np.isfinite(affine).all()
    if not fits or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise InputError("affine must be a regular real (4, 4) matrix, from (row, column, plane) to RAS millimetres.")
    return affine.astype(np.float64)


def _planes(planes: np.ndarray | None, count: int) -> tuple[int, ...] | None:
    if planes is None:
        return None
    if planes.shape != (count,) or planes.dtype.kind not in "iu" or (np.diff(planes.astype(np.int64)) <= 0).any():
        raise InputError(f"planes must be {count} growing whole numbers, the plane of each slice.")
    return tuple(int(plane) for plane in planes)


def _load(path: Path, name: str) -> dict[str, np.ndarray]:
    """Read the arrays of a file; nothing in it is ever executed."""
    if not zipfile.is_zipfile(path):
        raise InputError(f"damaged or no .npz file; k-space of {name} is written by numpy.savez.")
    values = read_arrays(path, (*FIELDS, *FOUND, RANGE, AFFINE, PLANES))
    if lacking := [field for field in FIELDS if field not in values]:
        raise InputError(f"lacks {', '.join(lacking)}; k-space of {name} needs {', '.join(FIELDS)}.")
    return values


def scale_of(limits: np.ndarray | None) -> Normalisation | None:
    """Return the scale that a field ``range`` states."""
    if limits is None:
        return None
    if limits.shape != (2,) or limits.dtype.kind not in "iuf":
        raise InputError("range must be two numbers, the physical values of the image units 0 and 1.")
    return Normalisation(float(limits[0]), float(limits[1]))
