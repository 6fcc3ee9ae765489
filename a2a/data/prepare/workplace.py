"""Where `prepare` keeps what it has finished, so that a killed run goes on and two runs do not disturb each other.

Beside the store's place lies a folder ``.NAME.preparing`` with one file per finished subject. Others wait for the
process that holds it. The folder goes when the store is complete.
"""

import io
import json
import zipfile
import zlib
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np

from a2a.common.errors import Failure, InputError
from a2a.common.files import write_atomically
from a2a.common.outputs import hold, remove, sweep
from a2a.data.prepare.prepared import PreparedSubject


class Workplace:
    """The folder of unfinished work on one store, held by one process at a time.

    Used as a context; entering it waits for a process that holds it. What killed runs left is removed on entering,
    but for the subjects that they had finished.

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
        self.out = Path(out).resolve()
        self.folder = self.out.with_name(f".{self.out.name}.preparing")
        self._held = ExitStack()

    def __enter__(self) -> "Workplace":
        self._held.enter_context(hold(self.out, wait=True))
        with self._held:
            self.folder.mkdir(exist_ok=True)
            sweep(self.folder)
            self._held = self._held.pop_all()
        return self

    def sweep(self) -> None:
        """Remove what a run left that was killed after the store was complete, unless another run is at work."""
        with suppress(Failure, InputError), hold(self.out):
            self.clear()

    def __exit__(self, *error: object) -> None:
        if not any(self.folder.glob("*.npz")):
            self.clear()
        self._held.close()

    def clear(self) -> None:
        """Remove the folder; the place is held until the context ends."""
        remove(self.folder)

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
