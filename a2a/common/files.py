"""Writing files so that a reader never meets half of one."""

import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from a2a.common.errors import Failure


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` with a temporary name beside `path`, flush it to disk, then rename it into place.

    The parent folder is made if needed. When `write` fails, `path` keeps its former content and the temporary
    file is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        write(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def folder_atomically(path: Path) -> Iterator[Path]:
    """Fill a temporary folder beside `path` and rename it into place, in exchange for what was there.

    The parent folder is made if needed. When the block fails, `path` keeps its former content and the temporary
    folder is removed.

    Yields
    ------
    pathlib.Path
        The temporary folder, empty.
    """
    path = Path(path).absolute()
    partial, old = (path.with_name(f".{os.getpid()}.{path.name}.{word}") for word in ("partial", "old"))
    shutil.rmtree(partial, ignore_errors=True)  # a process of this number that was killed may have left one
    partial.mkdir(parents=True)
    try:
        yield partial
        if path.exists():
            path.rename(old)
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def say_if_full(path: Path) -> Iterator[None]:
    """Turn the error of a full disk inside the block into one sentence that names `path`.

    Raises
    ------
    Failure
        If the disk or the user's share of it is full, or a file outgrew the process's limit.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise Failure(f"There is no room to write {path} ({error.strerror}); free some and start again.") from error


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically (UTF-8)."""
    write_atomically(path, lambda p: p.write_text(text, encoding="utf-8"))


_PLAIN = r'(?:[^\[\]{}"\n]|"(?:[^"\\\n]|\\.)*"|\n\s+)*?'
_INNERMOST = re.compile(rf"\[\n\s+({_PLAIN})\n\s+\]|\{{\n\s+({_PLAIN})\n\s+\}}")


def write_json(path: Path, value: object) -> None:
    """Write JSON atomically, keys sorted and plain lists on one line, so that equal content is equal bytes."""

    def on_one_line(found: re.Match[str]) -> str:
        inside = re.sub(r",\n\s+", ", ", found[1] or found[2])
        return f"[{inside}]" if found[1] else f"{{{inside}}}" if len(inside) < 100 else found[0]

    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    write_text(path, _INNERMOST.sub(on_one_line, text) + "\n")
