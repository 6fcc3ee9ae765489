"""One job of a benchmark: complete the slices of a split, and measure."""

import warnings
from functools import partial

import numpy as np
import pandas as pd
import torch

from a2a.benchmark.experiment import Job
from a2a.benchmark.measures import measured, of_samples, of_slices
from a2a.benchmark.mismatch import acquired
from a2a.benchmark.runners import Runners
from a2a.benchmark.table import NOISE_SEEDS
from a2a.common.errors import InputError
from a2a.common.rng import spawn
from a2a.data.store.read import SliceStore, Split
from a2a.forward.completion import Completion
from a2a.forward.observation import Observation
from a2a.forward.scenario import Scenario


def complete_split(job: Job, runners: Runners, store: SliceStore) -> pd.DataFrame:
    """Complete the split of an experiment as a job says and measure single samples and, of several, mean and spread.

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
    chosen, truth, observation, done = completion(job, runners, store)
    labels = {
        "scenario": str(observation.scenario),
        "method": job.label,
        "settings": job.settings,
        "slices": len(chosen),
        "weights": runners.weights(job),
        "precision": runners.precision(job),
    }
    if isinstance(done, str):
        return pd.DataFrame([labels | {"reason": done}])
    if lacking := [name for name in job.targets if done.samples[:, :, spec.index(name)].isnan().all()]:
        return pd.DataFrame([labels | {"reason": f"it does not make {', '.join(lacking)}"}])
    factor = experiment.undersampling.acceleration
    folds = "measured" in observation.kinds and factor > 1 and truth.shape[-2] % factor == 0
    lesion = split.labels[chosen].any(axis=1) if split.labels.shape[1] else None
    paired = set(observation.kinds) != {"missing"}
    how = {"acceleration": factor if folds else None, "lesion": lesion, "paired": paired, "learned": runners.learned}
    measure = partial(measured, **how)
    estimates = _estimates(done)
    tables = [
        measure(truth, stacks, split.subjects[chosen], spec, job.targets).assign(**which)
        for which, stacks in estimates[:: len(done.samples)]  # the first sample, and of several the mean
    ]
    for which, stacks in estimates:
        single = of_slices(truth, stacks, chosen, spec, job.targets)
        tables.append(single.assign(**which, subject=split.subjects[single["slice"]]))
    if len(done.samples) > 1:
        spread = of_samples(truth, done.samples, split.subjects[chosen], spec, job.targets)
        tables.append(spread.assign(estimate=f"{len(done.samples)} samples"))
    return pd.concat(tables).assign(**labels, evaluations=done.evaluations, seconds=round(done.seconds, 3))


def completion(
    job: Job, runners: Runners, store: SliceStore
) -> tuple[list[int], torch.Tensor, Observation, Completion | str]:
    """Complete the split of an experiment as a job says.

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
    tuple
        Numbers of the slices, their stacks, what was given, and the completion or why the method refuses.
    """
    split, experiment = store.split(runners.experiment.split), runners.experiment
    chosen = _rows(job, store, split)
    truth = torch.from_numpy(np.asarray(split.images[chosen], dtype=np.float32))
    if store.datasets:
        truth = truth.nan_to_num(0.0)  # of what the subjects lack, which is neither given nor measured
    noise = partial(spawn, experiment.seed + NOISE_SEEDS[experiment.split], chosen)
    observation = acquired(truth, job.given, store.spec, experiment.undersampling, noise, job.mismatch)
    method = runners.method(job)
    if reason := method.accepts(observation):
        return chosen, truth, observation, reason
    with warnings.catch_warnings():  # no subject of a collection has all modalities, and those are not measured
        warnings.filterwarnings("ignore", message="data set .* is a guess")
        done = method.complete(observation, job.samples, spawn(experiment.seed, chosen, job.samples))
    return chosen, truth, observation, done


def _rows(job: Job, store: SliceStore, split: Split) -> list[int]:
    """Slices that a job completes: every n-th of each subject, of a collection of one data set."""
    chosen = split.thinned(job.every)
    if not store.datasets:
        return chosen.tolist()
    spec = store.spec
    kinds = Scenario.parse(job.given, spec).kinds
    needed = [i for i, kind in enumerate(kinds) if kind != "missing"] + [spec.index(name) for name in job.targets]
    whose = np.isin(split.subjects, store.datasets[job.dataset])
    found = chosen[(whose & split.available[:, needed].all(axis=1))[chosen]]
    if not len(found):
        names = ", ".join(spec.names[i] for i in sorted(set(needed)))
        raise InputError(f"{store.path}: no subject of data set {job.dataset} has {names}; measure something else.")
    return found.tolist()


def _estimates(done: Completion) -> list[tuple[dict, torch.Tensor]]:
    """Each sample, and of several their mean, with the columns that name it."""
    single = [({"estimate": "single sample", "sample": number}, stacks) for number, stacks in enumerate(done.samples)]
    several = len(single)
    return single if several == 1 else [*single, ({"estimate": f"mean of {several}"}, done.mean)]
