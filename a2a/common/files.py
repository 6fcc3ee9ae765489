"""Writing files and folders so that a reader never meets half of one, and a kill costs neither the old nor the new."""

import ctypes
import errno
import json
import os
import re
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from a2a.common.errors import Failure, InputError

LEFT = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}\.(?P<word>partial|old)", re.DOTALL)
"""Names of `temporary`: those that are there when nobody writes were left by a process that died."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_HERE, _EXCHANGE, _SWAP = -100, 2, 2  # AT_FDCWD, RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS


def temporary(path: Path, word: str = "partial") -> Path:
    """Return a hidden name beside `path` that no other process makes, whichever machine it runs on.

    Parameters
    ----------
    path
        What will be put in place.
    word
        ``"partial"`` for what is being written, ``"old"`` for what is being replaced.
    """
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.{word}")


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` with a temporary name beside `path`, flush it to disk, then rename it into place.

    The parent folder is made if needed. When `write` fails, `path` keeps its former content and the temporary
    file is removed. A link stays, and what it points to is replaced.

    Raises
    ------
    InputError
        If something else than a regular file is at `path`, such as a device.
    """
    path = Path(os.path.realpath(path))
    require_regular(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = temporary(path)
    try:
        write(partial)
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        require_regular(path)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def require_regular(path: Path) -> None:
    """Refuse a place for a file where something else is: a folder, a device, a pipe.

    Raises
    ------
    InputError
        Naming the place.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file.")
    if os.path.lexists(path) and not path.is_file():
        raise InputError(f"{path} is no regular file, so it is not replaced; name another one.")


@contextmanager
def folder_atomically(path: Path) -> Iterator[Path]:
    """Fill a temporary folder beside `path` and put it in place, in exchange for what was there.

    The parent folder is made if needed. When the block fails, `path` keeps its former content and the temporary
    folder is removed.

    Yields
    ------
    pathlib.Path
        The temporary folder, empty.
    """
    path = Path(os.path.realpath(path))
    partial = temporary(path)
    partial.mkdir(parents=True)
    try:
        yield partial
        put_in_place(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def put_in_place(folder: Path, path: Path) -> None:
    """Rename a folder to `path`, in exchange for a folder that may be there, which is removed.

    Where the system can exchange two names at once, one of the two is at `path` at every moment. Elsewhere there is a
    moment without either; after a kill just then, `a2a.common.outputs.hold` puts the old one back.
    """
    if not path.is_dir() or not any(path.iterdir()):
        folder.rename(path)
    elif _exchange(folder, path):
        shutil.rmtree(folder, ignore_errors=True)
    else:
        old = temporary(path, "old")
        path.rename(old)
        folder.rename(path)
        shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Let two names of a file system change places in one step; False where system or file system cannot."""
    library, names = ctypes.CDLL(None), (os.fsencode(one), os.fsencode(other))
    if sys.platform == "linux" and hasattr(library, "renameat2"):
        return library.renameat2(_HERE, names[0], _HERE, names[1], _EXCHANGE) == 0
    if sys.platform == "darwin" and hasattr(library, "renamex_np"):
        return library.renamex_np(*names, _SWAP) == 0
    return False


@contextmanager
def say_if_full(path: Path, needed: int = 0) -> Iterator[None]:
    """Turn the error of a full disk inside the block into one sentence that names `path` and what is needed.

    Parameters
    ----------
    path
        What is written.
    needed
        Bytes that it takes, 0 if not known.

    Raises
    ------
    Failure
        If the disk or the user's share of it is full, or a file outgrew the process's limit.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise Failure(no_room(path, error.errno, needed)) from error


def no_room(path: Path, reason: int, needed: int = 0) -> str:
    """Return the sentence for what does not fit, for one of the errors `FULL` and `needed` bytes (0: not known).

    Parameters
    ----------
    path
        What could not be written.
    reason
        The error number of the system.
    needed
        Bytes that are missing, where that is known.
    """
    if reason == errno.EFBIG:
        import resource  # there is none on Windows, and no such limit either

        limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        what = f"files of this process may have {format_bytes(limit)} at most (ulimit -f); raise that limit"
    else:
        free = shutil.disk_usage(existing(path)).free
        lacks = "the share of this user is used up" if reason == errno.EDQUOT else f"{format_bytes(free)} are free"
        what = f"{lacks} on its disk; free {format_bytes(needed) if needed else 'some'} there or choose another place"
    return f"There is no room to write {path}: {what}, and start again."


def existing(path: Path) -> Path:
    """Return the deepest folder above (or at) `path` that is there."""
    path = Path(path).absolute()
    return next(place for place in (path, *path.parents) if place.is_dir())


def format_bytes(count: int) -> str:
    """Return a size as people say it: ``"512 B"``, ``"3.4 MB"``, ``"12 GB"``."""
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 999.5:
            break
        size, unit = size / 1000, larger
    return f"{size:.1f} {unit}" if unit != "B" and size < 9.95 else f"{size:.0f} {unit}"


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically (UTF-8; what of a file name is no text becomes ``\\udc..``)."""
    write_atomically(path, lambda p: p.write_text(text, encoding="utf-8", errors="backslashreplace"))


def write_json(path: Path, value: object) -> None:
    """Write JSON atomically, keys sorted and plain lists on one line, so that equal content is equal bytes."""
    normal = json.loads(json.dumps(value, sort_keys=True))
    write_text(path, _laid_out(normal, "") + "\n")


def _laid_out(value: object, indent: str) -> str:
    """JSON of a value: lists of plain values, and short objects of them, on one line."""
    plain = json.dumps(value, ensure_ascii=False)
    inside = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    nested = any(isinstance(part, dict | list) and part for part in inside)
    if not inside or not nested and (isinstance(value, list) or len(plain) < 100):
        return plain
    deeper = indent + "  "
    if isinstance(value, dict):
        parts = [f"{json.dumps(key, ensure_ascii=False)}: {_laid_out(part, deeper)}" for key, part in value.items()]
    else:
        parts = [_laid_out(part, deeper) for part in inside]
    opening, closing = ("{", "}") if isinstance(value, dict) else ("[", "]")
    return f"{opening}\n{deeper}" + f",\n{deeper}".join(parts) + f"\n{indent}{closing}"
