"""Execution of chapters by papermill: strict parameters, one folder a run, and a key that says when to run again.

The key covers what an output can depend on: code cells, parameters, and what `a2a.common.provenance.fingerprint`
watches.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError, strip_color

from a2a.bookmaking.chapters import Chapter
from a2a.bookmaking.kernels import OwnKernel
from a2a.common.children import worker_processes
from a2a.common.documents import read_json
from a2a.common.errors import InputError
from a2a.common.files import write_json, write_text
from a2a.common.outputs import hold
from a2a.common.paths import ROOT
from a2a.common.progress import format_seconds
from a2a.common.provenance import commit, machine

START_TIMEOUT = 300


class ChapterFailed(RuntimeError):
    """Chapters failed; the message names the cells, the errors and where the notebooks are kept."""


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
    """Record of an executed chapter, also of one that failed.

    Parameters
    ----------
    chapter, settings, key
        From the `Task`.
    started, seconds
        UTC time and duration.
    commit
        Commit of the repository, with ``+`` where tracked files differ from it.
    machine
        Versions and device, see `a2a.common.provenance.machine`.
    error
        What went wrong in which cell; empty when every cell ran.
    """

    chapter: str
    settings: dict[str, object]
    key: str
    started: str
    seconds: float
    commit: str
    machine: dict[str, object]
    error: str = ""

    @property
    def notebook(self) -> str:
        """Name of the executed notebook in the folder of the run."""
        return "failed.ipynb" if self.error else "executed.ipynb"


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
        run = read_json(folder / "run.json", Run)
        return run if (folder / run.notebook).is_file() else None
    except InputError:
        return None


def execute(task: Task, commit: str, machine: Mapping[str, object]) -> Run:
    """Execute a chapter with papermill in the folder of its task, which is emptied first.

    The folder receives ``executed.ipynb``, ``run.json`` and ``log.txt``; when a cell raises or takes too long, or the
    kernel dies, ``failed.ipynb`` with what ran until then, and ``failure.txt`` with the traceback.

    Parameters
    ----------
    task
        Chapter, parameters and folder.
    commit
        Commit of the code, for the record.
    machine
        Versions and device, for the record.
    """
    shutil.rmtree(task.folder, ignore_errors=True)
    task.folder.mkdir(parents=True)
    started, clock, error = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic(), ""
    partial = task.folder / "executing.ipynb"
    nbformat.write(task.chapter.notebook, partial)
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
                kernel_manager_class=OwnKernel,
            )
    except Exception as exception:
        error, account = _account(exception)
        write_text(task.folder / "failure.txt", f"{error}\n\n{account}\n")
    seconds = round(time.monotonic() - clock, 1)
    run = Run(task.chapter.name, dict(task.settings), task.key, started, seconds, commit, dict(machine), error)
    os.replace(partial, task.folder / run.notebook)
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


def _account(error: Exception) -> tuple[str, str]:
    """Return what went wrong in one line, with the cell where it is known, and the whole story."""
    if isinstance(error, PapermillExecutionError):
        story = f"{error.evalue}\n\n{error.source}\n\n" + strip_color("\n".join(error.traceback))
        return f"{error.ename}: {_first_line(error.evalue)} in cell In [{error.exec_count}]", story
    return f"{type(error).__name__}: {_first_line(str(error))}", str(error)


def _first_line(text: str) -> str:
    return next(iter(text.strip().splitlines()), "").rstrip(".")


def run_all(tasks: Sequence[Task], root: Path, jobs: int, report: Callable[[str], None]) -> list[Run]:
    """Return the runs of all tasks, executing those whose kept run failed or has another key.

    Parameters
    ----------
    tasks
        Tasks with a folder each.
    root
        Root of the repository (for the commit).
    jobs
        Chapters at a time; each gets an equal share of the threads that PyTorch would use here.
    report
        Receives a line whenever a chapter is found unchanged, starts, ends or fails.

    Returns
    -------
    list of Run
        In the order of the tasks; one with an error stops no other, see `complain`.
    """
    kept = {task.name: run for task in tasks if (run := _kept(task))}
    changed = [task for task in tasks if task.name not in kept]
    if kept:
        report(f"unchanged: {', '.join(kept)}")
    runs = kept | (_execute_all(changed, root, jobs, report) if changed else {})
    return [runs[task.name] for task in tasks]


def _kept(task: Task) -> Run | None:
    """The run that is there, if it need not be repeated."""
    run = read_run(task.folder)
    return run if run and run.key == task.key and not run.error else None


def _execute_once(task: Task, commit: str, machine: Mapping[str, object]) -> Run:
    """Execute a task after any other process that works in its folder, unless that one has done it."""
    with hold(task.folder, wait=True):
        return _kept(task) or execute(task, commit, machine)


def complain(tasks: Sequence[Task], runs: Sequence[Run]) -> None:
    """Raise `ChapterFailed` with a sentence for each run that failed, if one did."""
    pairs = [(task.folder / run.notebook, run) for task, run in zip(tasks, runs, strict=True)]
    if told := [f"Chapter {run.chapter} failed with {run.error}; see {path}." for path, run in pairs if run.error]:
        raise ChapterFailed(" ".join(told))


def _execute_all(tasks: Sequence[Task], root: Path, jobs: int, report: Callable[[str], None]) -> dict[str, Run]:
    """Execute tasks in `jobs` worker processes; papermill changes the working directory, so threads would not do."""
    at, with_what = commit(root), machine()

    def one(task: Task) -> tuple[str, Run]:
        name, last = task.name, read_run(task.folder)
        report(f"{name}: executing" + (f" (last time {format_seconds(last.seconds)})" if last else ""))
        run = workers.submit(_execute_once, task, at, with_what).result()
        report(f"{name}: FAILED" if run.error else f"{name}: done in {format_seconds(run.seconds)}")
        return name, run

    share = max(1, with_what["threads"] // jobs)
    with worker_processes(jobs, _prepare_worker, (root, share)) as workers, _waiting(jobs) as threads:
        return dict(threads.map(one, tasks))


@contextmanager
def _waiting(jobs: int) -> Iterator[ThreadPoolExecutor]:
    """Yield threads that wait for workers; when the block fails, nobody waits for what has not begun."""
    threads = ThreadPoolExecutor(jobs)
    try:
        yield threads
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def _prepare_worker(root: Path, threads: int) -> None:
    """Set what the kernels of a worker process inherit."""
    os.environ |= {"A2A_QUIET": "1", "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), ROOT: str(root)}
