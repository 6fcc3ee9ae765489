"""Measure methods on a slice store: one experiment in, one results table out.

Observations are simulated with the same noise for every method, so methods are compared slice by slice.
"""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from a2a.benchmark.experiment import Experiment, Job
from a2a.benchmark.measures import measured, of_slices
from a2a.benchmark.partial import PartialResults
from a2a.benchmark.runners import Runners
from a2a.benchmark.table import NOISE_SEEDS, origin, split_digest, tables
from a2a.common.errors import InputError
from a2a.common.progress import progress
from a2a.common.rng import spawn
from a2a.data.store.read import SliceStore
from a2a.forward.completion import Completion
from a2a.forward.observation import Observation
from a2a.forward.scenario import Scenario
from a2a.prior.prior import Prior


def run(
    experiment: Experiment, prior: Prior, store: SliceStore, out: Path, batch: int = 16, overwrite: bool = False
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

    Returns
    -------
    pandas.DataFrame
        The measurements of subjects, as `a2a.benchmark.table.tables` returns them.

    Raises
    ------
    InputError
        If the store has other modalities than the prior, a scenario or target is unknown, weights are missing, or
        `out` cannot be written, is no results table, or would lose rows.
    Failure
        If another benchmark writes `out`, or the disk is full.
    """
    if store.spec.names != prior.spec.names:
        raise InputError(f"{store.path} has {', '.join(store.spec.names)}, the prior {', '.join(prior.spec.names)}.")
    for job in experiment.jobs:
        Scenario.parse(job.given, prior.spec).require_open(job.targets, prior.spec)
    runners = Runners(experiment, prior, batch)
    jobs = {runners.key(job, split_digest(store, experiment.split)): job for job in experiment.jobs}
    with PartialResults(out, jobs, overwrite) as kept:
        done = kept.done()
        for key in progress([key for key in jobs if key not in done], experiment.name):
            rows = complete_split(jobs[key], runners, store)
            done[key] = rows.assign(job=key, **origin(experiment.name, experiment.seed, store, experiment.split))
            kept.add(key, done[key])
        kept.join(pd.concat([done[key] for key in jobs]))
    return tables([out])


def complete_split(job: Job, runners: Runners, store: SliceStore) -> pd.DataFrame:
    """Complete the split of an experiment as a job says and measure single samples and, of several, their mean.

    Parameters
    ----------
    job
        Scenario, method and settings.
    runners
        The methods.
    store
        The slices.

    Returns
    -------
    pandas.DataFrame
        Rows of `a2a.benchmark.table.SCHEMA` without the columns of `a2a.benchmark.table.origin`; a single one with a
        `reason` if the method refuses the scenario.
    """
    split, spec, experiment = store.split(runners.experiment.split), store.spec, runners.experiment
    chosen = split.thinned(job.every).tolist()
    truth = torch.from_numpy(np.asarray(split.images[chosen], dtype=np.float32))
    noise = spawn(experiment.seed + NOISE_SEEDS[experiment.split], chosen)
    observation = Observation.simulate(truth, job.given, spec, experiment.undersampling, noise)
    labels = {
        "scenario": str(observation.scenario),
        "method": job.label,
        "settings": job.settings,
        "slices": len(chosen),
        "weights": runners.weights(job),
        "precision": runners.precision(job),
    }
    method = runners.method(job)
    if reason := method.accepts(observation):
        return pd.DataFrame([labels | {"reason": reason}])
    done = method.complete(observation, job.samples, spawn(experiment.seed, chosen, job.samples))
    if lacking := [name for name in job.targets if done.samples[:, :, spec.index(name)].isnan().all()]:
        return pd.DataFrame([labels | {"reason": f"it does not make {', '.join(lacking)}"}])
    factor = experiment.undersampling.acceleration
    folds = "measured" in observation.kinds and factor > 1 and truth.shape[-2] % factor == 0
    lesion = split.labels[chosen].any(axis=1) if split.labels.shape[1] else None
    paired = set(observation.kinds) != {"missing"}
    measure = partial(measured, acceleration=factor if folds else None, lesion=lesion, paired=paired)
    estimates = _estimates(done)
    tables = [
        measure(truth, stacks, split.subjects[chosen], spec, job.targets).assign(**which)
        for which, stacks in estimates[:: len(done.samples)]  # the first sample, and of several the mean
    ]
    for which, stacks in estimates:
        single = of_slices(truth, stacks, chosen, spec, job.targets)
        tables.append(single.assign(**which, subject=split.subjects[single["slice"]]))
    return pd.concat(tables).assign(**labels, evaluations=done.evaluations, seconds=round(done.seconds, 3))


def _estimates(done: Completion) -> list[tuple[dict, torch.Tensor]]:
    """Each sample, and of several their mean, with the columns that name it."""
    single = [({"estimate": "single sample", "sample": number}, stacks) for number, stacks in enumerate(done.samples)]
    several = len(single)
    return single if several == 1 else [*single, ({"estimate": f"mean of {several}"}, done.mean)]
