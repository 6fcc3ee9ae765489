"""What ``experiments/references.yaml`` says."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from a2a.common.documents import read_yaml
from a2a.common.names import Name
from a2a.forward.undersampling import Undersampling
from a2a.methods.references.regression import TreesConfig


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ScenarioTargets(_Strict):
    """One block of the table.

    Parameters
    ----------
    given
        The scenario as a person writes it.
    targets
        The modalities to complete.
    every
        Measure on every n-th slice of each test subject.
    regressions
        Whether to fit the regressions too.
    """

    given: str
    targets: tuple[str, ...] = Field(min_length=1)
    every: int = Field(1, ge=1)
    regressions: bool = True


class ReferencesConfig(_Strict):
    """What ``experiments/references.yaml`` says.

    Parameters
    ----------
    name
        Name of the experiment.
    undersampling
        How k-space is acquired.
    scenarios
        The blocks of the table.
    seed
        Of the simulated noise; each split and slice has its own numbers.
    learned
        Weights of the network whose features dFD compares, see `a2a.methods.tissues`; None leaves dFD out.
    profiles
        Size of the boosted trees by profile.
    """

    name: Name
    undersampling: Undersampling = Undersampling()
    scenarios: tuple[ScenarioTargets, ...] = Field(min_length=1)
    seed: int = Field(0, ge=0, lt=2**31)
    learned: Path | None = None
    profiles: Mapping[str, TreesConfig]

    @classmethod
    def load(cls, path: Path) -> "ReferencesConfig":
        """Read and validate the YAML.

        Raises
        ------
        InputError
            If the file is missing or no YAML, or a field is unknown, missing or out of range (the field is named).
        """
        return read_yaml(path, cls, "the experiment is experiments/references.yaml")
