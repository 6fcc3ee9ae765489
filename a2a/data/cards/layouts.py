"""Where the files of a data set lie: patterns with the subject's name in them, and what a disk holds that fits them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from a2a.common.errors import InputError
from a2a.common.names import Name, RelativePath
from a2a.data.cards.profiles import Strict

_PLACE = re.compile(r"\{(\w*)\}")


class Layout(Strict):
    """One way in which the files of the set are arranged on a disk.

    Patterns are those of a shell (``*``, ``?``, ``[0-9]``), below one of the `folders` of the root, with ``{subject}``
    where the subject's name stands and ``{session}`` where that of the visit stands, if a subject has several. All
    places of one name must agree.

    Parameters
    ----------
    folders
        Tried one after the other below the root.
    subject, session
        Patterns of the names themselves, e.g. ``IXI[0-9][0-9][0-9]-*``.
    files
        Pattern per modality.
    labels
        Pattern per label map; a missing label map is no fault.
    brain_mask
        Pattern of the brain mask, where the set has one.
    channels
        Where one 4-D file holds several modalities: which volume is which, counted from 0.
    """

    name: Name
    folders: tuple[RelativePath, ...] = (".",)
    subject: str
    session: str | None = None
    files: dict[str, str]
    labels: dict[str, str] = Field(default={})
    brain_mask: str | None = None
    channels: dict[str, Annotated[int, Field(ge=0, le=10_000)]] = Field(default={})

    @model_serializer(mode="wrap")
    def _said(self, handler: SerializerFunctionWrapHandler) -> dict:
        """Leave out channels where there are none, so that cards without them keep their hash."""
        said = handler(self)
        if not self.channels:
            said.pop("channels", None)
        return said

    @field_validator("subject", "session")
    @classmethod
    def _name_pattern(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            if "/" in pattern or _PLACE.search(pattern):
                raise ValueError(f"{pattern!r} must be the pattern of a name, without / and {{ }}")
            _regex(pattern)
        return pattern

    @model_validator(mode="after")
    def _patterns(self) -> "Layout":
        for pattern in self.patterns().values():
            places = set(_PLACE.findall(pattern))
            if "subject" not in places or places - {"subject", "session"}:
                raise ValueError(f"the pattern {pattern!r} must contain {{subject}}, and only {{session}} beside it")
            if ("session" in places) != (self.session is not None):
                raise ValueError(
                    f"the pattern {pattern!r} must contain {{session}} if the layout has one, and only then"
                )
            if pattern.startswith("/") or ".." in pattern.split("/") or "**" in pattern or len(pattern) > 500:
                raise ValueError(f"the pattern {pattern!r} must stay below the folder: no leading /, no .. and no **")
            _regex(_PLACE.sub("x", pattern))
        if unknown := sorted(set(self.channels) - set(self.files)):
            raise ValueError(f"channels name {unknown[0]!r}, which is none of the files")
        return self

    def patterns(self) -> dict[tuple[str, str], str]:
        """Every pattern by its kind (image, label, mask) and name."""
        named = {("image", name): pattern for name, pattern in self.files.items()}
        named |= {("label", name): pattern for name, pattern in self.labels.items()}
        return named | ({("mask", "brain mask"): self.brain_mask} if self.brain_mask else {})

    def matches(self, folder: Path, pattern: str) -> Iterator[tuple[str, str, Path]]:
        """Yield (subject, session, file) of all files below `folder` that fit, in the order of their paths.

        Where ``.nii.gz`` is expected, ``.nii`` is taken, too.
        """
        if pattern.endswith(".nii.gz"):
            yield from self.matches(folder, pattern.removesuffix(".gz"))
        shell = pattern.replace("{subject}", self.subject).replace("{session}", self.session or "")
        exact = _with_names(pattern, self)
        for path in sorted(folder.glob(shell)):
            below = path.relative_to(folder)
            found = exact.fullmatch(below.as_posix())
            if found and not _hidden(below.parts, shell.split("/")) and path.is_file():
                yield found["subject"], found.groupdict().get("session") or "", path

    def scans(self, folder: Path) -> dict[str, "Scan"]:
        """Every scan below `folder`, by name; a scan is a subject, or one session of a subject."""
        scans: dict[str, Scan] = {}
        for key, pattern in self.patterns().items():
            for subject, session, path in self.matches(folder, pattern):
                name = f"{subject}_{session}" if session else subject
                scans.setdefault(name, Scan(subject, session)).files.setdefault(key, []).append(path)
        return {name: scans[name] for name in sorted(scans) if any(kind == "image" for kind, _ in scans[name].files)}


@dataclass
class Scan:
    """The files of a subject (or of one of its sessions) by kind and name; several where a pattern is not unique."""

    subject: str
    session: str = ""
    files: dict[tuple[str, str], list[Path]] = field(default_factory=dict)

    def one(self, kind: str, name: str, layout: Layout, root: Path) -> Path:
        """The file of one name.

        Parameters
        ----------
        kind
            ``"series"`` or ``"label"``, for the message.
        name
            Of the modality or label.
        layout
            The patterns of the files.
        root
            Folder of the data set.

        Raises
        ------
        InputError
            If there is none, more than one, or it is a link that leads out of `root`.
        """
        found = self.files.get((kind, name), [])
        pattern = layout.patterns()[kind, name]
        expected = pattern.replace("{subject}", self.subject).replace("{session}", self.session)
        if not found:
            raise InputError(f"missing {name}: there is no file {expected}")
        if len(found) > 1:
            names = ", ".join(str(path) for path in found)
            raise InputError(f"{len(found)} files match {expected} for {name} ({names}); leave one of them there")
        if not found[0].resolve().is_relative_to(root.resolve()):
            raise InputError(f"{found[0]} is a symbolic link that leads out of {root}; put the file itself there")
        return found[0]


def _hidden(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    """Whether a wildcard stands for a leading dot, as it never does in a shell: Macs leave ``._NAME`` beside files."""
    return any(part.startswith(".") and not one.startswith(".") for part, one in zip(parts, patterns, strict=False))


def _with_names(pattern: str, layout: Layout) -> re.Pattern:
    """Regular expression of a path that yields the names of subject and session."""
    text, end = "", 0
    for place in _PLACE.finditer(pattern):
        name = place[1]
        text += _translate(pattern[end : place.start()])
        again = f"(?P<{name}>" in text
        text += f"(?P={name})" if again else f"(?P<{name}>{_translate(getattr(layout, name))})"
        end = place.end()
    return re.compile(text + _translate(pattern[end:]))


def _regex(pattern: str) -> re.Pattern:
    try:
        return re.compile(_translate(pattern))
    except re.error as error:
        raise ValueError(f"the pattern {pattern!r} is wrong: {error}") from error


def _translate(pattern: str) -> str:
    """A shell pattern as a regular expression; wildcards do not cross a ``/``."""
    text, rest = "", pattern
    while rest:
        if rest[0] == "[":
            inside, bracket, after = rest[1:].partition("]")
            if not bracket or not inside or "/" in inside:
                raise ValueError(f"the pattern {pattern!r} has a [ without its ]")
            text += f"[{'^' + inside[1:] if inside[0] == '!' else inside}]"
            rest = after
        else:
            text += {"*": "[^/]*", "?": "[^/]"}.get(rest[0]) or re.escape(rest[0])
            rest = rest[1:]
    return text
