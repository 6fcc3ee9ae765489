"""Where `prepare` keeps what it has finished, so that a killed run goes on and two runs do not disturb each other.

Beside the store's place lies a folder ``.NAME.preparing`` with one file per finished subject and a lock, for which
others wait. The lock belongs to the process (``flock``), so a killed one leaves none behind. The folder goes when the
store is complete.
"""

import io
import json
import re
import shutil
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from a2a.common.errors import InputError
from a2a.common.files import write_atomically
from a2a.common.progress import remark
from a2a.data.prepare.prepared import PreparedSubject


class Workplace:
    """The folder of unfinished work on one store, held by one process at a time.

    Used as a context; entering it waits for a process that holds it. What killed runs left beside the store
    (`StoreWriter`'s temporary folders) is removed on entering.

    Parameters
    ----------
    out
        Where the store will be.

    Raises
    ------
    InputError
        On entering: if nothing can be written beside `out`.
    """

    def __init__(self, out: Path) -> None:
        self.out = Path(out).absolute()
        self.folder = self.out.with_name(f".{self.out.name}.preparing")
        self._lock = FileLock(self.folder / "lock")

    def __enter__(self) -> "Workplace":
        try:
            try:
                self._hold(0)
            except Timeout:
                remark(f"waiting for another a2a prepare that is writing {self.out}")
                self._hold(-1)
        except OSError as error:
            raise InputError(
                f"{self.out} cannot be written ({error.strerror}); choose another folder for --out."
            ) from error
        self._remove_temporary()
        return self

    def _hold(self, seconds: float) -> None:
        """Make the folder and lock it; again whenever a run that has just finished took it away in between."""
        while True:
            self.folder.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                self._lock.acquire(seconds)
                return

    def _remove_temporary(self) -> None:
        left_over = re.compile(rf"\.{re.escape(self.out.name)}\.\d+\.(partial|old)")
        for path in self.out.parent.iterdir():
            if left_over.fullmatch(path.name):
                shutil.rmtree(path, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what a run left that was killed after the store was complete, unless another run is at work."""
        if self.folder.exists():
            with suppress(Timeout, OSError), self._lock.acquire(0):
                self._remove_temporary()
                self.clear()

    def __exit__(self, *error: object) -> None:
        if not any(self.folder.glob("*.npz")):
            self.clear()
        self._lock.release()

    def clear(self) -> None:
        """Remove the folder; the lock is held until the context ends."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def part(self, subject: str, key: str) -> Path:
        """File of a finished subject; `key` changes with everything that its content depends on."""
        return self.folder / f"{subject}-{key[:20]}.npz"


def write_part(path: Path, done: PreparedSubject) -> None:
    """Store a finished subject in one piece; equal content gives equal bytes."""
    packed = {
        "images": done.images,
        "planes": np.asarray(done.planes, dtype=np.int64),
        "z_mm": np.asarray(done.z_mm, dtype=np.float64),
        "record": np.frombuffer(json.dumps(done.record).encode(), dtype=np.uint8),
        "sheet": np.frombuffer(done.sheet, dtype=np.uint8),
        "overlay": np.frombuffer(done.overlay, dtype=np.uint8),
    } | ({} if done.labels is None else {"labels": done.labels})
    buffer = io.BytesIO()
    np.savez(buffer, **packed)
    write_atomically(path, lambda temporary: temporary.write_bytes(buffer.getvalue()))


def read_part(path: Path, subject: str) -> PreparedSubject | None:
    """A finished subject; None if it is not there or damaged."""
    try:
        with np.load(path, allow_pickle=False) as packed:
            values = {name: packed[name] for name in packed.files}
        return PreparedSubject(
            subject,
            values["images"],
            values["planes"].tolist(),
            values["z_mm"].tolist(),
            json.loads(values["record"].tobytes()),
            values["sheet"].tobytes(),
            values["overlay"].tobytes(),
            values.get("labels"),
        )
    except (OSError, ValueError, TypeError, EOFError, LookupError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return None
