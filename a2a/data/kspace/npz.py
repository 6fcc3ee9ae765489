"""k-space in one ``.npz`` with data, mask, coil sensitivity maps and noise level of one modality.

Explained in the chapter "Your own NIfTI files".
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from a2a.common.errors import InputError
from a2a.common.files import write_atomically
from a2a.data.kspace.arrays import read_arrays
from a2a.data.kspace.grid import Grid
from a2a.data.volumes.normalisation import Normalisation
from a2a.forward.measured import KSpace

FIELDS = ("kspace", "mask", "maps", "noise_std")
RANGE = "range"


@dataclass(frozen=True, eq=False)
class KSpaceFile:
    """What a k-space file holds, on the prior's grid and in image units.

    Parameters
    ----------
    kspace
        Data `(N, coils, H, W)`, mask, maps and noise level.
    scale
        Physical values of the image units 0 and 1; None if they are not known.
    """

    kspace: KSpace
    scale: Normalisation | None = None


def write_kspace(path: Path, content: KSpaceFile) -> None:
    """Write a file that `read_npz` reads, compressed."""
    kspace, scale = content.kspace, content.scale
    values = (kspace.data.numpy(), kspace.mask.numpy(), kspace.maps.numpy(), np.float64(kspace.noise_std))
    named = dict(zip(FIELDS, values, strict=True)) | ({RANGE: np.array([scale.low, scale.high])} if scale else {})

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            np.savez_compressed(file, **named)

    write_atomically(Path(path), write)


def read_npz(path: Path, name: str, grid: Grid) -> KSpaceFile:
    """Read what `write_kspace` wrote.

    Parameters
    ----------
    path
        ``.npz`` with ``kspace`` complex `(N, coils, H, W)` (centred, of an orthonormal transform of images in [0, 1],
        slices upwards, rows from anterior to posterior, which is the phase-encode axis H), ``mask`` boolean `(H,)` or
        `(H, W)`, ``maps`` complex `(coils, H, W)` or `(N, coils, H, W)`, ``noise_std``, the standard deviation of each
        real and imaginary part, and optionally ``range``, the physical values of the image units 0 and 1.
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
    data, size = values["kspace"], grid.size
    if data.ndim != 4 or data.shape[2:] != (size, size) or len(data) != (grid.slices or len(data)):
        needed = f"({grid.slices or 'slices'}, coils, {size}, {size})"
        raise InputError(f"k-space of {name} has shape {data.shape}; needed is {needed}.")
    if not np.isin(values["mask"], (0, 1)).all():
        raise InputError("mask must hold only 0 and 1 (or false and true).")
    if values["noise_std"].size != 1 or values["noise_std"].dtype.kind not in "iuf":
        raise InputError("noise_std must be one real number.")
    kspace = KSpace(
        torch.from_numpy(data.astype(np.complex64)) if np.iscomplexobj(data) else torch.from_numpy(data),
        torch.from_numpy(values["mask"].astype(bool)),
        torch.from_numpy(values["maps"].astype(np.complex64)),
        float(values["noise_std"].item()),
    )
    return KSpaceFile(kspace, scale_of(values.get(RANGE)))


def _load(path: Path, name: str) -> dict[str, np.ndarray]:
    """Read the arrays of a file; nothing in it is ever executed."""
    if not zipfile.is_zipfile(path):
        raise InputError(f"damaged or no .npz file; k-space of {name} is written by numpy.savez.")
    values = read_arrays(path, (*FIELDS, RANGE))
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
