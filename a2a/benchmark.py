"""Measure Any2all on a slice store: one experiment YAML in, one long table out.

Each row is (dataset, scenario, method, settings, estimate, subject, modality, metric, value). Observations are
simulated with the same noise for every method, so methods are compared slice by slice.
"""

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from a2a.completion import Completion
from a2a.data.store import SliceStore
from a2a.errors import InputError
from a2a.evaluation.metrics import subject_table
from a2a.files import write_json, write_text
from a2a.observation import Observation
from a2a.prior import Prior
from a2a.provenance import machine
from a2a.rng import generators
from a2a.samplers import mds, mps
from a2a.sampling import Sampling
from a2a.scenario import Scenario

TEST_SEED = 2
"""Added to the experiment's seed: the noise of the test split, the same as for the trivial references."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Job(_Strict):
    """One scenario completed by one sampler.

    Parameters
    ----------
    given
        The scenario, such as ``"T1 + y(T2FLAIR)"``.
    targets
        Modalities to measure.
    sampler, steps, samples
        MDS or MPS, its network evaluations, and posterior samples of each slice.
    eta
        DDIM noise level of MDS.
    guidance, scale
        How MPS is guided, and its step size if by ``"norm"``.
    spacing, restarts
        See `a2a.samplers.reverse.reverse`.
    every
        Use every so-manyth slice of each subject.
    """

    given: str
    targets: tuple[str, ...] = Field(min_length=1)
    sampler: Literal["mds", "mps"] = "mds"
    steps: int = Field(150, ge=1)
    samples: int = Field(1, ge=1)
    eta: float = Field(1.0, ge=0, le=1)
    guidance: Literal["norm", "moment-matched"] = "moment-matched"
    scale: float = Field(0.5, gt=0)
    spacing: float = Field(1.0, gt=0)
    restarts: int = Field(0, ge=0)
    every: int = Field(1, ge=1)


class Experiment(_Strict):
    """What an experiment YAML says: how k-space is acquired, the seed of noise and samples, and the jobs."""

    name: str
    sampling: Sampling = Sampling()
    seed: int = Field(0, ge=0)
    jobs: tuple[Job, ...] = Field(min_length=1)

    @classmethod
    def load(cls, path: Path) -> "Experiment":
        """Read and validate a YAML.

        Raises
        ------
        InputError
            If the file is missing or no YAML, or a field is unknown, missing or out of range (the field is named).
        """
        try:
            return cls.model_validate(yaml.safe_load(Path(path).read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise InputError(f"{path}: no such file; experiments are the YAML files in experiments/.") from None
        except yaml.YAMLError as error:
            raise InputError(f"{path}: not valid YAML ({error}).") from error
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(f"{path}: field {'.'.join(map(str, first['loc']))}: {first['msg']}.") from error


def run(experiment: Experiment, prior: Prior, store: SliceStore, out: Path, batch: int = 16) -> pd.DataFrame:
    """Do every job that `out` does not hold yet, and write the table after each.

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
        If the store has other modalities than the prior, or a scenario or target is unknown.
    """
    if store.spec.names != prior.spec.names:
        raise InputError(f"{store.path} has {', '.join(store.spec.names)}, the prior {', '.join(prior.spec.names)}.")
    for job in experiment.jobs:
        Scenario.parse(job.given, prior.spec)
        for name in job.targets:
            prior.spec.index(name)
    record = _Record.open(out, experiment, prior, store)
    for job in experiment.jobs:
        if not record.holds(job):
            started = time.perf_counter()
            table = complete_split(job, experiment, prior, store, batch)
            record.add(job, table, time.perf_counter() - started)
    return record.table


def complete_split(job: Job, experiment: Experiment, prior: Prior, store: SliceStore, batch: int) -> pd.DataFrame:
    """Complete the test split as a job says and measure single samples and, of several, their mean."""
    split = store.split("test")
    chosen = split.thinned(job.every).tolist()
    truth = torch.from_numpy(np.asarray(split.images[chosen], dtype=np.float32))
    noise = generators(experiment.seed + TEST_SEED, chosen)
    observation = Observation.simulate(truth, job.given, prior.spec, experiment.sampling, noise)
    done = sample(job, prior, observation, generators(experiment.seed, chosen, job.samples), batch)
    estimates = {"single sample": done.samples[0]}
    if job.samples > 1:
        estimates[f"mean of {job.samples}"] = done.mean
    tables, dataset = [], f"{store.manifest['card']}/{store.manifest['profile']}"
    for name, completed in estimates.items():
        table = subject_table(truth, completed, split.subjects[chosen], prior.spec, job.targets)
        tables.append(table.assign(estimate=name))
    method = "any2all-mps-norm" if job.sampler == "mps" and job.guidance == "norm" else f"any2all-{job.sampler}"
    unusual = job.model_dump(include={"eta", "spacing", "restarts"}, exclude_defaults=True)
    settings = ", ".join(f"{name} {value:g}" for name, value in unusual.items())
    labels = {"dataset": dataset, "scenario": str(observation.scenario), "method": method, "settings": settings}
    labels |= {"slices": len(chosen)}
    return pd.concat(tables).assign(**labels, evaluations=done.evaluations, seconds=round(done.seconds, 1))


def sample(
    job: Job, prior: Prior, observation: Observation, rows: list[torch.Generator], batch: int = 16
) -> Completion:
    """Complete an observation with the sampler and the settings of a job."""
    course = {"steps": job.steps, "spacing": job.spacing, "restarts": job.restarts}
    common = course | {"samples": job.samples, "rows": rows, "batch": batch}
    if job.sampler == "mds":
        return mds(prior, observation, eta=job.eta, **common)
    return mps(prior, observation, guidance=job.guidance, scale=job.scale, **common)


class _Record:
    """The table and its provenance on disk."""

    def __init__(self, out: Path, identity: dict, table: pd.DataFrame, done: dict):
        self.out, self.identity, self.table, self.done = Path(out), identity, table, done

    @classmethod
    def open(cls, out: Path, experiment: Experiment, prior: Prior, store: SliceStore) -> "_Record":
        """Continue a table of the same weights, data and acquisition; else begin a new one."""
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
                return cls(out, identity, pd.read_csv(out, dtype={"subject": str}), former["jobs"])
        return cls(out, identity, pd.DataFrame(), {})

    def holds(self, job: Job) -> bool:
        """Whether a job was done before."""
        return _key(job) in self.done

    def add(self, job: Job, table: pd.DataFrame, seconds: float) -> None:
        """Add the rows of a job and write both files."""
        self.done[_key(job)] = round(seconds, 1)
        self.table = pd.concat([self.table, table], ignore_index=True)
        write_text(self.out, self.table.to_csv(index=False, float_format="%.6g"))
        write_json(self.out.with_suffix(".json"), {"identity": self.identity, "jobs": self.done, "machine": machine()})


def _key(job: Job) -> str:
    """What a job says beyond the defaults."""
    return job.model_dump_json(exclude_defaults=True)


def tables(paths: Iterable[Path]) -> pd.DataFrame:
    """Join result tables, such as the references and an experiment, into one."""
    joined = pd.concat([pd.read_csv(path, dtype={"subject": str}) for path in paths], ignore_index=True)
    return joined.assign(settings=joined["settings"].fillna("")) if "settings" in joined else joined
