"""What an experiment YAML says: scenarios, methods, and how k-space is acquired."""

from copy import deepcopy
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from a2a.benchmark.mismatch import Mismatch
from a2a.benchmark.settings import MOST, combinations, statuses
from a2a.common.documents import read_yaml
from a2a.common.errors import InputError, whole
from a2a.common.names import Name
from a2a.forward.undersampling import Undersampling
from a2a.methods.interface import ANY2ALL
from a2a.methods.options import check_options, label
from a2a.methods.registry import names
from a2a.samplers.table import find_sampler


class Strict(BaseModel):
    """Settings that are checked field by field and do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Job(Strict):
    """One scenario completed by one method.

    Parameters
    ----------
    given
        The scenario, such as ``"T1 + y(T2FLAIR)"``.
    targets
        Modalities to measure.
    method
        ``"any2all"``, or a name of `a2a.methods.registry.methods`.
    sampler
        Of Any2all, a name of `a2a.samplers.table.samplers`.
    samples
        Completions of each slice.
    every
        Use every n-th slice of each subject.
    dataset
        Of a collection: whose subjects are completed, those that have what is given and measured; a method is told it.
    told
        Another identifier that the method is told in its place, to see what a wrong one costs.
    called
        Name in tables, and in `weights`, of a method that comes with several weights.
    mismatch
        What the method is told that is not so.
    options
        Of the sampler, or of the method, see `a2a.methods.options`. In a YAML they stand beside the other fields:
        ``{sampler: mds, steps: 10, eta: 0.85}``.
    """

    given: str
    targets: tuple[str, ...] = Field(min_length=1)
    method: str = ANY2ALL
    sampler: str = "mds"
    samples: int = Field(1, ge=1, le=10_000)
    every: int = Field(1, ge=1)
    dataset: Name = ""
    told: Name = ""
    called: Name = ""
    mismatch: Mismatch = Mismatch()
    options: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, content: object) -> object:
        """Take every field that is not one of a job for an option."""
        return gathered(content, cls, "options")

    @field_validator("method")
    @classmethod
    def _known(cls, name: str) -> str:
        if name != ANY2ALL and name not in names():
            raise ValueError(f"{name!r} is none of {', '.join([ANY2ALL, *names()])}")
        return name

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        """Refuse options that the sampler or the method does not have, and an identifier of nobody's."""
        if self.told and not self.dataset:
            raise ValueError(f"told: {self.told!r} is told of whose subjects? set dataset, too")
        if self.called and self.method == ANY2ALL:
            raise ValueError(f"called: {ANY2ALL} has the weights of prior and the name of its sampler; leave it out")
        if self.method == ANY2ALL:
            checked(self.sampler, self.options)
            return self
        try:
            check_options(self.method, self.options)
        except InputError as error:
            raise ValueError(str(error).rstrip(".")) from error
        return self

    @property
    def label(self) -> str:
        """Name of the method in a table."""
        if self.method == ANY2ALL:
            named = find_sampler(self.sampler).label(self.options)
        else:
            named = label(self.called or self.method, self.options)
        return f"{named}-told-{self.told}" if self.told else named

    @property
    def settings(self) -> str:
        """Unusual settings of the sampler, and what is not as the method is told, in words."""
        unusual = find_sampler(self.sampler).unusual(self.options) if self.method == ANY2ALL else ""
        return ", ".join(words for words in (unusual, str(self.mismatch)) if words)

    @property
    def evaluations(self) -> int | None:
        """Network evaluations of each sample that the sampler is asked for; None of a compared method."""
        return find_sampler(self.sampler).options(self.options)["steps"] if self.method == ANY2ALL else None

    @property
    def key(self) -> str:
        """What the job says beyond the defaults."""
        return self.model_dump_json(exclude_defaults=True)


