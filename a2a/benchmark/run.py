"""Measure methods on a slice store: one experiment in, one long table out.

Each row is (dataset, scenario, method, settings, estimate, subject, modality, metric, value). Observations are
simulated with the same noise for every method, so methods are compared slice by slice.
"""

import json
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from a2a.benchmark.entrants import Entrants
from a2a.benchmark.experiment import Experiment, Job
from a2a.benchmark.measures import measured
from a2a.data.store import SliceStore
from a2a.errors import InputError
from a2a.files import write_json, write_text
from a2a.observation import Observation
from a2a.prior import Prior
from a2a.progress import progress
from a2a.provenance import machine
from a2a.rng import generators
from a2a.scenario import Scenario

TEST_SEED = 2
"""Added to the experiment's seed: the noise of the test split, the same as for the trivial references."""

LABELS = ["dataset", "scenario", "method", "settings", "slices", "evaluations"]
"""Columns that are the same for all rows of a job."""


def run(experiment: Experiment, prior: Prior, store: SliceStore, out: Path, batch: int = 16) -> pd.DataFrame:
    """Do every job that `out` does not hold yet, and write the table after each.

    A scenario that a method cannot use is a fact, not a failure: the JSON beside the table lists it with the reason.

    Parameters
    ----------
    experiment
        The jobs.
    prior
        The trained prior.
    store
        Its test split is completed.
    out
        CSV file; a JSON with the provenance lies beside it. Jobs done before by the same weights are kept.
    batch
        Rows computed together.

    Raises
    ------
    InputError
        If the store has other modalities than the prior, a scenario or target is unknown, or weights are missing.
    """
    if store.spec.names != prior.spec.names:
        raise InputError(f"{store.path} has {', '.join(store.spec.names)}, the prior {', '.join(prior.spec.names)}.")
    for job in experiment.jobs:
        Scenario.parse(job.given, prior.spec)
        for name in job.targets:
            prior.spec.index(name)
    entrants = Entrants(experiment, prior, batch)
    record = _Record.open(out, entrants, store)
    todo = [job for job in experiment.jobs if not record.holds(entrants.key(job))]
    for job in progress(todo, experiment.name):
        started = time.perf_counter()
        table, reason = complete_split(job, entrants, store)
        if reason:
            record.refuse(entrants.key(job), job.label, str(Scenario.parse(job.given, prior.spec)), reason)
        else:
            record.add(entrants.key(job), table, time.perf_counter() - started)
    return record.table


def complete_split(job: Job, entrants: Entrants, store: SliceStore) -> tuple[pd.DataFrame, str | None]:
    """Complete the test split as a job says and measure single samples and, of several, their mean.

    Returns
    -------
    table : pandas.DataFrame
        Empty if the method refuses the scenario.
    reason : str or None
        Why it does.
    """
    split, spec, experiment = store.split("test"), store.spec, entrants.experiment
    chosen = split.thinned(job.every).tolist()
    truth = torch.from_numpy(np.asarray(split.images[chosen], dtype=np.float32))
    noise = generators(experiment.seed + TEST_SEED, chosen)
    observation = Observation.simulate(truth, job.given, spec, experiment.sampling, noise)
    if reason := entrants.refusal(job, observation):
        return pd.DataFrame(), reason
    done = entrants.complete(job, observation, generators(experiment.seed, chosen, job.samples))
    estimates = {"single sample": done.samples[0]}
    if job.samples > 1:
        estimates[f"mean of {job.samples}"] = done.mean
    factor = experiment.sampling.acceleration
    folds = "measured" in observation.kinds and factor > 1 and truth.shape[-2] % factor == 0
    tables = [
        measured(truth, stacks, split.subjects[chosen], spec, job.targets, factor if folds else None).assign(
            estimate=name
        )
        for name, stacks in estimates.items()
    ]
    labels = {
        "dataset": f"{store.manifest['card']}/{store.manifest['profile']}",
        "scenario": str(observation.scenario),
        "method": job.label,
        "settings": job.settings,
        "slices": len(chosen),
    }
    table = pd.concat(tables).assign(**labels, evaluations=done.evaluations, seconds=round(done.seconds, 3))
    return table, None


class _Record:
    """The table and its provenance on disk."""

    def __init__(self, out: Path, identity: dict, table: pd.DataFrame, done: dict, refused: dict):
        self.out, self.identity, self.table, self.done, self.refused = Path(out), identity, table, done, refused

    @classmethod
    def open(cls, out: Path, entrants: Entrants, store: SliceStore) -> "_Record":
        """Continue a table of the same weights, data and acquisition; else begin a new one."""
        experiment, prior = entrants.experiment, entrants.prior
        identity = {
            "experiment": experiment.name,
            "sampling": experiment.sampling.model_dump(mode="json"),
            "seed": experiment.seed,
            "prior": prior.digest,
            "bf16": prior.bf16,
            "store": store.manifest["sha256"]["test.npy"],
        }
        beside = Path(out).with_suffix(".json")
        if beside.is_file() and Path(out).is_file():
            former = json.loads(beside.read_text(encoding="utf-8"))
            if former["identity"] == identity:
                table = pd.read_csv(out, dtype={"subject": str})
                return cls(out, identity, table, former["jobs"], former.get("refused", {}))
        return cls(out, identity, pd.DataFrame(), {}, {})

    def holds(self, key: str) -> bool:
        """Whether a job was done before."""
        return key in self.done or key in self.refused

    def refuse(self, key: str, method: str, scenario: str, reason: str) -> None:
        """Note why a job has no rows."""
        self.refused[key] = {"method": method, "scenario": scenario, "reason": reason}
        self._describe()

    def add(self, key: str, table: pd.DataFrame, seconds: float) -> None:
        """Add the rows of a job in place of those of former weights, and write both files."""
        self.done[key] = round(seconds, 1)
        self.table = pd.concat([self._without(table), table], ignore_index=True)
        write_text(self.out, self.table.to_csv(index=False, float_format="%.6g"))
        self._describe()

    def _describe(self) -> None:
        """Write what the table is, beside it."""
        content = {"identity": self.identity, "jobs": self.done, "refused": self.refused, "machine": machine()}
        write_json(self.out.with_suffix(".json"), content)

    def _without(self, new: pd.DataFrame) -> pd.DataFrame:
        """Return the table without rows of the method, scenario and settings of new ones."""
        if self.table.empty:
            return self.table
        same = (self.table[LABELS].fillna("") == new[LABELS].iloc[0]).all(axis=1)
        return self.table[~same]


def tables(paths: Iterable[Path]) -> pd.DataFrame:
    """Join result tables, such as the references and an experiment, into one."""
    joined = pd.concat([pd.read_csv(path, dtype={"subject": str}) for path in paths], ignore_index=True)
    return joined.assign(settings=joined["settings"].fillna("")) if "settings" in joined else joined
