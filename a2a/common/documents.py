"""YAML and JSON that others wrote: one reader, and one model at the border of each.

Nothing in a document is executed or believed. It must be a regular file of a bounded size in UTF-8; a key may stand in
a mapping once; there are no aliases and no tags, which unfold and make objects; nesting, digits and control characters
have limits. What YAML would take for another value than its text (``01``, ``1:30``) is refused, and dates are texts.
"""

import json
import math
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from a2a.common.errors import InputError
from a2a.common.escaping import shown

MEBIBYTE = 2**20
YAML_BYTES = MEBIBYTE
JSON_BYTES = 64 * MEBIBYTE
DEEPEST = 32
DIGITS = 40
MOST = 100_000
"""Most scalars of a YAML."""
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_OTHER_NUMBER = re.compile(r"[-+]?(0[0-7_]+|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?|0[bx][0-9a-fA-F_]+|[0-9]+_[0-9_]*)")

T = TypeVar("T")


def read_bytes(path: Path | str, limit: int, hint: str = "") -> bytes:
    """Read a regular file of at most `limit` bytes.

    Parameters
    ----------
    path
        The file; a link to one counts, a folder, a pipe, a device or a link in a circle does not.
    limit
        In bytes, checked before anything is read.
    hint
        The end of the sentence where there is no such file.

    Raises
    ------
    InputError
        If it is no such file, cannot be read, or is larger.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # opening a pipe must not wait for a writer
    except FileNotFoundError:
        raise InputError(f"{path}: no such file{f'; {hint}' if hint else ''}.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: it cannot be read ({getattr(error, 'strerror', None) or error}).") from None
    try:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            what = "a folder" if stat.S_ISDIR(about.st_mode) else "a pipe or a device"
            raise InputError(f"{path}: it is {what}, not a file{f'; {hint}' if hint else ''}.")
        if about.st_size > limit:
            raise InputError(f"{path}: it has {size(about.st_size)}; at most {size(limit)} are read.")
        with open(handle, "rb", closefd=False) as file:
            return file.read(limit)
    finally:
        os.close(handle)


def read_text(path: Path | str, limit: int = YAML_BYTES, hint: str = "") -> str:
    """Read a text in UTF-8, with or without a byte-order mark; see `read_bytes`.

    Raises
    ------
    InputError
        If it is in another encoding, beside the reasons of `read_bytes`.
    """
    return decoded(path, read_bytes(path, limit, hint))


def decoded(path: Path | str, raw: bytes) -> str:
    """Return the text of a file's bytes, without a byte-order mark."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{path}: it is UTF-16; save it as UTF-8.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{raw[error.start]:02x} in line {line}"
        raise InputError(f"{path}: it is not UTF-8 ({found}, Latin-1 perhaps); save it as UTF-8.") from None


def size(count: int) -> str:
    """Return a number of bytes as people say it: ``"3 MiB"``."""
    for unit, step in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= step:
            return f"{count / step:.3g} {unit}" if count < 1000 * step else f"{count // step} {unit}"
    return f"{count} bytes"


def read_yaml(path: Path | str, model: type[T], hint: str = "") -> T:
    """Read a YAML and validate it.

    Parameters
    ----------
    path
        The file, of at most 1 MiB.
    model
        A pydantic model, or any type that pydantic can check.
    hint
        What the sentence says where there is no such file.

    Raises
    ------
    InputError
        If the file cannot be read or is no YAML of plain values, or a field is wrong; the first one is named.
    """
    return validated(path, yaml_values(path, read_text(path, YAML_BYTES, hint)), model)


def read_json(path: Path | str, model: type[T], hint: str = "", limit: int = JSON_BYTES) -> T:
    """Read a JSON and validate it; see `read_yaml`. NaN and Infinity are no JSON."""
    return validated(path, json_values(path, read_text(path, limit, hint)), model)


def stated_format(path: Path | str) -> str:
    """Return the ``format`` that a JSON of ours states; empty if there is none, to know what may be replaced."""
    try:
        found = read_json(path, dict[str, Any]).get("format", "")
    except InputError:
        return ""
    return found if isinstance(found, str) else ""


def validated(path: Path | str, values: object, model: type[T]) -> T:
    """Return values as `model`, or say in one sentence which field is wrong.

    Raises
    ------
    InputError
        ``FILE: field X: what is wrong``, cut at 200 characters.
    """
    try:
        return TypeAdapter(model).validate_python(values)
    except ValidationError as error:
        raise InputError(f"{path}: {shown(first_fault(error))}.") from None
    except (RecursionError, OverflowError, ArithmeticError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: {shown(f'a value is of the wrong kind ({error})')}.") from None


def first_fault(error: ValidationError) -> str:
    """Return the first field that a model refused and why, and how many more there are."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{_field(faults[0]['loc'])}: {faults[0]['msg'].removeprefix('Value error, ').rstrip('.')}{more}"


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


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """PyYAML's safe loader without dates, and with each key of a mapping once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
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
            raise InputError(f"{path}: line {event.start_mark.line + 1}: it is nested deeper than {DEEPEST} levels.")
        if count > MOST:
            raise InputError(f"{path}: it holds more than {MOST} values.")
        yield event


def _require_plain_event(path: Path | str, event: yaml.Event) -> None:
    """Refuse aliases, tags, and numbers that are not what they look like."""
    place = f"{path}: line {event.start_mark.line + 1}"
    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
        raise InputError(f"{place}: anchors and aliases (& and *) are not read; write the value out.")
    if getattr(event, "tag", None):
        raise InputError(f"{place}: tags such as {shown(event.tag, 40)} are not read; leave it out.")
    if isinstance(event, yaml.ScalarEvent) and not event.style:
        if _OTHER_NUMBER.fullmatch(event.value):
            word = shown(event.value, 40)
            raise InputError(f"{place}: {word} would be read as another number; write {word!r} in quotes.")
        if len(event.value) > DIGITS and event.value.lstrip("+-").isdecimal():
            raise InputError(f"{place}: a number has {len(event.value)} digits; at most {DIGITS} are read.")


def _require_plain(path: Path | str, values: object) -> None:
    """Refuse control characters, which a terminal obeys, numbers that are not finite, and values nested too deep."""
    open_values = [(values, ())]
    while open_values:
        value, place = open_values.pop()
        if len(place) > DEEPEST:
            raise InputError(f"{path}: it is nested deeper than {DEEPEST} levels.")
        if isinstance(value, str) and not value.isprintable() and _CONTROL.search(value):
            text = shown(repr(value), 60)
            raise InputError(f"{path}: {_field(place)}: {text} has control characters; leave them out.")
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{path}: {_field(place)}: the number must be finite.")
        if isinstance(value, dict):
            open_values += [(part, (*place, key)) for key, found in value.items() for part in (key, found)]
        elif isinstance(value, list):
            open_values += [(part, (*place, number)) for number, part in enumerate(value)]


def _field(place: Sequence[str | int]) -> str:
    """Name a field by the way to it."""
    return f"field {'.'.join(shown(str(part), 40) for part in place) or 'the top level'}"
