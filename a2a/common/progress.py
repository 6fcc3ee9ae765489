"""Progress of long work: a bar with the remaining time on a terminal, now and then a line elsewhere."""

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import suppress
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES = 10.0

T = TypeVar("T")


def progress(iterable: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """Iterate over `iterable` and show on standard error how far it is.

    Parameters
    ----------
    iterable
        What to iterate over.
    label
        A few words that name the work.
    total
        Number of items; by default the length of `iterable`, where it has one.

    Yields
    ------
    object
        The items, unchanged.

    Notes
    -----
    On a terminal there is a bar; elsewhere (a log file, a notebook) at most one line in ten seconds, so that
    work shorter than that is silent. The environment variable ``A2A_QUIET=1`` silences both. The remaining time
    extrapolates the mean pace so far.
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    if os.environ.get("A2A_QUIET") == "1":
        yield from iterable
    elif sys.stderr.isatty():
        yield from _bar(iterable, label, total)
    else:
        yield from _lines(iterable, label, total)


def remark(text: str) -> None:
    """Print a line on standard error, such as what is waited for; ``A2A_QUIET=1`` silences it."""
    if os.environ.get("A2A_QUIET") != "1":
        _say(f"a2a: {text}")


def _say(line: str) -> None:
    """Print a line on standard error, unless nobody can read it any more: work goes on without a reader."""
    with suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def _bar(iterable: Iterable[T], label: str, total: int | None) -> Iterator[T]:
    """Show a bar that disappears when the work is done."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield from bar.track(iterable, total=total, description=label)


def _lines(iterable: Iterable[T], label: str, total: int | None) -> Iterator[T]:
    """Print a line whenever the last one is ten seconds old."""
    start = last = time.monotonic()
    for done, item in enumerate(iterable):
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES:
            _say(describe(label, done, total, now - start))
            last = now
        yield item


def describe(label: str, done: int, total: int | None, seconds: float) -> str:
    """Return the line for `done` items, e.g. ``"sampling: 30 of 150 (20 %), 12 s, about 48 s left"``.

    Parameters
    ----------
    label
        What is counted.
    done, total
        How many of how many; None where the end is not known.
    seconds
        Time so far.
    """
    if not total:
        return f"{label}: {done} done, {format_seconds(seconds)}"
    head = f"{label}: {done} of {total} ({100 * done // total} %), {format_seconds(seconds)}"
    if not done:
        return head
    return f"{head}, about {format_seconds(seconds / done * (total - done))} left"


def format_seconds(seconds: float) -> str:
    """Return a duration as people say it: ``"48 s"``, ``"3 min 20 s"``, ``"2 h 05 min"``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
