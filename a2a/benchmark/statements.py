"""What a paper claims, as data: statements, and the comparisons that stand for them.

Explained in the page "Does it hold?".
"""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from a2a.benchmark.experiment import Strict
from a2a.benchmark.settings import statuses
from a2a.common.documents import read_yaml
from a2a.common.errors import InputError


class Setting(Strict):
    """A scenario and its targets, of a collection those of a data set."""

    given: str
    targets: tuple[str, ...] = Field(min_length=1)
    dataset: str = ""


class Because(Strict):
    """Why a statement does not hold: the `verdict` that is explained, what `decides` it, and a sentence."""

    verdict: Literal["contradicted", "undecided"]
    decides: Literal["prior", "metric", "setting", "subjects", "paper"]
    says: str


def _several(tests: object) -> object:
    """One test stands for a list of one."""
    return [tests] if isinstance(tests, dict) else tests


class _Comparison(Strict):
    settings: tuple[str, ...] = Field(min_length=1)
    metrics: tuple[str, ...] = Field(min_length=1)
    strength: Literal["all", "most"] = "all"


class Order(_Comparison):
    """Methods `better` are better than each of `worse`: the best of them, or with `each` every one.

    By no more than `slightly`, where a metric has a bound there, in units of the metric. Which of several is the best
    was `chosen` on validation subjects, setting by setting; a setting that is not there takes the best of the test.
    """

    kind: Literal["order"]
    better: tuple[str, ...] = Field(min_length=1)
    worse: tuple[str, ...] = Field(min_length=1)
    each: bool = False
    slightly: dict[str, float] = {}
    chosen: dict[str, str] = {}

    @model_validator(mode="after")
    def _one_of_them(self) -> "Order":
        if wrong := [m for m in self.chosen.values() if m not in self.better]:
            raise ValueError(f"chosen: {wrong[0]!r} must be one of {', '.join(self.better)}")
        return self


class Trend(_Comparison):
    """Each of `methods` improves from setting to setting."""

    kind: Literal["trend"]
    methods: tuple[str, ...] = Field(min_length=1)


class FirstStep(_Comparison):
    """For each of `methods` the first step from setting to setting is larger than each later one."""

    kind: Literal["first-step"]
    methods: tuple[str, ...] = Field(min_length=1)


class Rank(_Comparison):
    """In most settings and metrics `method` is not worse than the `at_most`-th best of all."""

    kind: Literal["rank"]
    method: str
    among: tuple[str, ...] = Field(min_length=1)
    at_most: int = Field(ge=1)
    strength: Literal["all", "most"] = "most"


class Acceptance(Strict):
    """`methods` accept every setting, or, as a refusal, none; of `each` every combination (`combinations`)."""

    kind: Literal["acceptance", "refusal"]
    settings: tuple[str, ...] = ()
    each: Annotated[dict[str, list[str]], BeforeValidator(statuses)] = {}
    methods: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _asked(self) -> "Acceptance":
        if bool(self.settings) == bool(self.each):
            raise ValueError("acceptance needs settings, or each for every combination")
        return self


class AllOf(Strict):
    """Other claims hold together."""

    kind: Literal["all-of"]
    claims: tuple[str, ...] = Field(min_length=1)


Test = Annotated[Order | Trend | FirstStep | Rank | Acceptance | AllOf, Field(discriminator="kind")]


class Claim(Strict):
    """One statement: where the paper makes it, in our words, and the comparisons that stand for it.

    Parameters
    ----------
    id, where, says
        Its name, the place, and the sentence.
    tests
        One for each half of the sentence; in the file ``test`` is one or a list.
    because
        Why it does not hold, once that has been looked into; of another verdict than it explains it is not shown.
    before
        The verdict by the rules and results of the round before.
    """

    id: str
    where: str
    says: str
    tests: Annotated[tuple[Test, ...], BeforeValidator(_several)] = Field(alias="test", min_length=1)
    because: Because | None = None
    before: Literal["supported", "contradicted", "undecided"] | None = None


class Claims(Strict):
    """What a YAML in ``experiments/claims/`` says.

    Parameters
    ----------
    paper
        Whose claims.
    experiments
        Names of the experiments whose tables they are set against.
    methods
        The paper's names of methods, and those of the table.
    settings, claims
        By name, and in the paper's order.
    """

    paper: str
    experiments: tuple[str, ...] = Field(min_length=1)
    methods: dict[str, str]
    settings: dict[str, Setting]
    claims: tuple[Claim, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _known(self) -> "Claims":
        """Refuse settings, methods and claims that are not declared."""
        declared = {"settings": self.settings, "methods": self.methods, "claims": [claim.id for claim in self.claims]}
        fields = {"better": "methods", "worse": "methods", "among": "methods", "method": "methods"}
        for claim, test in ((one, test) for one in self.claims for test in one.tests):
            for field, value in test:
                kind = fields.get(field, field)
                names = (value,) if isinstance(value, str) else value
                if kind in declared and (unknown := [name for name in names if name not in declared[kind]]):
                    raise ValueError(f"claim {claim.id}: {kind} has no {unknown[0]!r}")
        return self

    def about(self, figure: int) -> "Claims":
        """Keep the claims that the paper makes beside one of its figures.

        Raises
        ------
        InputError
            If there are none.
        """
        named = re.compile(rf"Figures? (.* )?{figure}[a-z,]?(\s|$)")
        found = tuple(claim for claim in self.claims if named.search(claim.where))
        if not found:
            raise InputError(f"No claim of {self.paper} stands beside its Figure {figure}.")
        return self.model_copy(update={"claims": found})

    @classmethod
    def load(cls, path: Path) -> "Claims":
        """Read and validate the YAML.

        Raises
        ------
        InputError
            If the file is missing or no YAML, or a field is wrong (the field is named).
        """
        return read_yaml(path, cls, "claims are the YAML files in experiments/claims/")
