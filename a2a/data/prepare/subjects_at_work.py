"""Preparing subjects one by one or in several processes, each finished one kept at once."""

from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from a2a.common.children import worker_processes
from a2a.common.errors import Failure, InputError
from a2a.common.files import FULL
from a2a.common.progress import progress
from a2a.data.prepare.prepared import SubjectSource
from a2a.data.prepare.workplace import read_part, write_part

_source: SubjectSource | None = None  # of a worker process, set once when it starts


@dataclass(frozen=True)
class Job:
    """One scan, its split, and the file for its result."""

    name: str
    split: str
    path: Path


@dataclass(frozen=True)
class Skipped:
    """A subject that could not be prepared, and why."""

    subject: str
    reason: str


def finish_all(source: SubjectSource, jobs: Sequence[Job], workers: int) -> dict[str, str]:
    """Prepare every subject whose result is not there yet, and say which could not be, with the reason.

    Parameters
    ----------
    source
        Where subjects come from.
    jobs
        What to do.
    workers
        Processes.

    Raises
    ------
    Failure
        If a worker process died.
    """
    skipped = {}
    with _results(source, jobs, workers) as results:
        for job, reason in zip(jobs, progress(results, "preparing", len(jobs)), strict=True):
            if reason:
                skipped[job.name] = reason
    return skipped


@contextmanager
def _results(source: SubjectSource, jobs: Sequence[Job], workers: int) -> Iterator[Iterator[str]]:
    """Reasons in the order of the jobs, from this process or from several fresh ones."""
    if workers == 1 or len(jobs) == 1:
        yield (_finish(source, job) for job in jobs)
        return
    try:
        with worker_processes(min(workers, len(jobs)), _keep, (source,)) as pool:
            yield pool.map(_finish_in_worker, jobs)
    except BrokenProcessPool:
        raise Failure(
            "A worker process died, perhaps for lack of memory; start again with fewer --workers, what is done is kept."
        ) from None


def _keep(source: SubjectSource) -> None:
    """Keep the source for all jobs of this worker process."""
    global _source
    _source = source


def _finish_in_worker(job: Job) -> str:
    return _finish(_source, job)


def _finish(source: SubjectSource, job: Job) -> str:
    """Prepare one subject unless it is there; return why it cannot be, or nothing.

    Only what its files are to blame for is a reason to skip a subject; a full disk ends the run.
    """
    if read_part(job.path, job.name) is not None:
        return ""
    try:
        done = source.prepare(job.name)
    except InputError as error:
        return str(error)
    except OSError as error:
        if error.errno in FULL:
            raise
        return f"{error.filename or job.name} cannot be read: {error.strerror or error}"
    except Exception as error:  # whatever a reader stumbled over must not cost the other subjects
        return f"{job.name} cannot be prepared ({type(error).__name__}: {error})"
    write_part(job.path, done)
    return ""
