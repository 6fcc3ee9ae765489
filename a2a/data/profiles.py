"""Sizes of a data set: which subjects belong to training, validation and test."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

SPLITS = ("train", "val", "test")


class Strict(BaseModel):
    """A key that the schema does not know is an error, not a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ValidationBlocks(Strict):
    """Hold out every `every`-th block of `planes` adjacent planes of the training subjects as validation.

    For sets with too few subjects to spare one. Whole blocks, because neighbouring planes are nearly copies.
    """

    planes: int = Field(gt=0)
    every: int = Field(gt=1)


def _expand(items: object) -> object:
    """Write out ranges of numbered subjects: ``0..3`` is 0, 1, 2, 3 and ``patient08..10`` is patient08, 09, 10."""
    if not isinstance(items, list):
        return items
    return tuple(name for item in items for name in _expand_one(str(item)))


def _expand_one(item: str) -> list[str]:
    first, dots, last = item.partition("..")
    digits = first[len(first.rstrip("0123456789")) :]
    if not dots:
        return [item]
    if not digits or not last.isdigit() or int(last) < int(digits):
        raise ValueError(f"{item!r} is no range; write for example 0..3 or patient08..10")
    stem = first.removesuffix(digits)
    return [f"{stem}{i:0{len(digits)}d}" for i in range(int(digits), int(last) + 1)]


Subjects = Annotated[tuple[str, ...], BeforeValidator(_expand)]


class Profile(Strict):
    """One size of the set: which subjects go where.

    ``slices`` is the number of planes per subject, equally spaced over the phantom's brain (files give all planes with
    enough brain).
    """

    train: Subjects
    val: Subjects = ()
    test: Subjects
    slices: int | None = Field(default=None, gt=0)
    validation_blocks: ValidationBlocks | None = None

    @model_validator(mode="after")
    def _disjoint(self) -> "Profile":
        names = [*self.train, *self.val, *self.test]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"subjects must be in one split only: {', '.join(twice)}")
        return self

    def subjects(self) -> list[tuple[str, str]]:
        """(subject, split) of all, in the order of the card."""
        return [(name, split) for split in SPLITS for name in getattr(self, split)]
