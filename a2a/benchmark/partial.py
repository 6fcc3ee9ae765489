"""Finished jobs of a benchmark that is under way, so that a killed one goes on and two do not disturb each other.

Beside the table lies a folder ``.NAME.partial`` with the rows of each finished job. When all jobs are done, they become
the table and the folder goes.
"""

import os
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path

import pandas as pd

from a2a.benchmark.table import read_table, write_table
from a2a.common.errors import InputError
from a2a.common.files import require_regular, say_if_full
from a2a.common.outputs import check_file, hold, remove, sweep

RESULTS = "[!.]*.parquet"  # names that begin with a dot are files that a killed run was writing


class PartialResults:
    """The partial results of one table, held by one process at a time. Used as a context.

    Parameters
    ----------
    out
        The table.
    jobs
        Those that it will hold.
    overwrite
        Drop rows of other jobs that the table holds now.

    Raises
    ------
    InputError
        On entering: if no regular file can be written at `out`, or it holds rows of other jobs and `overwrite` is not
        set.
    Failure
        On entering: if another benchmark writes the same table. On leaving: if the disk is full.
    """

    def __init__(self, out: Path, jobs: Collection[str], overwrite: bool = False) -> None:
        self.named, self.out = Path(out), check_file(out)
        self.folder = self.out.with_name(f".{self.out.name}.partial")
        self._jobs, self._overwrite, self._held = jobs, overwrite, ExitStack()

    def __enter__(self) -> "PartialResults":
        with ExitStack() as held:
            held.enter_context(hold(self.out))
            held.enter_context(say_if_full(self.named))
            self.folder.mkdir(exist_ok=True)
            held.callback(self._leave)
            sweep(self.folder)
            self._require_kept()
            self._held = held.pop_all()
        return self

    def _leave(self) -> None:
        if not any(self.folder.glob(RESULTS)):
            remove(self.folder)

    def __exit__(self, *error: object) -> None:
        self._held.__exit__(*error)

    def _require_kept(self) -> None:
        table = read_table(self.out) if self.out.exists() else None
        if table is None or self._overwrite or (lost := table[~table["job"].isin(self._jobs)]).empty:
            return
        raise InputError(
            f"{self.named}: {len(lost)} of its {len(table)} rows are of other jobs, weights or data and would be lost; "
            "add --overwrite, or choose another --out."
        )

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
        require_regular(self.out)
        os.replace(whole, self.out)
        for path in self.folder.glob(RESULTS):
            path.unlink()
