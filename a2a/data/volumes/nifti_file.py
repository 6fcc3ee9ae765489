"""The bytes of a NIfTI file: its header is checked before memory is taken, and no more is unfolded than it promises."""

import gzip
import math
import zlib
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import nibabel as nib

from a2a.common.documents import read_bytes, size
from a2a.common.errors import InputError
from a2a.data.volumes.nifti_header import HEADER_ERRORS, require_one_file, require_voxel_size, silent, with_offset

FILE_BYTES, MOST_VOXELS, SLACK = 2**31, 2**27, 2**20
"""Of a file as it lies on the disk, of a volume, and of bytes before and after the voxels."""


def parsed(path: Path) -> nib.Nifti1Image:
    """Decompress a file and parse its header; the class is chosen by the header size that the file states.

    Raises
    ------
    InputError
        If it is no file, truncated, corrupt, no NIfTI, larger than 512 x 512 x 512 voxels, or holds more than its
        header says. The voxels are not read yet.
    """
    if not path.is_file():
        raise InputError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}; a NIfTI file is needed.")
    raw = read_bytes(path, FILE_BYTES)
    try:
        with _unfolding(raw) as stream:
            head = stream.read(540)
            kind = nib.Nifti2Image if 540 in _sizes_of_header(head) else nib.Nifti1Image
            end = _end_of_voxels(kind, head, path)
            raw = head + stream.read(end + SLACK - len(head))
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} is truncated or corrupt ({error}); copy or download it again.") from error
    if len(raw) >= end + SLACK:
        raise InputError(f"{path} unfolds to more than the {size(end)} that its header says; a NIfTI file is needed.")
    try:
        with silent():
            header = kind.header_class.from_fileobj(BytesIO(raw), check=False)
            return kind.from_bytes(with_offset(header, raw, path))
    except InputError:
        raise
    except (*HEADER_ERRORS, OSError, ValueError, OverflowError) as error:
        raise InputError(f"{path} is no NIfTI file or its header is damaged; a .nii or .nii.gz is needed.") from error


def _unfolding(raw: bytes) -> BinaryIO:
    """The bytes of a file, decompressed piece by piece where they are compressed."""
    stream = BytesIO(raw)
    return gzip.GzipFile(fileobj=stream) if raw[:2] == b"\x1f\x8b" else stream


def _sizes_of_header(head: bytes) -> set[int]:
    return {int.from_bytes(head[:4], order) for order in ("little", "big")}


def _end_of_voxels(kind: type[nib.Nifti1Image], head: bytes, path: Path) -> int:
    """Where the voxels end, in bytes, if the header describes a volume that can be read at all."""
    second = kind is nib.Nifti2Image
    magic = head[4:8] if second else head[344:348]
    try:
        with silent():
            require_one_file(kind.header_class.from_fileobj(BytesIO(head), check=False), path)
        if magic != (b"n+2\0" if second else b"n+1\0"):
            raise ValueError("magic")
        with silent():
            header = kind.header_class.from_fileobj(BytesIO(head), check=False)
            require_voxel_size(header, path)
        start = float(header["vox_offset"]) or header.single_vox_offset
        shape, bits = header.get_data_shape(), header.get_data_dtype().itemsize
        header.get_xyzt_units()
        if any(math.isinf(float(header[name])) for name in ("scl_slope", "scl_inter")):
            raise ValueError("scl_slope")
        if not math.isfinite(start) or start < header.sizeof_hdr or start > SLACK:
            raise ValueError("vox_offset")
    except InputError:
        raise
    except (*HEADER_ERRORS, OSError, ValueError, KeyError, OverflowError) as error:
        raise InputError(f"{path} is no NIfTI file or its header is damaged; a .nii or .nii.gz is needed.") from error
    if min(shape, default=0) < 0 or math.prod(shape) > MOST_VOXELS:
        sides = " x ".join(map(str, shape))
        raise InputError(f"{path} has {sides} voxels; at most {MOST_VOXELS} (512 x 512 x 512) are read.")
    return int(start) + math.prod(shape) * bits
