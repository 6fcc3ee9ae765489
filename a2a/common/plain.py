"""YAML and JSON as plain values: no aliases, tags, dates or doubled keys, within limits of depth, number and digits.

See `a2a.common.documents`, which reads files.
"""

import json
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from a2a.common.errors import InputError
from a2a.common.escaping import shown

DEEPEST = 32
DIGITS = 40
MOST = 100_000
"""Most scalars of a YAML."""
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_OTHER_NUMBER = re.compile(r"[-+]?(0[0-7_]+|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?|0[bx][0-9a-fA-F_]+|[0-9]+_[0-9_]*)")


def json_values(path: Path | str, text: str) -> Any:
    """Return the values of a JSON text.

    Raises
    ------
    InputError
        If it is no JSON, a key stands twice, or a limit of this module is passed.
    """
    try:
        values = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant, parse_int=_whole)
    except RecursionError:
        raise InputError(f"{path}: it is nested deeper than {DEEPEST} levels.") from None
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({shown(str(error).rstrip('.'))}).") from None
    _require_plain(path, values)
    return values


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} stands there twice")
    return found


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is no number of JSON")


def _whole(digits: str) -> int:
    if len(digits) > DIGITS:
        raise ValueError(f"a number has {len(digits)} digits; at most {DIGITS} are read")
    return int(digits)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc] # the one in C where it is built
    """PyYAML's safe loader without dates, and with each key of a mapping once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        found = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key is no plain value", key.start_mark)
            name = self.construct_object(key)
            if name in found:
                problem = f"the key {name!r} stands there twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            found.add(name)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in found if not tag.endswith((":timestamp", ":merge", ":value"))]
    for first, found in _Loader.yaml_implicit_resolvers.items()
}


def yaml_values(path: Path | str, text: str) -> Any:
    """Return the values of a YAML text; see the module for what is refused.

    Raises
    ------
    InputError
        If it is no YAML, a key stands twice, or a limit of this module is passed.
    """
    try:
        for event in _events(path, text):
            _require_plain_event(path, event)
        values = yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or str(error)
        where = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"{path}: not valid YAML{where} ({shown(problem.rstrip('.'))}).") from None
    _require_plain(path, values)
    return values


def _events(path: Path | str, text: str) -> Iterator[yaml.Event]:
    """Read the events of a YAML, within the limits of depth and number."""
    depth = count = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        count += isinstance(event, yaml.ScalarEvent)
        if depth > DEEPEST:
            raise InputError(f"{path}: line {_line(event)}: it is nested deeper than {DEEPEST} levels.")
        if count > MOST:
            raise InputError(f"{path}: it holds more than {MOST} values.")
        yield event


def _line(event: yaml.Event) -> int:
    """Number of the line that an event begins in."""
    return event.start_mark.line + 1 if event.start_mark else 0


def _require_plain_event(path: Path | str, event: yaml.Event) -> None:
    """Refuse aliases, tags, and numbers that are not what they look like."""
    place = f"{path}: line {_line(event)}"
    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
        raise InputError(f"{place}: anchors and aliases (& and *) are not read; write the value out.")
    if tag := getattr(event, "tag", None):
        raise InputError(f"{place}: tags such as {shown(tag, 40)} are not read; leave it out.")
    if isinstance(event, yaml.ScalarEvent) and not event.style:
        if _OTHER_NUMBER.fullmatch(event.value):
            word = shown(event.value, 40)
            raise InputError(f"{place}: {word} would be read as another number; write {word!r} in quotes.")
        if len(event.value) > DIGITS and event.value.lstrip("+-").isdecimal():
            raise InputError(f"{place}: a number has {len(event.value)} digits; at most {DIGITS} are read.")


def _require_plain(path: Path | str, values: object) -> None:
    """Refuse control characters, which a terminal obeys, numbers that are not finite, and values nested too deep."""
    open_values: list[tuple[object, tuple[Any, ...]]] = [(values, ())]
    while open_values:
        value, place = open_values.pop()
        if len(place) > DEEPEST:
            raise InputError(f"{path}: it is nested deeper than {DEEPEST} levels.")
        if isinstance(value, str) and not value.isprintable() and _CONTROL.search(value):
            text = shown(repr(value), 60)
            raise InputError(f"{path}: {field_at(place)}: {text} has control characters; leave them out.")
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{path}: {field_at(place)}: the number must be finite.")
        if isinstance(value, dict):
            open_values += [(part, (*place, key)) for key, found in value.items() for part in (key, found)]
        elif isinstance(value, list):
            open_values += [(part, (*place, number)) for number, part in enumerate(value)]


def field_at(place: Sequence[str | int]) -> str:
    """Name a field by the way to it."""
    return f"field {'.'.join(shown(str(part), 40) for part in place) or 'the top level'}"
