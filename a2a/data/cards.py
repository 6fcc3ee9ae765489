"""Data cards: one YAML file per data set says what it is, whose it is and how it becomes a slice store."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from a2a.data.profiles import Profile, Strict
from a2a.errors import InputError
from a2a.paths import repository
from a2a.stack import Modality, StackSpec


def content_hash(values: object) -> str:
    """SHA-256 of JSON values in one spelling."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


class ModalityCard(Strict):
    """One modality: what its files hold and how it is brought to [0, 1].

    ``subject-percentile`` divides by the subject's own percentile (MR has no absolute scale); ``window`` maps fixed
    physical values to 0 and 1 for all subjects.
    """

    name: str
    kind: Literal["MR", "CT", "PET"]
    unit: str
    normalisation: Literal["subject-percentile", "window"]
    window: tuple[float, float] | None = None
    aliases: tuple[str, ...] = ()
    note: str = ""

    @model_validator(mode="after")
    def _window_fits(self) -> "ModalityCard":
        if (self.normalisation == "window") != (self.window is not None):
            raise ValueError("give a window for the normalisation 'window', and only then")
        if self.window is not None and not self.window[0] < self.window[1]:
            raise ValueError("the window's first value must be below its second")
        return self


class Licence(Strict):
    """Under what terms the data may be used, and who owns them."""

    name: str
    owner: str
    terms: str
    url: str | None = None


class PhantomSource(Strict):
    """Subjects come from the built-in generator."""

    kind: Literal["phantom"]
    preset: str
    dataset_seed: int = 0
    dz_mm: float = Field(gt=0)


class Layout(Strict):
    """One way in which the files of the set are arranged on a disk.

    ``folders`` are tried below the root; ``subject`` is a pattern (as in a shell) for a subject's folder inside;
    ``files`` and ``labels`` are names inside that.
    """

    name: str
    folders: tuple[str, ...] = (".",)
    subject: str
    files: dict[str, str]
    labels: dict[str, str] = {}


class FileSource(Strict):
    """Subjects are folders of NIfTI files."""

    kind: Literal["files"]
    layouts: tuple[Layout, ...] = Field(min_length=1)


class Preprocessing(Strict):
    """How a volume becomes slices; see `a2a.data.slices`.

    ``percentile`` is that of a subject's positive voxels: the brain where it is skull-stripped, everything where the
    background has noise. ``brain_fraction`` chooses the planes of files; a generator knows its own.
    """

    orientation: Literal["RAS"] = "RAS"
    registration: Literal["none"] = "none"
    percentile: float = Field(default=99.5, gt=0, le=100)
    brain_fraction: float = Field(default=0.0, ge=0, lt=1)
    field_of_view_mm: float = Field(gt=0)
    size: int = Field(default=64, gt=0)
    multiple_of: int = Field(default=4, gt=0)


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
    source: Annotated[PhantomSource | FileSource, Field(discriminator="kind")]
    preprocessing: Preprocessing
    profiles: dict[Literal["smoke", "ci", "full"], Profile] = Field(min_length=1)
    known_faults: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _files_for_all(self) -> "DataCard":
        names = [m.name for m in self.modalities]
        layouts = self.source.layouts if isinstance(self.source, FileSource) else ()
        for layout in layouts:
            if sorted(layout.files) != sorted(names):
                raise ValueError(f"layout {layout.name!r} must name one file for each of {', '.join(names)}")
        without = [key for key, p in self.profiles.items() if not layouts and p.slices is None]
        if without:
            raise ValueError(f"profile {without[0]!r} of a phantom must say how many slices")
        return self

    @property
    def spec(self) -> StackSpec:
        """The stack that the set provides."""
        return StackSpec(tuple(Modality(m.name, m.kind, m.unit, m.window, m.aliases) for m in self.modalities))

    @property
    def sha256(self) -> str:
        """Hash of the card's content; comments and layout of the YAML do not matter."""
        return content_hash(self.model_dump(mode="json"))

    def recipe(self, profile: str) -> dict:
        """The part of the card that decides about the bytes of a store, as JSON values; prose is left out."""
        modalities = [m.model_dump(mode="json", exclude={"note"}) for m in self.modalities]
        rest = self.model_dump(mode="json", include={"source", "preprocessing"})
        return rest | {"modalities": modalities, "profile": self.profile(profile).model_dump(mode="json")}

    def profile(self, name: str) -> Profile:
        """Return a profile by name.

        Raises
        ------
        InputError
            If the card has no such profile; the message lists those it has.
        """
        if name not in self.profiles:
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
    if path.is_file():
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
    path = find_card(card)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        raise InputError(f"{path} is no valid YAML{f', line {where.line + 1}' if where else ''}.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold the fields of a data card (a mapping).")
    try:
        return DataCard.model_validate(content)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'card'}: {e['msg']}" for e in error.errors())
        raise InputError(f"{path} is no valid data card: {faults}.") from error
