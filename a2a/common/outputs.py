"""Where commands write: checked before any work, held by one process at a time, complete or not at all.

What a process left that died while it wrote is cleared when the next one begins to write the same output.
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from a2a.common.errors import Failure, InputError
from a2a.common.files import LEFT, existing, no_room, put_in_place, require_regular, say_if_full, temporary
from a2a.common.progress import remark

LOCK = ".lock"
LONGEST_ADDITION = len("..01234567.partial")


def check_place(path: Path | str, room: int = 0) -> Path:
    """Make sure that something can be written at `path`, before any work is done for it.

    Parameters
    ----------
    path
        A file or folder that is there or will be made; links are followed.
    room
        Bytes that will be needed.

    Returns
    -------
    pathlib.Path
        Where it really is, without links.

    Raises
    ------
    InputError
        If it lies in a loop of links, in a file or where nothing may be written, or its name is too long.
    Failure
        If there is no room for it.
    """
    try:
        real = Path(path).resolve()
    except (OSError, RuntimeError):
        raise InputError(f"{path} is a link that leads back to itself; choose another --out.") from None
    try:
        above = existing(real if real.is_dir() else real.parent)
        new = real.relative_to(above).parts
        if new and os.path.lexists(above / new[0]) and len(new) > 1:
            raise InputError(f"{path} cannot be written, for {above / new[0]} is no folder; choose another --out.")
        longest = os.pathconf(above, "PC_NAME_MAX") - LONGEST_ADDITION if hasattr(os, "pathconf") else 200
        if any(len(os.fsencode(part)) > longest for part in (*new, real.name)):
            raise InputError(f"{path}: a name may have {longest} bytes at most; choose another --out.")
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); choose another --out.") from error
    _check_permission(path, above)
    if room > shutil.disk_usage(above).free:
        raise Failure(no_room(Path(path), errno.ENOSPC, room))
    return real


def _check_permission(path: Path | str, folder: Path) -> None:
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise InputError(f"{path} cannot be written (no permission to write in {folder}); choose another --out.")


def check_file(path: Path | str, room: int = 0) -> Path:
    """Make sure that a regular file can be written at `path`; return where it really is. See `check_place`."""
    real = check_place(path, room)
    require_regular(real)
    return real


@contextmanager
def hold(path: Path, *, inside: bool = False, wait: bool = False) -> Iterator[None]:
    """Be the only process that writes `path`, and clear what processes left that died while they wrote it.

    The lock is that of the operating system on a file: it ends with the process.

    Parameters
    ----------
    path
        File or folder, from `check_place`.
    inside
        Whether the file is ``.lock`` in the folder `path`, which is made, or ``.NAME.lock`` beside `path`.
    wait
        Wait for a process that holds it, instead of giving up.

    Raises
    ------
    InputError
        If the lock cannot be written.
    Failure
        If another process holds it.
    """
    place = path / LOCK if inside else path.with_name(f".{path.name}{LOCK}")
    lock = FileLock(place, thread_local=False)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if not wait:
                told = f"{path} is being written by another process; wait until it has ended, or choose another --out."
                raise Failure(told) from None
            remark(f"waiting for another process that is writing {path}")
            lock.acquire()
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); choose another --out.") from error
    try:
        sweep(path)
        yield
    finally:
        with suppress(OSError):  # who waits for a file that has gone takes a new one, see filelock
            place.unlink(missing_ok=True)
        lock.release()


def sweep(path: Path) -> None:
    """Clear what dead processes left of `path`, beside and in it; a folder that one had moved aside comes back."""
    beside = [(found, LEFT.fullmatch(found.name)) for found in path.parent.iterdir()]
    for found, match in beside:
        if match and match["name"] == path.name:
            if match["word"] == "old" and not path.exists():
                found.rename(path)
            else:
                remove(found)
    if path.is_dir():
        for found in left_in(path):
            remove(found)


def left_in(folder: Path) -> list[Path]:
    """Return what dead processes left in a folder; only its holder can tell that they are dead."""
    return [found for found in folder.rglob(".*") if LEFT.fullmatch(found.name)]


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@dataclass(frozen=True)
class OutputFolder:
    """A folder that a command makes: complete or not at all, by one process at a time, never over anything else.

    Parameters
    ----------
    path
        As the user named it; links are followed.
    what
        What will be in it, such as ``"completion"``.
    is_ours
        Whether a folder holds an earlier one.
    overwrite
        Replace an earlier one.
    """

    path: Path
    what: str
    is_ours: Callable[[Path], bool]
    overwrite: bool = False

    def check(self, room: int = 0) -> Path:
        """Refuse a place that cannot be used, before any work; an empty folder is free.

        Parameters
        ----------
        room
            Bytes that will be needed.

        Returns
        -------
        pathlib.Path
            Where the folder really is.

        Raises
        ------
        InputError
            If it cannot be written (see `check_place`), is the folder the user stands in or a mount point, holds
            something else, or an earlier one and `overwrite` is not set.
        Failure
            If there is no room for it.
        """
        real = check_place(self.path, room)
        _check_permission(self.path, existing(real.parent))
        if Path.cwd().is_relative_to(real):
            raise InputError(f"{self.path} is the folder you stand in, or above it; name a new folder for --out.")
        if real.is_mount():
            raise InputError(f"{self.path} is a mount point, which cannot be replaced; name a folder in it for --out.")
        if real.exists() and not (real.is_dir() and not any(real.iterdir())):
            if not (real.is_dir() and self.is_ours(real)):
                found = "is not empty and holds" if real.is_dir() else "is a file and"
                lacks = f"no {self.what}" if real.is_dir() else "no folder"
                raise InputError(f"{self.path} {found} {lacks}; choose another folder for --out.")
            if not self.overwrite:
                raise InputError(
                    f"{self.path} is not empty; add --overwrite to replace the {self.what} in it, or choose another "
                    "folder for --out."
                )
        return real

    @contextmanager
    def make(self, room: int = 0) -> Iterator[Path]:
        """Check and hold the place, and put what the block made there.

        When the block fails, what was there stays and nothing else remains. If another program has filled the place
        meanwhile, what was made is kept beside it.

        Parameters
        ----------
        room
            Bytes that will be needed.

        Yields
        ------
        pathlib.Path
            A temporary folder, empty.

        Raises
        ------
        InputError
            See `check`.
        Failure
            If another process holds the place, there is no room, or another program has filled it meanwhile.
        """
        real = self.check(room)
        with hold(real):
            self.check(room)
            partial = temporary(real)
            try:
                with say_if_full(real, room):
                    partial.mkdir()
                    yield partial
                self.settle(partial, real)
            finally:
                remove(partial)

    def settle(self, made: Path, real: Path) -> None:
        """Put a folder that is complete in place, unless the place cannot be used any more; then keep it beside it."""
        try:
            self.check()
        except InputError as error:
            kept = real.with_name(f"{real.name}-{made.name.split('.')[-2]}")
            made.rename(kept)
            raise Failure(f"{error} What was made meanwhile is kept as {kept}.") from error
        put_in_place(made, real)
