"""Finished jobs of a benchmark that is under way, so that a killed one goes on and two do not disturb each other.

Beside the table lies a folder ``.NAME.partial`` with the rows of each finished job and a lock, which belongs to the
process: a killed one leaves none behind. When all jobs are done, they become the table and the folder goes.
"""

import os
import shutil
from pathlib import Path

import pandas as pd
from filelock import FileLock, Timeout

from a2a.benchmark.table import read_table, write_table
from a2a.common.errors import Failure, InputError

RESULTS = "[!.]*.parquet"  # names that begin with a dot are files that a killed run was writing


class PartialResults:
    """The partial results of one table, held by one process at a time. Used as a context.

    Parameters
    ----------
    out
        The table.

    Raises
    ------
    InputError
        On entering: if nothing can be written beside `out`.
    Failure
        On entering: if another benchmark writes the same table.
    """

    def __init__(self, out: Path) -> None:
        self.out = Path(out).absolute()
        self.folder = self.out.with_name(f".{self.out.name}.partial")
        self._lock = FileLock(self.folder / "lock", timeout=0)

    def __enter__(self) -> "PartialResults":
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout:
            raise Failure(f"Another a2a bench is writing {self.out}; wait until it has finished.") from None
        except OSError as error:
            raise InputError(
                f"{self.out} cannot be written ({error.strerror}); choose another file for --out."
            ) from error
        return self

    def __exit__(self, *error: object) -> None:
        if not any(self.folder.glob(RESULTS)):
            shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.release()

    def done(self) -> dict[str, pd.DataFrame]:
        """Rows of finished jobs, by job: those of the table, and those that a killed run left."""
        files = [*([self.out] if self.out.is_file() else []), *sorted(self.folder.glob(RESULTS))]
        return {job: rows for path in files for job, rows in read_table(path).groupby("job", sort=False)}

    def add(self, job: str, rows: pd.DataFrame) -> None:
        """Keep the rows of a job that has just been finished."""
        write_table(self.folder / f"{job}.parquet", rows)

    def join(self, rows: pd.DataFrame) -> None:
        """Write the whole table and remove the partial results."""
        whole = self.folder / "whole"  # a kill while it is written leaves nothing beside the table
        write_table(whole, rows)
        os.replace(whole, self.out)
        for path in self.folder.glob(RESULTS):
            path.unlink()
