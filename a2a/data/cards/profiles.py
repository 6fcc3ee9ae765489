"""Sizes of a data set: which subjects belong to training, validation and test."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from itertools import chain
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from a2a.common.names import checked_name

SPLITS = ("train", "val", "test")
MOST = 100_000
"""Subjects of a list."""


class Strict(BaseModel):
    """A key that the schema does not know is an error, not a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ValidationBlocks(Strict):
    """Hold out every `every`-th block of `planes` adjacent planes of the training subjects as validation.

    For sets with too few subjects to spare one. Whole blocks, because neighbouring planes are nearly copies.
    """

    planes: int = Field(gt=0, le=10_000)
    every: int = Field(gt=1, le=10_000)


class Fractions(Strict):
    """Split whatever subjects are found, without a list of their names.

    The SHA-256 of a subject's name is read as a number between 0 and 1; the first `train` of that range are training,
    the next `val` validation, the rest test. A subject's split thus depends on nothing but its name: not on which
    others are there, nor on the order of a folder. Small sets miss the fractions by chance.
    """

    train: float = Field(gt=0, lt=1)
    val: float = Field(default=0.0, ge=0, lt=1)
    test: float = Field(gt=0, lt=1)

    @model_validator(mode="after")
    def _whole(self) -> "Fractions":
        if abs(self.train + self.val + self.test - 1) > 1e-9:
            raise ValueError("the fractions must sum to 1")
        return self

    def split(self, subject: str) -> str:
        """The split of a subject."""
        place = hash_place(subject)
        return "train" if place < self.train else "val" if place < self.train + self.val else "test"


class AtMost(Strict):
    """The largest number of subjects of each split; those with the smallest hash are taken."""

    train: int = Field(gt=0)
    val: int = Field(default=0, ge=0)
    test: int = Field(gt=0)


def hash_place(subject: str) -> float:
    """Where a subject's name falls between 0 and 1: the first 52 bits of its SHA-256."""
    return int(hashlib.sha256(subject.encode(errors="surrogateescape")).hexdigest()[:13], 16) / 2**52


def expand_subjects(items: object) -> object:
    """Write out ranges of numbered subjects: ``0..3`` is 0, 1, 2, 3 and ``patient08..10`` is patient08, 09, 10."""
    if not isinstance(items, (list, tuple)):
        return items
    names = tuple(chain.from_iterable(map(_expand_one, items)))
    if len(names) > MOST:
        raise ValueError(f"{len(names)} subjects; a list has at most {MOST}")
    return names


def _expand_one(item: object) -> list[str]:
    if isinstance(item, bool) or not isinstance(item, (str, int)):
        raise ValueError(f"YAML reads a subject as {item!r}; write its name in quotes")
    first, dots, last = str(item).partition("..")
    digits = first[len(first.rstrip("0123456789")) :]
    if not dots:
        return [checked_name(first, "the subject")]
    if not digits or not last.isdecimal() or len(digits + last) > 20 or int(last) < int(digits):
        raise ValueError(f"{item!r} is no range; write for example 0..3 or patient08..10")
    if int(last) - int(digits) >= MOST:
        raise ValueError(f"{item!r} are more than {MOST} subjects")
    stem = first.removesuffix(digits)
    checked_name(first, "the subject")
    return [f"{stem}{i:0{len(digits)}d}" for i in range(int(digits), int(last) + 1)]


Subjects = Annotated[tuple[str, ...], BeforeValidator(expand_subjects)]


class Profile(Strict):
    """One size of the set: which subjects go where, by a list of names or by `fractions` of those that are found.

    ``slices`` is the number of planes per subject, equally spaced over the phantom's brain (files give all planes with
    enough brain).
    """

    train: Subjects = ()
    val: Subjects = ()
    test: Subjects = ()
    fractions: Fractions | None = None
    at_most: AtMost | None = None
    slices: int | None = Field(default=None, gt=0, le=10_000)
    validation_blocks: ValidationBlocks | None = None

    @model_validator(mode="after")
    def _splits(self) -> "Profile":
        names = [*self.train, *self.val, *self.test]
        if bool(names) == bool(self.fractions):
            raise ValueError("give the subjects by name (train, val, test) or fractions of those that are found")
        if names and not (self.train and self.test):
            raise ValueError("name at least one subject for train and one for test")
        if self.at_most and not self.fractions:
            raise ValueError("at_most belongs to fractions")
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        if twice:
            raise ValueError(f"subjects must be in one split only: {', '.join(twice)}")
        return self

    def subjects(self, found: Iterable[str] = ()) -> list[tuple[str, str]]:
        """(subject, split) of all: those named, in the order of the card, or those of `found` that the rule takes."""
        if self.fractions is None:
            return [(name, split) for split in SPLITS for name in getattr(self, split)]
        ordered = sorted(set(found), key=hash_place)
        groups = {split: [name for name in ordered if self.fractions.split(name) == split] for split in SPLITS}
        if self.at_most:
            groups = {split: names[: getattr(self.at_most, split)] for split, names in groups.items()}
        return [(name, split) for split in SPLITS for name in sorted(groups[split])]

    def counts(self) -> tuple[str, str, str]:
        """Number of subjects per split as a page shows it: a number, or a part of those that are found."""
        if self.fractions is None:
            return tuple(str(len(getattr(self, split))) for split in SPLITS)
        parts = {split: f"{getattr(self.fractions, split):.1%} of those found" for split in SPLITS}
        if self.at_most:
            parts = {split: f"{part}, at most {getattr(self.at_most, split)}" for split, part in parts.items()}
        return tuple(parts.values())
