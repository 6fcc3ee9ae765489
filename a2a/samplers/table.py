"""The one table of samplers. Names, defaults, ranges and help of their options are those of their functions.

A sampler is a function ``name(prior, observation, *, options..., samples, generators, batch, on_step)`` in a module of
its own, marked with `sampler`. Python calls it; the command line and experiments read its options here. An option that
a sampler does not have is refused, never ignored.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any, Literal, ParamSpec, get_args, get_origin, get_type_hints

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from a2a.common.entries import SAMPLERS, entries
from a2a.common.errors import InputError
from a2a.forward.completion import Completion

P = ParamSpec("P")

Steps = Annotated[int, Field(ge=1, description="network evaluations of each sample")]
Eta = Annotated[
    Annotated[float, Field(ge=0, le=1)] | Literal["optimal"],
    Field(description="noise of each step: 0 none, 1 ancestral, 'optimal' also what the estimate leaves open"),
]
Spacing = Annotated[
    Annotated[float, Field(gt=0, allow_inf_nan=False)] | Literal["log-snr"],
    Field(description="of the times: 1 is even, more puts more steps near the clean stack, 'log-snr' is even in that"),
]
Restarts = Annotated[int, Field(ge=0, description="how often a finished sample is noised and brought back")]
Rho = Annotated[
    Annotated[float, Field(ge=0, le=1)],
    Field(description="correlation of the noise of neighbouring slices: 0 none, 1 the same noise in all slices"),
]

COMMON = {"samples", "generators", "batch", "on_step"}
"""Keyword parameters of every sampler that say how much is computed, not how."""


@dataclass(frozen=True)
class Sampler:
    """An entry of the table.

    Parameters
    ----------
    name
        Its name, such as ``"mds"``.
    function
        The sampler.
    model
        Its options: fields, defaults and ranges.
    """

    name: str
    function: Callable[..., Completion]
    model: type[BaseModel]

    def options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return all options, those that are not given at their defaults.

        Raises
        ------
        InputError
            If an option is unknown to this sampler or out of its range.
        """
        return self._validated(given, strict=True)

    def parse(self, words: Mapping[str, str]) -> dict[str, Any]:
        """Return the options that words of a command line say, with their types; refused as by `options`."""
        found = self._validated(words, strict=False)
        return {name: found[name] for name in words}

    def help(self) -> dict[str, str]:
        """Return what each option means, with its choices or range and its default."""
        schema = self.model.model_json_schema()["properties"]
        return {name: f"{entry['description']} {_range(entry)}" for name, entry in schema.items()}

    def _validated(self, given: Mapping[str, Any], strict: bool) -> dict[str, Any]:
        try:
            return dict(self.model.model_validate(dict(given), strict=strict))
        except ValidationError as error:
            first = error.errors()[0]
            option = str(first["loc"][0])
            if first["type"] == "extra_forbidden":
                known = ", ".join(self.model.model_fields)
                raise InputError(f"{option}: {self.name} has no such option; it has {known}.") from None
            raise InputError(f"{option}: {first['msg']}, got {first['input']!r} ({self.name}).") from None

    def label(self, given: Mapping[str, Any]) -> str:
        """Name in tables, with each choice that is not the default: ``any2all-mps``, ``any2all-mps-norm``.

        A single evaluation of a prior that is told given modalities as they are is regression, no sample: ``-one``.
        """
        options = self.options(given)
        choices = {name: field for name, field in self.model.model_fields.items() if is_choice(field.annotation)}
        chosen = [options[name] for name, field in choices.items() if options[name] != field.default]
        one = ["one"] if options.get("noise_levels") == "per-modality" and options["steps"] == 1 else []
        return "-".join(["any2all", self.name, *chosen, *one])

    def unusual(self, given: Mapping[str, Any]) -> str:
        """Return what else differs from the defaults, but for the number of steps, in words: ``"eta 0.85"``."""
        options, fields = self.options(given), {n: f for n, f in self.model.model_fields.items() if n != "steps"}
        names = [n for n, field in fields.items() if not is_choice(field.annotation) and options[n] != field.default]
        return ", ".join(f"{name} {v if isinstance(v := options[name], str) else f'{v:g}'}" for name in names)


def _range(schema: Mapping[str, Any]) -> str:
    """Say in brackets what an option may be, and its default."""
    several = [_kind(part) for part in schema.get("anyOf", [schema])]
    default = schema.get("default")
    return f"[{' or '.join(kind for kind in several if kind)}; default {'none' if default is None else default}]"


def _kind(schema: Mapping[str, Any]) -> str:
    """Say what one JSON schema admits."""
    if "enum" in schema or "const" in schema:
        return ", ".join(schema.get("enum", [schema.get("const")]))
    bounds = {"minimum": "from {}", "exclusiveMinimum": "above {}", "maximum": "to {}"}
    words = [text.format(schema[key]) for key, text in bounds.items() if key in schema]
    return " ".join([{"integer": "whole number", "number": "number"}.get(schema.get("type", ""), ""), *words]).strip()


_TABLE: dict[str, Sampler] = {}


def sampler(function: Callable[P, Completion]) -> Callable[P, Completion]:
    """Enter a function into the table under its name and check its options at every call."""
    hints = get_type_hints(function, include_extras=True)
    parameters = inspect.signature(function).parameters.values()
    own: dict[str, Any] = {
        p.name: (hints[p.name], p.default) for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in COMMON
    }
    config = ConfigDict(extra="forbid", frozen=True, strict=True)
    model: type[BaseModel] = create_model(function.__name__, __config__=config, **own)

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> Completion:
        said = {name: value for name, value in kwargs.items() if name not in COMMON}
        entry.options({name: value.item() if isinstance(value, np.generic) else value for name, value in said.items()})
        return function(*args, **kwargs)

    entry = Sampler(function.__name__, checked, model)
    _TABLE[entry.name] = entry
    return checked


def samplers() -> dict[str, Sampler]:
    """Return all samplers by name: those of this package, and those that installed packages enter."""
    for name, entry in entries(SAMPLERS).items():
        if name not in _TABLE:
            entry.load()
    return dict(sorted(_TABLE.items()))


def find_sampler(name: str) -> Sampler:
    """Return a sampler by its name.

    Raises
    ------
    InputError
        If there is none of this name.
    """
    if name not in samplers():
        raise InputError(f"sampler: {name!r} is none of {', '.join(samplers())}.")
    return samplers()[name]


def is_choice(annotation: object) -> bool:
    """Whether an option takes one of some words."""
    return get_origin(annotation) is Literal and all(isinstance(word, str) for word in get_args(annotation))
