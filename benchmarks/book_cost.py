"""What the book costs: time of ``make book`` from nothing and again, and the memory of all its processes together.

Clones the repository as it is committed into a temporary folder, installs the environment, which is not timed, and
builds twice::

    python benchmarks/book_cost.py --out results/book-cost.csv

Columns: ``build`` (cold or warm), ``profile``, ``jobs``, ``minutes``, ``peak_gib``: the largest sum of the proportional
set sizes of all processes of the build, looked at every two seconds, so that shared pages count once. Linux only.
"""

import argparse
import csv
import io
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from a2a.common.files import write_text
from a2a.common.paths import repository

BETWEEN = 2.0  # seconds


def memory(process: psutil.Process) -> int:
    """Return the bytes that a process and all its descendants hold now."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += one.memory_full_info().pss
    return total


def build(folder: Path, profile: str, jobs: int) -> tuple[float, float]:
    """Run ``make book`` in a clone; return its minutes and its peak memory in GiB."""
    started, peak = time.monotonic(), 0
    with psutil.Popen(["make", "book", f"PROFILE={profile}", f"JOBS={jobs}"], cwd=folder) as make:
        while make.poll() is None:
            with suppress(psutil.NoSuchProcess):
                peak = max(peak, memory(make))
            time.sleep(BETWEEN)
    if make.returncode:
        raise SystemExit(f"make book failed with {make.returncode}")
    return (time.monotonic() - started) / 60, peak / 2**30


def main(arguments: Sequence[str] | None = None) -> None:
    """Clone, build twice, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="ci")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--clone", type=Path, help="a clone to use and to keep, in place of a temporary one")
    parser.add_argument("--out", type=Path, help="CSV file")
    options = parser.parse_args(arguments)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["build", "profile", "jobs", "minutes", "peak_gib"])
    with TemporaryDirectory() as temporary:
        folder = options.clone or Path(temporary, "a2a")
        if not folder.exists():
            subprocess.run(["git", "clone", "--quiet", repository(), folder], check=True)
        subprocess.run(["make", ".venv/.installed"], cwd=folder, check=True)
        for name in ("cold", "warm"):
            minutes, peak = build(folder, options.profile, options.jobs)
            writer.writerow([name, options.profile, options.jobs, f"{minutes:.2f}", f"{peak:.2f}"])
            print(f"{name}: {minutes:.1f} min, {peak:.2f} GiB at most", flush=True)
    if options.out:
        write_text(options.out, table.getvalue())


if __name__ == "__main__":
    main()
