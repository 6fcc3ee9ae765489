"""k-space files of any kind, brought to the prior's grid and to image units.

========================  ===========================================================================================
``.npz``                  of this package, `a2a.data.kspace.npz`: on the grid, with maps and noise level
``.h5`` of fastMRI        datasets ``kspace``, ``mask``, ``ismrmrd_header``, see `a2a.data.kspace.hdf5`
``.h5`` of ISMRMRD        acquisitions as a scanner's converter writes them, see `a2a.data.kspace.ismrmrd`
========================  ===========================================================================================

Both are placed by what they state, the affine of an ``.npz`` and the header of a scanner's file, see
`a2a.data.kspace.grid`, whose docstring states the conventions. Where a file states no position, that is said, and its
middle is taken as that of the given images. Coil maps are given or estimated (`a2a.data.kspace.coil_maps`), and whether
data and operator agree is checked (`a2a.data.kspace.check`). Explained in the chapter "Your own NIfTI files".
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from skimage.filters import threshold_otsu

from a2a.common.errors import InputError
from a2a.common.progress import remark
from a2a.data.kspace.check import require_centred, require_explained
from a2a.data.kspace.coil_maps import estimated_maps, read_maps
from a2a.data.kspace.frame import Grid
from a2a.data.kspace.grid import ScannerKSpace, to_grid
from a2a.data.kspace.hdf5 import read_hdf5
from a2a.data.kspace.npz import KSpaceFile, placed_npz, read_npz
from a2a.data.kspace.phase import with_phase
from a2a.data.volumes.normalisation import Normalisation
from a2a.forward.measured import AnyKSpace

NPZ, HDF5 = (".npz",), (".h5", ".hdf5", ".mrd")
SUFFIXES = (*NPZ, *HDF5)
_PEAK = (0.05, 4.0)
_DAMPING = 0.01


def is_kspace(path: Path | str) -> bool:
    """Whether a file's name says that it holds k-space."""
    return Path(path).suffix.lower() in SUFFIXES


def read_kspace(path: Path, name: str, grid: Grid, maps: Path | None = None, axes: str | None = None) -> KSpaceFile:
    """Read the measured k-space of one modality.

    Parameters
    ----------
    path
        ``.npz``, or HDF5 of fastMRI or ISMRMRD.
    name
        The modality, for messages.
    grid
        Where it is needed.
    maps
        Coil maps for a scanner's file, see `a2a.data.kspace.coil_maps.read_maps`; by default those in the file, and
        where there are none they are estimated.
    axes
        Towards where readout, phase encoding and slices run, such as ``"PLS"``, for files that do not say.

    Returns
    -------
    KSpaceFile
        k-space of images in [0, 1], on the grid. Where the file does not state its scale, the percentile of the grid
        of a least-squares reconstruction becomes what the grid says.

    Raises
    ------
    InputError
        If the file is missing, damaged or of another kind, lacks a field, does not fit the grid or its own operator, or
        a package that reads it is not installed; one sentence that begins with the file's name.
    """
    path = Path(path)
    if not is_kspace(path):
        raise InputError(f"{path}: k-space of {name} is a file ending in {', '.join(SUFFIXES)}.")
    if not path.is_file():
        raise InputError(f"{path}: no such file; needed is the k-space of {name}.")
    try:
        if path.suffix.lower() in NPZ:
            if maps is not None:
                raise InputError(f"it holds coil maps itself, so {maps} has no meaning; leave it out.")
            content = _from_npz(path, name, grid)
        else:
            content = _from_scanner(read_hdf5(path), path.name, name, grid, maps, axes)
        _require_image_units(content.kspace, name)
        require_explained(content.kspace, name)
    except InputError as error:
        text = str(error)
        raise InputError(text if maps is not None and text.startswith(str(maps)) else f"{path}: {text}") from None
    return content


def _from_npz(path: Path, name: str, grid: Grid) -> KSpaceFile:
    """Read this package's own file and bring it to the grid."""
    content = read_npz(path, name, grid)
    content.kspace.measurement(name)  # its parts have to fit together before anything is moved
    require_centred(content.kspace.data.numpy(), name)
    if content.affine is None and grid.affine is not None:
        remark(f"{path.name} states no affine; its middle is taken as that of the given images")
    placed = placed_npz(content, grid)
    if not placed.estimated:
        return placed
    kspace = with_phase(placed.kspace, name)
    scaled = KSpaceFile(kspace, placed.scale) if placed.scale else _scaled(kspace, name, grid)
    return replace(placed, kspace=scaled.kspace, scale=scaled.scale)


def _from_scanner(
    scan: ScannerKSpace, file: str, name: str, grid: Grid, maps: Path | None, axes: str | None
) -> KSpaceFile:
    """Bring a scanner's k-space to grid and image units, with maps."""
    if axes is not None and scan.axes not in (None, axes.strip().upper()):
        raise InputError(f"its axes run towards {scan.axes}, as it says itself, and not {axes}; leave them out.")
    if scan.centres is None and grid.affine is not None:
        remark(f"{file} states no position; its middle and its slices are taken as those of the given images")
    placed = to_grid(replace(scan, axes=scan.axes or axes), grid)
    require_centred(scan.data, name)
    found = read_maps(maps, name) if maps is not None else scan.maps
    estimated = found is None
    if estimated:
        found = estimated_maps(*placed.centre(), name)
    elif found.ndim == 4 and len(found) == len(scan.data):
        found = found[placed.order]
    kspace = placed.with_maps(np.asarray(found, dtype=np.complex64))
    if estimated:
        kspace = with_phase(kspace, name)
    content = KSpaceFile(kspace, scan.scale) if scan.scale else _scaled(kspace, name, grid)
    return replace(content, affine=placed.affine)


def _scaled(kspace: AnyKSpace, name: str, grid: Grid) -> KSpaceFile:
    """Scale k-space by the percentile of its damped least-squares images, as images are scaled by theirs.

    For a median only what stands out from air counts, above a third of Otsu's threshold: an image that was not
    skull-stripped is positive everywhere.
    """
    operator, data = kspace.measurement(name)
    b = operator.adjoint(data)
    damping = _DAMPING * float(torch.as_tensor(operator.trace(*b.shape[1:])).mean()) / b[0].numel()
    images = operator.prox(torch.zeros_like(b), b, damping).abs()
    if not bool(images.any()):
        raise InputError(f"k-space of {name} holds nothing but zeros.")
    values = images[images > 0].double().numpy()
    if grid.becomes != 1:
        values = values[values > threshold_otsu(values) / 3]
    high = float(np.percentile(values, grid.percentile)) / grid.becomes
    return KSpaceFile(replace(kspace, data=data / high, noise_std=kspace.noise_std / high), Normalisation(0.0, high))


def _require_image_units(kspace: AnyKSpace, name: str) -> None:
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
