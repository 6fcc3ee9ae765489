"""Data cards: one YAML file per data set says what it is, whose it is and how it becomes a slice store."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from a2a.common.documents import read_yaml
from a2a.common.errors import InputError
from a2a.common.paths import repository
from a2a.data.cards.layouts import Layout
from a2a.data.cards.parts import (
    Download,
    FileSource,
    KspaceSource,
    LabelCard,
    Licence,
    ModalityCard,
    PhantomSource,
    Preprocessing,
    PrivateSource,
)
from a2a.data.cards.profiles import Profile, Strict
from a2a.forward.stack import Modality, StackSpec


def content_hash(values: object) -> str:
    """SHA-256 of JSON values in one spelling."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


class DataCard(Strict):
    """A data set; field by field what a reader and `a2a prepare` need to know."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str
    description: str
    stands_in_for: str
    licence: Licence
    citation: tuple[str, ...]
    how_to_get: str
    modalities: tuple[ModalityCard, ...] = Field(min_length=1)
    labels: tuple[LabelCard, ...] = ()
    source: Annotated[PhantomSource | FileSource | KspaceSource | PrivateSource, Field(discriminator="kind")]
    preprocessing: Preprocessing | None = None
    profiles: dict[Literal["smoke", "tables", "ci", "full"], Profile] = {}
    download: Download | None = None
    known_faults: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> "DataCard":
        without = not isinstance(self.source, (PhantomSource, FileSource))
        if without != (self.preprocessing is None) or without != (not self.profiles):
            raise ValueError("preprocessing and profiles belong to a set that can be prepared, and only to such a set")
        if self.medians and (without or self.preprocessing.foreground == "none"):
            raise ValueError("the normalisation 'subject-median' needs a foreground, whose median it takes")
        if not without and self.reference not in {m.name for m in self.modalities}:
            raise ValueError(f"preprocessing.reference {self.reference!r} is none of the modalities")
        unsaid = [key for key, p in self.profiles.items() if not self.layouts and (p.slices is None or p.fractions)]
        if unsaid:
            raise ValueError(f"profile {unsaid[0]!r} of a phantom must say how many slices, and name its subjects")
        return self

    @model_validator(mode="after")
    def _layouts_fit(self) -> "DataCard":
        names, labels = sorted(m.name for m in self.modalities), {label.name for label in self.labels}
        for layout in self.layouts:
            if sorted(layout.files) != names:
                raise ValueError(f"layout {layout.name!r} must name one file for each of {', '.join(names)}")
            shared = [file for file in layout.files.values() if list(layout.files.values()).count(file) > 1]
            if {name for name, file in layout.files.items() if file in shared} - set(layout.channels):
                raise ValueError(f"layout {layout.name!r} must say in channels which volume of {shared[0]} is which")
            if set(layout.labels) - labels:
                raise ValueError(f"layout {layout.name!r} names a label map that the card's labels do not explain")
            if (layout.brain_mask is None) == (self.preprocessing.foreground == "file"):
                raise ValueError(
                    f"layout {layout.name!r} must name a brain_mask if the foreground is 'file', and only then"
                )
        return self

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """How the files may be arranged; empty for a set without files."""
        return self.source.layouts if isinstance(self.source, FileSource) else ()

    @property
    def reference(self) -> str:
        """The modality on whose grid all others are brought."""
        return self.preprocessing.reference or self.modalities[0].name

    @property
    def spec(self) -> StackSpec:
        """The stack that the set provides."""
        return StackSpec(tuple(Modality(m.name, m.kind, m.unit, m.window, m.aliases) for m in self.modalities))

    @property
    def medians(self) -> dict[str, float]:
        """What the median of the foreground becomes, for each modality that is scaled by it."""
        return {m.name: m.median for m in self.modalities if m.median is not None}

    @property
    def how(self) -> dict:
        """How volumes become slices, as JSON values: what the weights of a store's slices are to know."""
        medians = {"medians": self.medians} if self.medians else {}
        return self.preprocessing.model_dump(mode="json") | medians

    @property
    def sha256(self) -> str:
        """Hash of the card's content; comments and layout of the YAML do not matter."""
        return content_hash(self.model_dump(mode="json", exclude=self._unsaid))

    @property
    def _unsaid(self) -> dict:
        """What is left out where it says nothing, so that cards without it keep their hash."""
        return {"modalities": {i: {"median"} for i, m in enumerate(self.modalities) if m.median is None}}

    def recipe(self, profile: str) -> dict:
        """The part of the card that decides about the bytes of a store, as JSON values; prose is left out."""
        parts = {"modalities": self.modalities, "labels": self.labels}
        parts = {
            key: [part.model_dump(mode="json", exclude={"note"}) for part in value] for key, value in parts.items()
        }
        for found in parts["modalities"]:
            if found["median"] is None:
                del found["median"]
        rest = self.model_dump(mode="json", include={"source", "preprocessing"})
        return rest | parts | {"profile": self.profile(profile).model_dump(mode="json")}

    def recipe_of_a_subject(self, profile: Profile) -> dict:
        """The part of the recipe that decides about one subject's slices: all but who belongs to which split."""
        recipe = self.recipe(next(iter(self.profiles)))
        return recipe | {"profile": {"slices": profile.slices}}

    def profile(self, name: str) -> Profile:
        """Return a profile by name.

        Raises
        ------
        InputError
            If the card has no such profile; the message lists those it has.
        """
        if name not in self.profiles:
            if isinstance(self.source, PrivateSource):
                raise InputError(f"{self.title} is private and cannot be prepared; take {self.source.instead} instead.")
            if isinstance(self.source, KspaceSource):
                other = f"to prepare slices, take {self.source.instead}"
                raise InputError(f"{self.title} is k-space, which `a2a complete` reads and nothing prepares; {other}.")
            raise InputError(f"Card {self.name} has no profile {name!r}; it has {', '.join(self.profiles)}.")
        return self.profiles[name]


def find_card(card: str | Path) -> Path:
    """Return the file of a card given by path or by the name of a card in ``data_cards/``.

    Raises
    ------
    InputError
        If there is no such file; the message lists the cards that exist.
    """
    path = Path(card)
    if path.exists() or path.is_symlink():
        return path
    folder = repository("data_cards")
    named = folder / f"{card}.yaml"
    if not named.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml"))) or "none"
        raise InputError(f"There is no data card {str(card)!r}; give a YAML file or one of: {known}.")
    return named


def load_card(card: str | Path) -> DataCard:
    """Read and validate a data card, given by path or name.

    Raises
    ------
    InputError
        If it is missing, no YAML, or breaks the schema; the message names the file and each field.
    """
    return read_yaml(find_card(card), DataCard)
