"""Arrays of NumPy's own formats, read only after their headers were found to describe what a reader can take."""

import lzma
import math
import zipfile
import zlib
from collections.abc import Collection
from io import BytesIO
from pathlib import Path
from tokenize import TokenError
from typing import BinaryIO

import numpy as np

from a2a.common.documents import read_bytes, size
from a2a.common.errors import InputError
from a2a.common.escaping import shown

LARGEST = 2 * 2**30
"""Bytes of an array in memory, and of a file."""
_KINDS = "biufc"
_OF_ZIP = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError, NotImplementedError)
_OF_HEADER = (ValueError, EOFError, SyntaxError, TokenError, OverflowError, TypeError, LookupError)
_DAMAGED = (*_OF_ZIP, *_OF_HEADER, OSError, MemoryError)


def read_array(path: Path) -> np.ndarray:
    """Read the array of a ``.npy`` file.

    Raises
    ------
    InputError
        If the file is damaged, or the array is not of numbers or larger than 2 GiB.
    """
    raw = read_bytes(path, LARGEST)
    try:
        return _array(BytesIO(raw), len(raw), "the array")
    except _DAMAGED as error:
        raise InputError(f"{path}: {_said(error, 'damaged or no .npy file')}") from None


def read_arrays(path: Path, names: Collection[str]) -> dict[str, np.ndarray]:
    """Read some arrays of a ``.npz`` file; those that it lacks are left out.

    Raises
    ------
    InputError
        If the file is damaged or encrypted, a name stands in it twice, or an array is not of numbers or larger than
        2 GiB. The sentence lacks the file's name, which the caller adds.
    """
    raw = read_bytes(path, LARGEST)
    try:
        with zipfile.ZipFile(BytesIO(raw)) as archive:
            members = archive.infolist()
            if len({member.filename for member in members}) < len(members):
                raise InputError("damaged .npz file: a name stands in it twice.")
            wanted = {member.filename.removesuffix(".npy"): member for member in members}
            return {name: _member(archive, wanted[name], name) for name in names if name in wanted}
    except _DAMAGED as error:
        raise _said(error, "damaged .npz file") from None


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> np.ndarray:
    if member.file_size > LARGEST:
        raise InputError(f"{name} says it has {size(member.file_size)}; at most {size(LARGEST)} are read.")
    with archive.open(member) as stream:
        return _array(stream, member.file_size, name)


def _array(stream: BinaryIO, available: int, name: str) -> np.ndarray:
    """Read header and values of one array, in the byte order of this machine."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_columns, dtype = read(stream)
    if dtype.kind not in _KINDS or dtype.names or dtype.subdtype:
        raise InputError(f"{name} is of type {shown(str(dtype), 40)}; needed are numbers.")
    wanted = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or not 0 <= wanted <= available:
        raise InputError(f"{name} says it has {shown(str(shape), 40)} values, more than its file holds.")
    raw = stream.read(wanted)
    if len(raw) < wanted or stream.read(1):
        raise InputError(f"{name} is truncated or longer than its header says.")
    values = np.frombuffer(bytearray(raw), dtype=dtype).reshape(shape[::-1] if by_columns else shape)
    return (values.T if by_columns else values).astype(dtype.newbyteorder("="), copy=False)


def _said(error: Exception, what: str) -> InputError:
    return error if isinstance(error, InputError) else InputError(f"{what} ({shown(str(error), 100).rstrip('.')}).")
