"""Measure methods on a slice store: one experiment in, one results table out.

Observations are simulated with the same noise for every method, so methods are compared slice by slice.
"""

from pathlib import Path

import pandas as pd

from a2a.benchmark.experiment import Experiment, Job
from a2a.benchmark.partial import PartialResults
from a2a.benchmark.runners import Runners
from a2a.benchmark.table import origin, split_digest, tables
from a2a.benchmark.workers import finished
from a2a.common.errors import InputError
from a2a.common.progress import progress
from a2a.data.store.read import SliceStore
from a2a.forward.scenario import Scenario
from a2a.prior.prior import Prior


def run(
    experiment: Experiment,
    prior: Prior,
    store: SliceStore,
    out: Path,
    batch: int = 16,
    overwrite: bool = False,
    workers: int = 1,
) -> pd.DataFrame:
    """Do every job that is not done yet, and write the table of all of them.

    Jobs done before with the same settings, weights and data are kept, be it that `out` holds them or that a run was
    killed. A scenario that a method cannot use is a fact, not a
    failure: a row that says why.

    Parameters
    ----------
    experiment
        The jobs.
    prior
        The trained prior.
    store
        Its test split is completed, or its validation split where the experiment tunes.
    out
        The Parquet file; columns in `a2a.benchmark.table.SCHEMA`.
    batch
        Rows computed together.
    overwrite
        Drop rows of `out` that are of no job of the experiment; without it they are a reason to refuse.
    workers
        Processes that do jobs beside each other, each with its share of the cores. Values do not depend on it.

    Returns
    -------
    pandas.DataFrame
        The measurements of subjects, as `a2a.benchmark.table.tables` returns them.

    Raises
    ------
    InputError
        If the store has other modalities than the prior, a scenario, target or data set is unknown, weights are
        missing, or `out` cannot be written, is no results table, or would lose rows.
    Failure
        If another benchmark writes `out`, the disk is full, or a worker process died.
    """
    if store.spec.names != prior.spec.names:
        raise InputError(f"{store.path} has {', '.join(store.spec.names)}, the prior {', '.join(prior.spec.names)}.")
    for job in experiment.jobs:
        Scenario.parse(job.given, prior.spec).require_open(job.targets, prior.spec)
        _check_dataset(job, store)
    runners = Runners(experiment, prior, batch)
    jobs = {runners.key(job, split_digest(store, experiment.split)): job for job in experiment.jobs}
    with PartialResults(out, jobs, overwrite) as kept:
        done = kept.done()
        missing = {key: job for key, job in jobs.items() if key not in done}
        with finished(missing, runners, store, workers) as results:
            for key, rows in progress(results, experiment.name, len(missing)):
                whence = origin(experiment.name, experiment.seed, store, experiment.split, jobs[key].dataset)
                done[key] = rows.assign(job=key, **whence)
                kept.add(key, done[key])
        kept.join(pd.concat([done[key] for key in jobs]))
    return tables([out])


def _check_dataset(job: Job, store: SliceStore) -> None:
    """Refuse a data set that a store has not, and none where it has several."""
    known = ", ".join(sorted(store.datasets)) or "none"
    if store.datasets and not job.dataset:
        raise InputError(f"dataset: {job.given} is completed of whose subjects? name one of {known}.")
    if job.dataset and job.dataset not in store.datasets:
        raise InputError(f"dataset: {job.dataset!r} is none of the data sets of {store.path}; it has {known}.")
