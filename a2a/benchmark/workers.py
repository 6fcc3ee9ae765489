"""Jobs of a benchmark, one after the other or in several processes that share the processor's cores."""

from collections.abc import Iterator, Mapping
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import torch

from a2a.benchmark.complete import complete_split
from a2a.benchmark.experiment import Job
from a2a.benchmark.runners import Runners
from a2a.common.children import worker_processes
from a2a.common.errors import Failure
from a2a.data.store.read import SliceStore

Rows = Iterator[tuple[str, pd.DataFrame]]

_at_work: tuple[Runners, SliceStore] | None = None  # of a worker process, set once when it starts


@contextmanager
def finished(jobs: Mapping[str, Job], runners: Runners, store: SliceStore, workers: int) -> Iterator[Rows]:
    """Yield the key and the rows of each job as it is finished; a number depends neither on the order nor on `workers`.

    Parameters
    ----------
    jobs
        By key.
    runners
        The methods.
    store
        The slices.
    workers
        Processes, each with its share of the cores; 1 works in this process.

    Raises
    ------
    Failure
        If a worker process died.
    """
    if workers == 1 or len(jobs) < 2:
        yield ((key, complete_split(job, runners, store)) for key, job in jobs.items())
        return
    threads = max(1, torch.get_num_threads() // workers)
    with worker_processes(min(workers, len(jobs)), _begin, (runners, store.path, threads)) as pool:
        waiting = {pool.submit(_complete, job): key for key, job in jobs.items()}
        try:
            yield ((waiting[done], done.result()) for done in as_completed(waiting))
        except BrokenProcessPool as error:
            raise Failure(
                "a worker process died, perhaps for lack of memory; run again with fewer --workers"
            ) from error


def _begin(runners: Runners, store: Path, threads: int) -> None:
    global _at_work
    torch.set_num_threads(threads)
    _at_work = runners, SliceStore.open(store)


def _complete(job: Job) -> pd.DataFrame:
    assert _at_work
    return complete_split(job, *_at_work)
