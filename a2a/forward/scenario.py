"""Which modalities are given, and how, in the notation of the paper: ``T1 + y(T2FLAIR)``."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from a2a.common.errors import InputError
from a2a.forward.stack import StackSpec

Kind = Literal["clean", "measured", "missing"]

_TOKEN = re.compile(r"\s*(?:(?P<word>[^\s+&()]+)|(?P<sign>[+&()])|$)")


@dataclass(frozen=True)
class Scenario:
    """How each modality of a stack is given: as a clean image, as measured k-space, or not at all.

    Written as terms joined by ``+`` or ``&``; a term is a modality for its clean image, ``y(modality)`` for its
    k-space, or ``modality@name`` for data of another operator. Nothing at all is ``""`` or ``"nothing"``. Explained in
    the chapter "The formulation".

    Parameters
    ----------
    names
        Canonical modality names, in stack order.
    kinds
        ``"clean"``, ``"measured"`` or ``"missing"`` for each of them.
    labels
        For each of them the name of the operator that measures it, None for k-space and what is not measured.

    Examples
    --------
    >>> scenario = Scenario.parse("y(flair) & T1", StackSpec.of("T1", "T2FLAIR", "T2star"))
    >>> scenario.kinds, str(scenario)
    (('clean', 'measured', 'missing'), 'T1 + y(T2FLAIR)')
    """

    names: tuple[str, ...]
    kinds: tuple[Kind, ...]
    labels: tuple[str | None, ...] = ()

    def __post_init__(self) -> None:
        if not self.labels:
            object.__setattr__(self, "labels", (None,) * len(self.names))
        if len(self.names) != len(self.kinds) or set(self.kinds) - {"clean", "measured", "missing"}:
            wanted = "one of clean, measured and missing for each"
            raise InputError(f"Kinds {self.kinds} do not describe modalities {self.names}; expected {wanted}.")
        measured = [kind == "measured" for kind in self.kinds]
        if len(self.labels) != len(self.names) or any(
            label and not known for label, known in zip(self.labels, measured, strict=True)
        ):
            raise InputError(f"Labels {self.labels} do not fit {self.kinds}; only what is measured has one.")

    @classmethod
    def parse(cls, text: str, spec: StackSpec) -> "Scenario":
        """Read a scenario.

        Parameters
        ----------
        text
            term ((+|&) term)*, with term = name | y(name) | name@operator; names may be aliases.
        spec
            The stack whose modalities the names are looked up in.

        Raises
        ------
        InputError
            If the text is not of this form (the message gives the character, counted from 1, and what was expected
            there), a modality is unknown, or one is given twice.
        """
        kinds: list[Kind] = ["missing"] * len(spec)
        terms = [] if text.strip().casefold() in ("", "nothing") else list(_terms(text))
        labels: list[str | None] = [None] * len(spec)
        for position, term, kind in terms:
            name, at, label = term.partition("@")
            if at and (kind == "measured" or not label):
                wanted = "modality@operator, or y(modality) for k-space"
                raise InputError(f"Scenario {text!r}, character {position}: expected {wanted}, found {term!r}.")
            try:
                index = spec.index(name)
            except InputError as error:
                raise InputError(f"Scenario {text!r}, character {position}: {error}") from None
            if kinds[index] != "missing":
                twice = f"{spec.names[index]} is given twice; name each modality once"
                raise InputError(f"Scenario {text!r}, character {position}: {twice}.")
            kinds[index], labels[index] = ("measured", label) if at else (kind, None)
        return cls(spec.names, tuple(kinds), tuple(labels))

    def __str__(self) -> str:
        terms = []
        for name, kind, label in zip(self.names, self.kinds, self.labels, strict=True):
            if kind != "missing":
                terms.append(f"{name}@{label}" if label else name if kind == "clean" else f"y({name})")
        return " + ".join(terms) or "nothing"

    def require_open(self, targets: Iterable[str], spec: StackSpec) -> None:
        """Refuse targets that are given clean, for there is nothing to complete; where all are given so, all may be.

        Parameters
        ----------
        targets
            Names or aliases.
        spec
            The stack.

        Raises
        ------
        InputError
            If a target is unknown, or given clean while another modality is not.
        """
        for name in targets:
            if self.kinds[spec.index(name)] == "clean" and set(self.kinds) != {"clean"}:
                raise InputError(f"The target {name} is given clean by {self!s}; complete what is not given so.")

    def indices(self, kind: Kind) -> tuple[int, ...]:
        """Channels of the modalities that are given as `kind`."""
        return tuple(i for i, k in enumerate(self.kinds) if k == kind)


def _terms(text: str) -> Iterator[tuple[int, str, Kind]]:
    """Yield (position of the name, name, kind) of each term, or refuse the text."""
    tokens = _tokens(text)
    while True:
        position, word = _expect(text, next(tokens), "a modality or y(modality)")
        after = next(tokens)
        if word.casefold() == "y" and after[1] == "(":
            position, word = _expect(text, next(tokens), "a modality")
            _expect(text, next(tokens), "')'", ")")
            yield position, word, "measured"
            after = next(tokens)
        else:
            yield position, word, "clean"
        if not after[1]:
            return
        _expect(text, after, "'+', '&' or the end", "+&")


def _tokens(text: str) -> Iterator[tuple[int, str]]:
    """Yield (position from 1, token): words and signs, and at last an empty token for the end."""
    for match in _TOKEN.finditer(text):
        token = match["word"] or match["sign"] or ""
        yield match.end() - len(token) + 1, token
        if not token:
            return


def _expect(text: str, token: tuple[int, str], what: str, signs: str = "") -> tuple[int, str]:
    """Return the token if it is one of `signs`, or for no signs a word; otherwise refuse the text."""
    position, value = token
    fits = bool(value) and (value in signs if signs else value not in "+&()")
    if not fits:
        found = repr(value) if value else "the end"
        raise InputError(f"Scenario {text!r}, character {position}: expected {what}, found {found}.")
    return token
