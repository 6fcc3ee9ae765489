"""The methods of an experiment, ready to complete: the prior with its samplers, and compared methods with weights."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import torch

from a2a.benchmark.experiment import ANY2ALL, Experiment, Job
from a2a.forward.completion import Completion
from a2a.forward.observation import Observation
from a2a.methods.baselines import BASELINES, Baseline, shipped
from a2a.prior.prior import Prior
from a2a.samplers import mds, mps


@dataclass(frozen=True, eq=False)
class Entrants:
    """What completes the jobs of an experiment.

    Parameters
    ----------
    experiment
        Names the methods and their weights.
    prior
        The trained prior of Any2all.
    batch
        Rows computed together.
    """

    experiment: Experiment
    prior: Prior
    batch: int = 16

    @cached_property
    def baselines(self) -> dict[str, Baseline]:
        """The compared methods by name.

        Raises
        ------
        InputError
            If weights are missing, of another method, or of other modalities than the prior.
        """
        names = dict.fromkeys(job.method for job in self.experiment.jobs if job.method != ANY2ALL)
        paths = {name: self.experiment.weights.get(name, shipped(name)) for name in names}
        return {name: BASELINES[name].load(path, self.prior.spec) for name, path in paths.items()}

    def weights(self, job: Job) -> str:
        """Hash of the weights that do a job."""
        return (self.prior if job.method == ANY2ALL else self.baselines[job.method]).digest[:16]

    def precision(self, job: Job) -> str:
        """Number format in which the network of a job is evaluated."""
        return "bfloat16" if job.method == ANY2ALL and self.prior.bf16 else "float32"

    def key(self, job: Job, store: str) -> str:
        """Hash of all settings that decide the rows of a job on the slices of which `store` is the hash."""
        acquired = self.experiment.model_dump_json(include={"sampling", "seed"})
        settings = (job.key, acquired, self.weights(job), self.precision(job), store)
        return hashlib.sha256("\n".join(settings).encode()).hexdigest()[:16]

    def refusal(self, job: Job, observation: Observation) -> str | None:
        """Return why the method of a job cannot use an observation, or None."""
        return None if job.method == ANY2ALL else self.baselines[job.method].accepts(observation)

    def complete(self, job: Job, observation: Observation, rows: list[torch.Generator]) -> Completion:
        """Complete an observation with the method and the settings of a job."""
        if job.method != ANY2ALL:
            return self.baselines[job.method].complete(observation, job.samples, rows)
        course = {"steps": job.steps, "spacing": job.spacing, "restarts": job.restarts}
        common = course | {"samples": job.samples, "rows": rows, "batch": self.batch}
        if job.sampler == "mds":
            return mds(self.prior, observation, eta=job.eta, errors=job.errors, levels=job.levels, **common)
        return mps(self.prior, observation, guidance=job.guidance, scale=job.scale, **common)
