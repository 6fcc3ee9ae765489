"""k-space files: one ``.npz`` with data, mask, coil sensitivity maps and noise level of one modality.

Explained in the chapter "Your own NIfTI files".
"""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from a2a.data.normalisation import Normalisation
from a2a.errors import InputError
from a2a.files import write_atomically
from a2a.measured import KSpace

FIELDS = ("kspace", "mask", "maps", "noise_std")
RANGE = "range"
_PEAK = (0.05, 4.0)


@dataclass(frozen=True, eq=False)
class KSpaceFile:
    """What a k-space file holds.

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
    """Write a file that `read_kspace` reads, compressed."""
    kspace, scale = content.kspace, content.scale
    values = (kspace.data.numpy(), kspace.mask.numpy(), kspace.maps.numpy(), np.float64(kspace.noise_std))
    named = dict(zip(FIELDS, values, strict=True)) | ({RANGE: np.array([scale.low, scale.high])} if scale else {})

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            np.savez_compressed(file, **named)

    write_atomically(Path(path), write)


def read_kspace(path: Path, name: str, shape: tuple[int | None, int, int]) -> KSpaceFile:
    """Read the k-space of one modality.

    Parameters
    ----------
    path
        ``.npz`` with ``kspace`` complex `(N, coils, H, W)` (centred, of an orthonormal transform of images in [0, 1],
        slices upwards, rows from anterior to posterior, which is the phase-encode axis H), ``mask`` boolean `(H,)` or
        `(H, W)`, ``maps`` complex `(coils, H, W)`, ``noise_std``, the standard deviation of each real and imaginary
        part, and optionally ``range``, the physical values of the image units 0 and 1.
    name
        The modality, for messages.
    shape
        `(N, H, W)` that is needed; N is None where any number of slices will do.

    Raises
    ------
    InputError
        If the file is missing or damaged, lacks a field, has another shape, or its image would not lie in [0, 1].
    """
    values = _load(Path(path), name)
    data, (slices, height, width) = values["kspace"], shape
    if data.ndim != 4 or data.shape[2:] != (height, width) or len(data) != (slices or len(data)):
        needed = f"({slices or 'slices'}, coils, {height}, {width})"
        raise InputError(f"{path}: k-space of {name} has shape {data.shape}; needed is {needed}.")
    if not np.isin(values["mask"], (0, 1)).all():
        raise InputError(f"{path}: mask must hold only 0 and 1 (or false and true).")
    if values["noise_std"].size != 1 or values["noise_std"].dtype.kind not in "iuf":
        raise InputError(f"{path}: noise_std must be one real number.")
    kspace = KSpace(
        torch.from_numpy(data.astype(np.complex64)) if np.iscomplexobj(data) else torch.from_numpy(data),
        torch.from_numpy(values["mask"].astype(bool)),
        torch.from_numpy(values["maps"].astype(np.complex64)),
        float(values["noise_std"].item()),
    )
    try:
        _require_image_units(kspace, name)
        return KSpaceFile(kspace, _scale(values.get(RANGE)))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _load(path: Path, name: str) -> dict[str, np.ndarray]:
    """Read the arrays of a file; nothing in it is ever executed."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; k-space of {name} is an .npz with {', '.join(FIELDS)}.")
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path}: damaged or no .npz file; k-space of {name} is written by numpy.savez.")
    try:
        with np.load(path, allow_pickle=False) as content:
            values = {field: content[field] for field in content.files if field in (*FIELDS, RANGE)}
    except (zipfile.BadZipFile, zlib.error, ValueError, OSError, EOFError) as error:
        raise InputError(f"{path}: damaged .npz file ({error}).") from error
    if lacking := [field for field in FIELDS if field not in values]:
        raise InputError(f"{path}: lacks {', '.join(lacking)}; k-space of {name} needs {', '.join(FIELDS)}.")
    return values


def _require_image_units(kspace: KSpace, name: str) -> None:
    """Refuse k-space whose image cannot lie in [0, 1].

    The scale is that of the steepest-descent estimate ``b <b, b> / <b, N b>`` with b = A^H y, which needs no solver and
    does not depend on the scale of the maps.
    """
    operator, data = kspace.measurement(name)
    b = operator.adjoint(data)
    curvature = float((b * operator.normal(b)).sum())
    peak = float(b.abs().max() * b.square().sum() / curvature) if curvature > 0 else 0.0
    if not _PEAK[0] <= peak <= _PEAK[1]:
        raise InputError(
            f"k-space of {name} belongs to an image with a largest value of about {peak:.2g}; scale it so that "
            "the image lies in [0, 1] (and noise_std with it)."
        )


def _scale(limits: np.ndarray | None) -> Normalisation | None:
    if limits is None:
        return None
    if limits.shape != (2,) or not np.isrealobj(limits):
        raise InputError("range must be two numbers, the physical values of the image units 0 and 1.")
    return Normalisation(float(limits[0]), float(limits[1]))
