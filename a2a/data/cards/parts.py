"""What a data card is made of: modalities, labels, licence, where subjects come from, and how they become slices."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from a2a.common.names import Name, checked_path
from a2a.data.cards.layouts import Layout
from a2a.data.cards.profiles import MOST, Strict, Subjects


class ModalityCard(Strict):
    """One modality: what its files hold and how it is brought to [0, 1].

    ``subject-percentile`` divides by the subject's own percentile (MR has no absolute scale); ``subject-median`` makes
    the median of the subject's foreground `median`, which lesions, vessels and contrast agent hardly move; ``window``
    maps fixed physical values to 0 and 1 for all subjects; ``training-percentile`` does so with 0 and the median of the
    training subjects' percentiles (PET, whose scale means something but whose range is not known beforehand).
    """

    name: Name
    kind: Literal["MR", "CT", "PET"]
    unit: str
    normalisation: Literal["subject-percentile", "subject-median", "window", "training-percentile"]
    median: float | None = Field(default=None, gt=0, lt=1)
    window: tuple[float, float] | None = None
    aliases: tuple[str, ...] = ()
    note: str = ""

    @model_validator(mode="after")
    def _window_fits(self) -> "ModalityCard":
        if (self.normalisation == "window") != (self.window is not None):
            raise ValueError("give a window for the normalisation 'window', and only then")
        if self.window is not None and not self.window[0] < self.window[1]:
            raise ValueError("the window's first value must be below its second")
        if (self.normalisation == "subject-median") != (self.median is not None):
            raise ValueError("give a median for the normalisation 'subject-median', and only then")
        return self


class LabelCard(Strict):
    """One label map: what each of its values means. A map with another value is refused, as it is of another kind."""

    name: Name
    values: dict[int, str]
    note: str = ""

    @field_validator("values")
    @classmethod
    def _background(cls, values: dict[int, str]) -> dict[int, str]:
        if 0 not in values or len(values) < 2 or min(values) < 0 or max(values) > 254:
            raise ValueError("the values must be 0 (background) and others from 1 to 254")
        return values


class Licence(Strict):
    """Under what terms the data may be used, and who owns them."""

    name: str
    owner: str
    terms: str
    url: str | None = Field(default=None, pattern=r"^https?://[^\s<>\"'`]+$")


class PhantomSource(Strict):
    """Subjects come from the built-in generator."""

    kind: Literal["phantom"]
    preset: str
    dataset_seed: int = Field(default=0, ge=0, lt=2**63)
    dz_mm: float = Field(gt=0)


class FileSource(Strict):
    """Subjects are NIfTI files."""

    kind: Literal["files"]
    layouts: tuple[Layout, ...] = Field(min_length=1)


class PrivateSource(Strict):
    """Nobody outside has the data; the card says what they were and which card stands in."""

    kind: Literal["private"]
    instead: str


class KspaceSource(Strict):
    """Measured k-space, which `a2a complete` reads file by file; no slices are prepared from it.

    ``files`` says by modality how its files are named, with ``*`` for the subject.
    """

    kind: Literal["kspace"]
    files: dict[str, str] = Field(min_length=1)
    instead: str


class Preprocessing(Strict):
    """How a volume becomes slices; see `a2a.data.volumes.slices`.

    ``registration`` is what happens to modalities on another grid than the `reference` (by default the first modality):
    ``none`` refuses the subject, ``rigid`` registers and resamples them. What lies on the reference's grid is taken as
    it is.

    ``foreground`` says what of an image is the patient: ``none`` takes the whole grid and every plane; ``nonzero``
    that the files are skull-stripped, so the brain is where any modality is positive; ``file`` that the layout names a
    brain mask, outside of which everything becomes 0; ``head`` finds the head by Otsu's threshold of the reference and
    keeps what lies around it. ``brain_fraction`` is the part of the window that the foreground must cover in a plane.

    ``percentile`` is that of a subject's positive voxels: the brain where it is skull-stripped, everything where the
    background has noise. Medians are those of positive voxels of the foreground.
    """

    orientation: Literal["RAS"] = "RAS"
    registration: Literal["none", "rigid"] = "none"
    reference: str | None = None
    foreground: Literal["none", "nonzero", "file", "head"] = "none"
    percentile: float = Field(default=99.5, ge=50, le=100)
    brain_fraction: float = Field(default=0.0, ge=0, lt=1)
    field_of_view_mm: float = Field(gt=0, le=10_000)
    size: int = Field(default=64, gt=0, le=4096)
    multiple_of: int = Field(default=4, gt=0, le=4096)

    @model_validator(mode="after")
    def _planes_need_a_foreground(self) -> "Preprocessing":
        if (self.foreground == "none") != (self.brain_fraction == 0):
            raise ValueError(
                "a brain_fraction above 0 needs a foreground (nonzero, file or head), and the other way round"
            )
        return self


class Download(Strict):
    """Files that `a2a data fetch` gets.

    Parameters
    ----------
    base_url
        Where `files` are, ending in ``/``.
    files
        Names below that and below the local folder; ``{subject}`` stands for each of `subjects`.
    unpack
        Archives among them, and the folder into which each is unpacked.
    checksums
        ``sha256:...`` or ``md5:...`` per file, where it is known.
    """

    base_url: str = Field(pattern=r"^https?://[^\s<>\"'`]*/$")
    files: tuple[str, ...] = Field(min_length=1, max_length=10_000)
    subjects: Subjects = ()
    unpack: dict[str, str] = {}
    checksums: dict[str, str] = {}

    @model_validator(mode="after")
    def _known(self) -> "Download":
        names = self.names()
        unknown = sorted({*self.unpack, *self.checksums} - set(names))
        if unknown:
            raise ValueError(f"{unknown[0]} is none of the files")
        for name in (*names, *self.unpack.values()):
            checked_path(name)
        return self

    def names(self) -> tuple[str, ...]:
        """Every file, with the subjects written out."""
        if sum("{subject}" in file for file in self.files) * len(self.subjects) > MOST:
            raise ValueError(f"files and subjects make more than {MOST} downloads")
        several = [[f.replace("{subject}", s) for s in self.subjects] if "{subject}" in f else [f] for f in self.files]
        return tuple(sorted(name for names in several for name in names))