class Profile(Strict):
    """How much is computed: what a job leaves open.

    Parameters
    ----------
    data
        Slice store; None for that of the experiment.
    every
        Of each job.
    evaluations
        Most network evaluations of a sample; jobs that ask for more take these, and equal ones are done once.
    samplers
        Options and `samples` of the jobs of a sampler, by its name. In a YAML they stand beside the other fields:
        ``{every: 4, mds: {steps: 50}}``.
    """

    data: Path | None = None
    every: int = Field(1, ge=1)
    evaluations: int | None = Field(None, ge=1)
    samplers: dict[str, dict[str, Any]] = {}

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, content: object) -> object:
        """Take every field that is not one of a profile for a sampler."""
        return gathered(content, cls, "samplers")

    @field_validator("samplers")
    @classmethod
    def _known(cls, said: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name, options in said.items():
            whole("samples", options.get("samples", 1), 1, 10_000)
            checked(name, {option: value for option, value in options.items() if option != "samples"})
        return said

    def fill(self, job: Job) -> Job:
        """Return the job with what it leaves open as the profile says."""
        said = dict(self.samplers.get(job.sampler, {})) if job.method == ANY2ALL else {}
        samples = said.pop("samples", job.samples)
        open_fields = {"every": self.every, "samples": samples}
        update = {name: value for name, value in open_fields.items() if name not in job.model_fields_set}
        options = said | job.options
        if self.evaluations is not None and job.method == ANY2ALL:
            options |= {"steps": min(find_sampler(job.sampler).options(options)["steps"], self.evaluations)}
        return job.model_copy(update=update | {"options": options})


def gathered(content: object, cls: type[BaseModel], into: str) -> object:
    """Move what is no field of a model into one of its fields, so that a YAML can be flat.

    Parameters
    ----------
    content
        What a YAML says; anything but a mapping is left for pydantic to refuse.
    cls
        The model.
    into
        Name of the field.
    """
    if not isinstance(content, dict):
        return content
    own = {name: value for name, value in content.items() if name in cls.model_fields}
    if not isinstance(own.get(into, {}), dict):
        raise ValueError(f"{into} must be a mapping")
    return own | {into: own.get(into, {}) | {name: v for name, v in content.items() if name not in own}}


def checked(sampler: str, options: dict[str, Any]) -> None:
    """Raise ValueError, for pydantic, if a sampler is unknown or has no such options."""
    try:
        find_sampler(sampler).options(options)
    except InputError as error:
        raise ValueError(str(error).rstrip(".")) from error


class Experiment(Strict):
    """Jobs on one data set.

    Parameters
    ----------
    name
        For the record.
    prior, data, precision
        Weights of the prior, the slice store, and the number format in which the prior's network is evaluated.
    split
        Which slices are completed: ``test``, or ``val`` to choose settings, see ``experiments/tuning/``.
    undersampling
        How k-space is acquired.
    seed
        Of noise and samples.
    weights
        Weights of compared methods; by default those in ``weights/``, called ``METHOD-64.safetensors``. A method that
        learns one data set of a collection has one file for each, by identifier.
    learned
        Weights of the network whose features dFD compares, see `a2a.methods.tissues`; None leaves dFD out.
    profiles
        By name; `at` chooses one.
    jobs
        In a YAML they can also be given as `settings` and `methods`: each setting is then completed by each method. A
        setting has ``given`` and ``targets``, or ``each``, see `combinations`.
    """

    name: Name
    prior: Path = Path("weights/phantom-any2all-64.safetensors")
    data: Path = Path("runs/data/phantom-any2all-64-ci")
    precision: Literal["float32", "bfloat16"] = "float32"
    split: Literal["test", "val"] = "test"
    undersampling: Undersampling = Undersampling()
    seed: int = Field(0, ge=0, lt=2**31)
    weights: dict[str, Path | dict[str, Path]] = {}
    learned: Path | None = None
    profiles: dict[str, Profile] = {}
    jobs: tuple[Job, ...] = Field(min_length=1, max_length=MOST)

    @model_validator(mode="before")
    @classmethod
    def _cross(cls, content: object) -> object:
        """Cross settings with methods."""
        if not isinstance(content, dict) or not {"settings", "methods"} & set(content):
            return content
        content = deepcopy(content)
        if "jobs" in content or not {"settings", "methods"} <= set(content):
            raise ValueError("an experiment has either jobs, or settings and methods")
        for field in ("settings", "methods"):
            if not (isinstance(content[field], list) and all(isinstance(entry, dict) for entry in content[field])):
                raise ValueError(f"{field} must be a list of mappings")
        settings = []
        for entry in content["settings"]:
            each = combinations(statuses(entry.pop("each"))) if "each" in entry else [{}]
            settings += [entry | one for one in each]
        if len(settings) * len(content["methods"]) > MOST:
            raise ValueError(f"settings and methods make more than {MOST} jobs")
        rest = {key: value for key, value in content.items() if key not in ("settings", "methods")}
        return rest | {"jobs": [setting | method for setting in settings for method in content["methods"]]}

    def at(self, profile: str | None) -> "Experiment":
        """Return the experiment in a profile, by default ``"ci"``.

        Raises
        ------
        InputError
            If there is no such profile.
        """
        if profile is None and not self.profiles:
            return self
        name = profile or "ci"
        if name not in self.profiles:
            known = ", ".join(self.profiles) or "none"
            raise InputError(f"The experiment {self.name} has no profile {name!r}; it has {known}.")
        chosen = self.profiles[name]
        jobs = {filled.key: filled for filled in map(chosen.fill, self.jobs)}
        return self.model_copy(update={"jobs": tuple(jobs.values()), "data": chosen.data or self.data})

    @classmethod
    def load(cls, path: Path) -> "Experiment":
        """Read and validate a YAML.

        Raises
        ------
        InputError
            If the file is missing or no YAML, or a field is unknown, missing or out of range (the field is named).
        """
        return read_yaml(path, cls, "experiments are the YAML files in experiments/")
