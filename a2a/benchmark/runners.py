"""The methods of an experiment, ready to complete: the prior with its samplers, and compared methods with weights."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

from a2a.benchmark.experiment import Experiment, Job
from a2a.common.errors import InputError
from a2a.methods.datasets import OfOneDataset, told
from a2a.methods.interface import ANY2ALL, Any2all, Method
from a2a.methods.options import with_options
from a2a.methods.registry import load_method
from a2a.methods.tissues import Tissues
from a2a.prior.prior import Prior
from a2a.prior.shipped import located


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
    def compared(self) -> dict[tuple[str, str], Method]:
        """The compared methods by name and, where they have weights for each data set, its identifier.

        Raises
        ------
        InputError
            If weights are missing, of another method, or of other modalities than the prior.
        """
        jobs = {self._key(job): job for job in self.experiment.jobs if job.method != ANY2ALL}
        return {key: self._loaded(job) for key, job in jobs.items()}

    @cached_property
    def learned(self) -> Tissues | None:
        """The network whose features dFD compares, if the experiment names one."""
        return None if self.experiment.learned is None else Tissues.load(located(self.experiment.learned))

    def _key(self, job: Job) -> tuple[str, str]:
        """Name and, where there are weights for each data set, its identifier."""
        name = job.called or job.method
        return name, job.dataset if isinstance(self.experiment.weights.get(name), dict) else ""

    def _loaded(self, job: Job) -> Method:
        """The compared method of a job."""
        name, dataset = self._key(job)
        found = self.experiment.weights.get(name)
        if not isinstance(found, dict):
            return load_method(job.method, found, self.prior.spec)
        if dataset not in found:
            raise InputError(f"weights: {name} has none for data set {dataset!r}; it has {', '.join(found)}.")
        return OfOneDataset(load_method(job.method, found[dataset]), self.prior.spec)

    def method(self, job: Job) -> Method:
        """The method of a job, with the job's settings, told its data set."""
        if job.method == ANY2ALL:
            return told(Any2all(self.prior, job.sampler, job.options, self.batch), job.told or job.dataset)
        found = self.compared[self._key(job)]
        if isinstance(found, OfOneDataset):
            return OfOneDataset(with_options(found.method, job.options), found.spec)
        return told(with_options(found, job.options), job.told or job.dataset)

    def weights(self, job: Job) -> str:
        """Hash of the weights that do a job, its method's name if it has none."""
        return getattr(self.method(job), "digest", job.method)[:16]

    def precision(self, job: Job) -> str:
        """Number format in which the network of a job is evaluated."""
        return "bfloat16" if job.method == ANY2ALL and self.prior.bf16 else "float32"

    def key(self, job: Job, store: str) -> str:
        """Hash of all settings that decide the rows of a job on the slices of which `store` is the hash."""
        said = {"undersampling", "seed"} | ({"learned"} if self.experiment.learned else set())
        acquired = self.experiment.model_dump_json(include=said)
        settings = (job.key, acquired, self.weights(job), self.precision(job), store)
        return hashlib.sha256("\n".join(settings).encode()).hexdigest()[:16]
