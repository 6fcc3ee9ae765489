"""Execution of chapters by papermill: strict parameters, one folder a run, and a key that says when to run again.

The key covers what an output can depend on: code cells, parameters, and what `a2a.provenance.fingerprint` watches.
"""

import hashlib
import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError, strip_color

from a2a.chapters import Chapter
from a2a.files import write_json, write_text
from a2a.progress import format_seconds
from a2a.provenance import commit, machine

START_TIMEOUT = 300


class ChapterFailed(RuntimeError):
    """A cell of a chapter failed; the message names the cell, the error and where the notebook is kept."""


@dataclass(frozen=True)
class Task:
    """A chapter to execute.

    Parameters
    ----------
    chapter
        The chapter; its source is never written to.
    settings
        Value of every parameter, from `Chapter.settings`; among them ``profile``.
    folder, key
        Of this run alone: working directory with notebook, record and log; see `chapter_key`.
    timeout
        Seconds that one cell may take; None is no limit.
    label
        Its name in reports; by default that of the chapter.
    """

    chapter: Chapter
    settings: Mapping[str, object]
    folder: Path
    key: str
    timeout: float | None = None
    label: str = ""

    @property
    def name(self) -> str:
        """Label or chapter."""
        return self.label or self.chapter.name


@dataclass(frozen=True)
class Run:
    """Record of an executed chapter.

    Parameters
    ----------
    chapter, settings, key
        From the `Task`.
    started, seconds
        UTC time and duration.
    commit
        Commit of the repository, with ``+`` where tracked files differ from it.
    machine
        Versions and device, see `a2a.provenance.machine`.
    """

    chapter: str
    settings: dict[str, object]
    key: str
    started: str
    seconds: float
    commit: str
    machine: dict[str, object]


def chapter_key(chapter: Chapter, settings: Mapping[str, object], watched: str) -> str:
    """Return the key of a run: it changes when, and only when, the run must be repeated.

    Parameters
    ----------
    chapter
        Its code cells count; its prose, captions and alternative texts do not.
    settings
        Value of every parameter.
    watched
        `fingerprint` of the repository.
    """
    text = json.dumps([chapter.code, dict(settings), watched], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read_run(folder: Path) -> Run | None:
    """Return the record of the run kept in `folder`, None if there is no complete one."""
    try:
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        return Run(**record) if (folder / "executed.ipynb").is_file() else None
    except (FileNotFoundError, json.JSONDecodeError, TypeError):
        return None


def execute(task: Task, commit: str, machine: Mapping[str, object]) -> Run:
    """Execute a chapter with papermill in the folder of its task, which is emptied first.

    The folder receives ``executed.ipynb``, ``run.json`` and ``log.txt``; when a cell fails, ``failed.ipynb``,
    ``failure.txt`` and ``log.txt``.

    Raises
    ------
    ChapterFailed
        If a cell raises, takes too long, or its kernel dies.
    """
    shutil.rmtree(task.folder, ignore_errors=True)
    task.folder.mkdir(parents=True)
    started, clock = datetime.now(UTC), time.monotonic()
    partial = task.folder / "executing.ipynb"
    try:
        with open(task.folder / "log.txt", "w", encoding="utf-8") as log, _standard_error_to(log):
            papermill.execute_notebook(
                nbformat.from_dict(task.chapter.notebook),
                partial,
                parameters=dict(task.settings),
                progress_bar=False,
                stdout_file=log,
                stderr_file=log,
                start_timeout=START_TIMEOUT,
                execution_timeout=task.timeout,
                cwd=task.folder,
            )
    except Exception as error:
        raise _failure(task, partial, error) from error
    seconds = round(time.monotonic() - clock, 1)
    stamp = started.isoformat(timespec="seconds")
    run = Run(task.chapter.name, dict(task.settings), task.key, stamp, seconds, commit, dict(machine))
    os.replace(partial, task.folder / "executed.ipynb")
    write_json(task.folder / "run.json", asdict(run))
    return run


@contextmanager
def _standard_error_to(file: TextIO) -> Iterator[None]:
    """Send what this process and its kernels write to standard error, also from compiled code, to `file`."""
    saved = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def _failure(task: Task, partial: Path, error: Exception) -> ChapterFailed:
    """Keep the notebook of a failed run with a short account, and return the exception to raise."""
    kept = task.folder / "failed.ipynb"
    if partial.is_file():
        os.replace(partial, kept)
    if isinstance(error, PapermillExecutionError):
        where, what = f" in cell In [{error.exec_count}]", f"{error.ename}: {error.evalue}"
        account = f"{error.source}\n\n" + strip_color("\n".join(error.traceback))
    else:
        where, what, account = "", f"{type(error).__name__}: {error}", str(error)
    write_text(task.folder / "failure.txt", f"{what}{where}\n\n{account}\n")
    sentence = what.strip().splitlines()[0].rstrip(".")
    return ChapterFailed(f"Chapter {task.chapter.name} failed{where} with {sentence}; see {kept}.")


def run_all(tasks: Sequence[Task], root: Path, jobs: int, report: Callable[[str], None]) -> list[Run]:
    """Return the runs of all tasks, executing those whose kept run has another key.

    Parameters
    ----------
    tasks
        Tasks with a folder each.
    root
        Root of the repository (for the commit).
    jobs
        Chapters at a time; each gets an equal share of the processor's cores.
    report
        Receives a line whenever a chapter is found unchanged, starts, ends or fails.

    Raises
    ------
    ChapterFailed
        After all other chapters were executed, if some failed.
    """
    former = {task.name: read_run(task.folder) for task in tasks}
    runs = {name: run for task in tasks if (run := former[name := task.name]) and run.key == task.key}
    changed = [task for task in tasks if task.name not in runs]
    if runs:
        report(f"unchanged: {', '.join(runs)}")
    failures = []
    for name, outcome in _execute_all(changed, former, root, jobs, report) if changed else ():
        if isinstance(outcome, ChapterFailed):
            failures.append(outcome)
        else:
            runs[name] = outcome
    if failures:
        raise ChapterFailed(" ".join(map(str, failures)))
    return [runs[task.name] for task in tasks]


def _execute_all(
    tasks: Sequence[Task],
    former: Mapping[str, Run | None],
    root: Path,
    jobs: int,
    report: Callable[[str], None],
) -> list[tuple[str, Run | ChapterFailed]]:
    """Execute tasks in `jobs` worker processes; papermill changes the working directory, so threads would not do."""
    at, with_what = commit(root), machine()

    def one(task: Task) -> tuple[str, Run | ChapterFailed]:
        name, last = task.name, former[task.name]
        report(f"{name}: executing" + (f" (last time {format_seconds(last.seconds)})" if last else ""))
        try:
            run = workers.submit(execute, task, at, with_what).result()
        except ChapterFailed as error:
            report(f"{name}: FAILED")
            return name, error
        report(f"{name}: done in {format_seconds(run.seconds)}")
        return name, run

    share = max(1, (os.cpu_count() or 1) // jobs)
    spawn = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(jobs, spawn, initializer=_prepare_worker, initargs=(share,)) as workers,
        ThreadPoolExecutor(jobs) as threads,
    ):
        return list(threads.map(one, tasks))


def _prepare_worker(threads: int) -> None:
    """Set what the kernels of a worker process inherit."""
    os.environ["A2A_QUIET"] = "1"
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)
