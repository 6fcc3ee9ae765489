"""YAML and JSON that others wrote: one reader, and one model at the border of each.

Nothing in a document is executed or believed. It must be a regular file of a bounded size in UTF-8; a key may stand in
a mapping once; there are no aliases and no tags, which unfold and make objects; nesting, digits and control characters
have limits. What YAML would take for another value than its text (``01``, ``1:30``) is refused, and dates are texts.
"""

import os
import stat
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from a2a.common.errors import InputError
from a2a.common.escaping import shown
from a2a.common.plain import field_at, json_values, yaml_values

MEBIBYTE = 2**20
YAML_BYTES = MEBIBYTE
JSON_BYTES = 64 * MEBIBYTE

T = TypeVar("T")


def read_bytes(path: Path | str, limit: int, hint: str = "") -> bytes:
    """Read a regular file of at most `limit` bytes.

    Parameters
    ----------
    path
        The file; a link to one counts, a folder, a pipe, a device or a link in a circle does not.
    limit
        In bytes, checked before anything is read.
    hint
        The end of the sentence where there is no such file.

    Raises
    ------
    InputError
        If it is no such file, cannot be read, or is larger.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # opening a pipe must not wait for a writer
    except FileNotFoundError:
        raise InputError(f"{path}: no such file{f'; {hint}' if hint else ''}.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: it cannot be read ({getattr(error, 'strerror', None) or error}).") from None
    try:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            what = "a folder" if stat.S_ISDIR(about.st_mode) else "a pipe or a device"
            raise InputError(f"{path}: it is {what}, not a file{f'; {hint}' if hint else ''}.")
        if about.st_size > limit:
            raise InputError(f"{path}: it has {size(about.st_size)}; at most {size(limit)} are read.")
        with open(handle, "rb", closefd=False) as file:
            return file.read(limit)
    finally:
        os.close(handle)


def read_text(path: Path | str, limit: int = YAML_BYTES, hint: str = "") -> str:
    """Read a text in UTF-8, with or without a byte-order mark; see `read_bytes`.

    Parameters
    ----------
    path
        The file.
    limit
        Bytes that are read at most.
    hint
        What would be right, for the message of a file that is missing.

    Raises
    ------
    InputError
        If it is in another encoding, beside the reasons of `read_bytes`.
    """
    return decoded(path, read_bytes(path, limit, hint))


def decoded(path: Path | str, raw: bytes) -> str:
    """Return the text of a file's bytes, without a byte-order mark."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{path}: it is UTF-16; save it as UTF-8.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{raw[error.start]:02x} in line {line}"
        raise InputError(f"{path}: it is not UTF-8 ({found}, Latin-1 perhaps); save it as UTF-8.") from None


def size(count: int) -> str:
    """Return a number of bytes as people say it: ``"3 MiB"``."""
    for unit, step in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= step:
            return f"{count / step:.3g} {unit}" if count < 1000 * step else f"{count // step} {unit}"
    return f"{count} bytes"


def read_yaml(path: Path | str, model: type[T], hint: str = "") -> T:
    """Read a YAML and validate it.

    Parameters
    ----------
    path
        The file, of at most 1 MiB.
    model
        A pydantic model, or any type that pydantic can check.
    hint
        What the sentence says where there is no such file.

    Raises
    ------
    InputError
        If the file cannot be read or is no YAML of plain values, or a field is wrong; the first one is named.
    """
    return validated(path, yaml_values(path, read_text(path, YAML_BYTES, hint)), model)


def read_json(path: Path | str, model: type[T], hint: str = "", limit: int = JSON_BYTES) -> T:
    """Read a JSON and validate it; see `read_yaml`. NaN and Infinity are no JSON.

    Parameters
    ----------
    path
        The file.
    model
        What pydantic makes of it.
    hint
        What would be right, for the message of a file that is missing.
    limit
        Bytes that are read at most.
    """
    return validated(path, json_values(path, read_text(path, limit, hint)), model)


def stated_format(path: Path | str) -> str:
    """Return the ``format`` that a JSON of ours states; empty if there is none, to know what may be replaced."""
    try:
        found = read_json(path, dict[str, Any]).get("format", "")
    except InputError:
        return ""
    return found if isinstance(found, str) else ""


def validated(path: Path | str, values: object, model: type[T]) -> T:
    """Return values as `model`, or say in one sentence which field is wrong.

    Parameters
    ----------
    path
        The file, for the message.
    values
        What it holds.
    model
        What pydantic makes of it.

    Raises
    ------
    InputError
        ``FILE: field X: what is wrong``, cut at 200 characters.
    """
    try:
        return TypeAdapter(model).validate_python(values)
    except ValidationError as error:
        raise InputError(f"{path}: {shown(first_fault(error))}.") from None
    except (RecursionError, OverflowError, ArithmeticError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: {shown(f'a value is of the wrong kind ({error})')}.") from None


def first_fault(error: ValidationError) -> str:
    """Return the first field that a model refused and why, and how many more there are."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{field_at(faults[0]['loc'])}: {faults[0]['msg'].removeprefix('Value error, ').rstrip('.')}{more}"
