"""Processor time of commands that do nothing but start: help, and the refusal of a mistyped path, before and after.

``python benchmarks/import_cost.py --before COMMIT`` takes the package of a commit from the history of the clone and
writes ``results/import-cost.csv``: for each command the smallest of several runs in seconds, and before over after.
One thread, in a folder of its own; a first run of each, which compiles modules to bytecode, does not count.
"""

import argparse
import csv
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from a2a.common.files import write_text
from a2a.common.paths import repository

GONE = "gone.safetensors"
EXPERIMENT = repository("experiments", "figures", "figure-3.yaml")
COMMANDS = {
    "import a2a": ["-c", "import a2a"],
    "a2a --help": ["-m", "a2a", "--help"],
    "a2a prepare gone.yaml": ["-m", "a2a", "prepare", "gone.yaml", "--out", "out"],
    "a2a train gone.yaml": ["-m", "a2a", "train", "gone.yaml", "--data", "gone"],
    "a2a complete --prior gone": ["-m", "a2a", "complete", "--prior", GONE, "--given", "T1", "--out", "out"],
    "a2a complete --method gone": ["-m", "a2a", "complete", "--method", "gone", "--given", "T1", "--out", "out"],
    "a2a bench gone.yaml": ["-m", "a2a", "bench", "gone.yaml"],
    "a2a bench --profile gone": ["-m", "a2a", "bench", str(EXPERIMENT), "--profile", "gone"],
    "a2a drift --prior gone": ["-m", "a2a", "drift", "--prior", GONE, "--data", "gone"],
    "a2a book --chapter gone": ["-m", "a2a", "book", "--chapter", "gone"],
    "a2a grid gone.yaml": ["-m", "a2a", "grid", "gone.yaml"],
    "a2a phantom --out file": ["-m", "a2a", "phantom", "--out", "file"],
    "a2a data fetch gone": ["-m", "a2a", "data", "fetch", "gone"],
}


def seconds(words: Sequence[str], root: Path, runs: int) -> float:
    """Return the smallest processor time of a command of the package below `root`, in seconds."""
    spent = []
    with TemporaryDirectory() as folder:
        Path(folder, "file").touch()
        for _ in range(runs + 1):
            own = {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
            before = os.times()
            subprocess.run([sys.executable, *words], cwd=folder, env=os.environ | own, capture_output=True)
            after = os.times()
            spent.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return min(spent[1:])


def history(commit: str, folder: Path) -> None:
    """Put the files of a commit into a folder."""
    done = subprocess.run(["git", "-C", repository(), "archive", commit], capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description="Measure what a start and a refusal cost.")
    parser.add_argument("--before", default="e91c0fa", metavar="COMMIT", help="the package to compare with")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=repository("results", "import-cost.csv"))
    options = parser.parse_args(arguments)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["command", "seconds_before", "seconds_after", "before_over_after"])
    with TemporaryDirectory() as folder:
        history(options.before, Path(folder))
        for name, words in COMMANDS.items():
            old, new = (seconds(words, root, options.runs) for root in (Path(folder), repository()))
            writer.writerow([name, f"{old:.2f}", f"{new:.2f}", f"{old / new:.1f}"])
            print(f"{name}: {old:.2f} s, {new:.2f} s")
    write_text(options.out, table.getvalue())


if __name__ == "__main__":
    main()
