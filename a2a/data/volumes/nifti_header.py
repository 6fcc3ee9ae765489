"""What is wrong in headers of NIfTI files and would be repaired silently, or read as something else."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np

from a2a.common.errors import InputError

HEADER_ERRORS = (
    nib.filebasedimages.ImageFileError,
    nib.spatialimages.HeaderDataError,
    nib.wrapstruct.WrapStructError,
)


@contextmanager
def silent() -> Iterator[None]:
    """Keep nibabel from printing what it repairs in a header; what matters is refused in a sentence."""
    logger = nib.imageglobals.logger
    before, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before


def require_one_file(header: nib.Nifti1Header, path: Path) -> None:
    """Refuse one half of a pair of header and image.

    Raises
    ------
    InputError
        If it is.
    """
    if path.suffix.lower() in (".hdr", ".img") or bytes(header["magic"]).rstrip(b"\0") in (b"ni1", b"ni2"):
        raise InputError(f"{path} is one half of a pair (.hdr and .img); convert the two to one .nii or .nii.gz.")


def require_voxel_size(header: nib.Nifti1Header, path: Path) -> None:
    """Refuse a qform without voxel size, of which nibabel would make 1 mm.

    Raises
    ------
    InputError
        If its pixdim has a zero and it has no sform.
    """
    sides = np.asarray(header["pixdim"][1:4], dtype=np.float64)
    if int(header["sform_code"]) == 0 and int(header["qform_code"]) != 0 and not (np.abs(sides) > 0).all():
        found = " x ".join(f"{side:g}" for side in sides)
        raise InputError(f"{path} has a voxel size of {found} in pixdim, so it is unknown; correct it in its header.")


def with_offset(header: nib.Nifti1Header, raw: bytes, path: Path) -> bytes:
    """The file with the offset of its voxels, where its header says 0 and its length says the only one possible.

    Parameters
    ----------
    header
        Is corrected.
    raw
        The file, decompressed.
    path
        For the message.

    Raises
    ------
    InputError
        If the length of the file does not say it either.
    """
    single = header.single_vox_offset
    if float(header["vox_offset"]) != 0:
        return raw
    expected = single + int(np.prod(header.get_data_shape(), dtype=np.int64)) * header.get_data_dtype().itemsize
    if len(raw) != expected:
        raise InputError(
            f"{path} says in its header that voxels begin at byte 0 (vox_offset), and it does not have the "
            f"{expected} bytes with which they would begin at {single}; correct vox_offset."
        )
    header["vox_offset"] = single
    return header.binaryblock + raw[len(header.binaryblock) :]


def require_one_place(image: nib.Nifti1Image, affine: np.ndarray, path: Path) -> None:
    """Refuse a sform and a qform that contradict each other.

    Both may be there and differ if their codes do: one says where the scanner saw the patient, the other lies in an
    atlas. But no space has left and right the other way round.

    Parameters
    ----------
    image
        The file.
    affine
        The one that is used, ``(4, 4)``.
    path
        For the message.

    Raises
    ------
    InputError
        If they mirror each other, or lie more than half a voxel apart under one code.
    """
    codes = int(image.header["sform_code"]), int(image.header["qform_code"])
    if 0 in codes:
        return
    try:
        with silent():
            other = np.asarray(image.header.get_qform(), dtype=np.float64)
    except (*HEADER_ERRORS, ValueError):
        return  # no quaternion, so it says nothing
    apart, mirrored = (
        corner_distance(image.shape[:3], affine, other),
        np.linalg.det(affine[:3, :3]) * np.linalg.det(other[:3, :3]) < 0,
    )
    voxel = float(np.linalg.norm(affine[:3, :3], axis=0).min())
    if mirrored or (codes[0] == codes[1] and apart > voxel / 2):
        what = "left and right are unknown" if mirrored else "its place is unknown"
        raise InputError(
            f"{path}: its sform and its qform contradict each other by up to {apart:.3g} mm, so {what}; correct one of "
            "them or set its code to 0."
        )


def corner_distance(shape: tuple[int, ...], a: np.ndarray, b: np.ndarray) -> float:
    """Largest distance in mm between equal corners of two grids of one shape, by their affines.

    Parameters
    ----------
    shape
        Of both grids.
    a, b
        Their affines ``(4, 4)``, voxels to mm.
    """
    corners = np.array([[*c, 1] for c in product(*((0, n - 1) for n in shape))], dtype=float)
    return float(np.linalg.norm((corners @ (a - b).T)[:, :3], axis=1).max())
