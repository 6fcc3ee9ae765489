"""What an experiment YAML says: scenarios, methods, and how k-space is acquired."""

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from a2a.baselines import BASELINES
from a2a.errors import InputError
from a2a.sampling import Sampling

ANY2ALL = "any2all"


class Strict(BaseModel):
    """Settings that are checked field by field and do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Job(Strict):
    """One scenario completed by one method.

    Parameters
    ----------
    given
        The scenario, such as ``"T1 + y(T2FLAIR)"``.
    targets
        Modalities to measure.
    method
        ``"any2all"``, or one of `a2a.baselines.BASELINES`; what follows is for Any2all alone, but for `samples`.
    sampler, steps, samples
        MDS or MPS, its network evaluations, and completions of each slice.
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
    method: str = ANY2ALL
    sampler: Literal["mds", "mps"] = "mds"
    steps: int = Field(150, ge=1)
    samples: int = Field(1, ge=1)
    eta: float = Field(1.0, ge=0, le=1)
    guidance: Literal["norm", "moment-matched"] = "moment-matched"
    scale: float = Field(0.5, gt=0)
    spacing: float = Field(1.0, gt=0)
    restarts: int = Field(0, ge=0)
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
        return "any2all-mps-norm" if self.sampler == "mps" and self.guidance == "norm" else f"any2all-{self.sampler}"

    @property
    def settings(self) -> str:
        """Unusual settings of the sampler, in words."""
        unusual = self.model_dump(include={"eta", "spacing", "restarts"}, exclude_defaults=True)
        return ", ".join(f"{name} {value:g}" for name, value in unusual.items())

    @property
    def key(self) -> str:
        """What the job says beyond the defaults."""
        return self.model_dump_json(exclude_defaults=True)


class Experiment(Strict):
    """Jobs on one data set.

    Parameters
    ----------
    name
        For the record.
    sampling
        How k-space is acquired.
    seed
        Of noise and samples.
    weights
        Weights of compared methods; by default those in ``weights/``, called ``METHOD-64.safetensors``.
    jobs
        In a YAML they can also be given as `settings` and `methods`: each setting is then completed by each method.
    """

    name: str
    sampling: Sampling = Sampling()
    seed: int = Field(0, ge=0)
    weights: dict[str, Path] = {}
    jobs: tuple[Job, ...] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _cross(cls, content: object) -> object:
        """Cross settings with methods."""
        if not isinstance(content, dict) or not {"settings", "methods"} & set(content):
            return content
        if "jobs" in content or not {"settings", "methods"} <= set(content):
            raise ValueError("an experiment has either jobs, or settings and methods")
        rest = {key: value for key, value in content.items() if key not in ("settings", "methods")}
        return rest | {"jobs": [setting | method for setting in content["settings"] for method in content["methods"]]}

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
