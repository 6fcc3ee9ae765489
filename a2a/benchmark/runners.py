"""The methods of an experiment, ready to complete: the prior with its samplers, and compared methods with weights."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

from a2a.benchmark.experiment import Experiment, Job
from a2a.methods.interface import ANY2ALL, Any2all, Method
from a2a.methods.options import with_options
from a2a.methods.registry import load_method
from a2a.prior.prior import Prior


@dataclass(frozen=True, eq=False)
class Runners:
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
    def compared(self) -> dict[str, Method]:
        """The compared methods by name.

        Raises
        ------
        InputError
            If weights are missing, of another method, or of other modalities than the prior.
        """
        names = dict.fromkeys(job.method for job in self.experiment.jobs if job.method != ANY2ALL)
        return {name: load_method(name, self.experiment.weights.get(name), self.prior.spec) for name in names}

    def method(self, job: Job) -> Method:
        """The method of a job, with the job's settings."""
        if job.method != ANY2ALL:
            return with_options(self.compared[job.method], job.options)
        return Any2all(self.prior, job.sampler, job.options, self.batch)

    def weights(self, job: Job) -> str:
        """Hash of the weights that do a job, its method's name if it has none."""
        return getattr(self.method(job), "digest", job.method)[:16]

    def precision(self, job: Job) -> str:
        """Number format in which the network of a job is evaluated."""
        return "bfloat16" if job.method == ANY2ALL and self.prior.bf16 else "float32"

    def key(self, job: Job, store: str) -> str:
        """Hash of all settings that decide the rows of a job on the slices of which `store` is the hash."""
        acquired = self.experiment.model_dump_json(include={"undersampling", "seed"})
        settings = (job.key, acquired, self.weights(job), self.precision(job), store)
        return hashlib.sha256("\n".join(settings).encode()).hexdigest()[:16]
