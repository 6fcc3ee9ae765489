"""What an experiment YAML says: scenarios, methods, and how k-space is acquired."""

from copy import deepcopy
from itertools import product
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from a2a.common.errors import InputError
from a2a.forward.undersampling import Sampling
from a2a.methods.baselines import BASELINES
from a2a.methods.interface import mds_name
from a2a.samplers.conditioned import Levels

ANY2ALL = "any2all"


class Strict(BaseModel):
    """Settings that are checked field by field and do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Course(Strict):
    """How a sampler goes.

    Parameters
    ----------
    steps, samples
        Network evaluations, and completions of each slice.
    eta, errors, levels
        DDIM noise level of MDS, what it takes errors of the clean estimate for, and how it shows clean modalities to
        the network.
    guidance, scale
        How MPS is guided, and its step size if by ``"norm"``.
    spacing, restarts
        See `a2a.samplers.reverse.reverse`.
    """

    steps: int = Field(150, ge=1)
    samples: int = Field(1, ge=1)
    eta: float = Field(1.0, ge=0, le=1)
    errors: Literal["independent", "coupled"] = "independent"
    levels: Levels = "shared"
    guidance: Literal["norm", "moment-matched"] = "moment-matched"
    scale: float = Field(0.5, gt=0)
    spacing: Annotated[float, Field(gt=0)] | Literal["log-snr"] = 1.0
    restarts: int = Field(0, ge=0)


class Job(Course):
    """One scenario completed by one method.

    Parameters
    ----------
    given
        The scenario, such as ``"T1 + y(T2FLAIR)"``.
    targets
        Modalities to measure.
    method
        ``"any2all"``, or one of `a2a.methods.baselines.BASELINES`; of a `Course`, these take `samples` alone.
    sampler
        MDS or MPS, of Any2all.
    every
        Use every so-manyth slice of each subject.
    """

    given: str
    targets: tuple[str, ...] = Field(min_length=1)
    method: str = ANY2ALL
    sampler: Literal["mds", "mps"] = "mds"
    every: int = Field(1, ge=1)

    @field_validator("method")
    @classmethod
    def _known(cls, name: str) -> str:
        if name != ANY2ALL and name not in BASELINES:
            raise ValueError(f"{name!r} is none of {', '.join([ANY2ALL, *BASELINES])}")
        return name

    @property
    def label(self) -> str:
        """Name of the method in a table."""
        if self.method != ANY2ALL:
            return self.method
        if self.sampler == "mps":
            return "any2all-mps-norm" if self.guidance == "norm" else "any2all-mps"
        return mds_name(self.errors, self.levels)

    @property
    def settings(self) -> str:
        """Unusual settings of the sampler, in words."""
        unusual = self.model_dump(include={"eta", "spacing", "restarts"}, exclude_defaults=True)
        return ", ".join(f"{name} {v if isinstance(v, str) else f'{v:g}'}" for name, v in unusual.items())

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
    mds, mps
        Of the jobs of a sampler; only what is named here.
    """

    data: Path | None = None
    every: int = Field(1, ge=1)
    mds: Course = Course()
    mps: Course = Course()

    def fill(self, job: Job) -> Job:
        """Return the job with what it leaves open as the profile says."""
        course = {"mds": self.mds, "mps": self.mps}[job.sampler].model_dump(exclude_unset=True)
        said = {"every": self.every} | (course if job.method == ANY2ALL else {})
        return job.model_copy(update={name: v for name, v in said.items() if name not in job.model_fields_set})


class Experiment(Strict):
    """Jobs on one data set.

    Parameters
    ----------
    name
        For the record.
    prior, data, precision
        Weights of the prior, the slice store, and the number format in which the prior's network is evaluated.
    sampling
        How k-space is acquired.
    seed
        Of noise and samples.
    weights
        Weights of compared methods; by default those in ``weights/``, called ``METHOD-64.safetensors``.
    profiles
        By name; `at` chooses one.
    jobs
        In a YAML they can also be given as `settings` and `methods`: each setting is then completed by each method. A
        setting has ``given`` and ``targets``, or ``each``, see `combinations`.
    """

    name: str
    prior: Path = Path("weights/phantom-any2all-64.safetensors")
    data: Path = Path("runs/data/phantom-any2all-64-ci")
    precision: Literal["float32", "bfloat16"] = "float32"
    sampling: Sampling = Sampling()
    seed: int = Field(0, ge=0)
    weights: dict[str, Path] = {}
    profiles: dict[str, Profile] = {}
    jobs: tuple[Job, ...] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _cross(cls, content: object) -> object:
        """Cross settings with methods."""
        if not isinstance(content, dict) or not {"settings", "methods"} & set(content):
            return content
        content = deepcopy(content)
        if "jobs" in content or not {"settings", "methods"} <= set(content):
            raise ValueError("an experiment has either jobs, or settings and methods")
        settings = []
        for entry in content["settings"]:
            each = combinations(entry.pop("each")) if "each" in entry else [{}]
            settings += [entry | one for one in each]
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
        jobs = tuple(chosen.fill(job) for job in self.jobs)
        return self.model_copy(update={"jobs": jobs, "data": chosen.data or self.data})

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
            field = ".".join(map(str, first["loc"])) or "the top level"
            raise InputError(f"{path}: field {field}: {first['msg']}.") from error


def combinations(each: dict[str, list[str]]) -> list[dict[str, object]]:
    """Every combination of what can be given of each modality.

    Parameters
    ----------
    each
        For each modality some of ``"clean"``, ``"measured"`` and ``"missing"``.

    Returns
    -------
    list of dict
        ``given`` and ``targets`` of each combination; its targets are the modalities that are not clean, or all of them
        where all are.

    Raises
    ------
    ValueError
        If a status is none of the three.
    """
    terms = {"clean": "{}", "measured": "y({})", "missing": ""}
    if unknown := {status for statuses in each.values() for status in statuses} - set(terms):
        raise ValueError(f"each: {unknown.pop()!r} is none of {', '.join(terms)}")
    found = []
    for statuses in product(*each.values()):
        given = [terms[status].format(name) for name, status in zip(each, statuses, strict=True) if status != "missing"]
        targets = [name for name, status in zip(each, statuses, strict=True) if status != "clean"]
        found.append({"given": " + ".join(given) or "nothing", "targets": targets or list(each)})
    return found
