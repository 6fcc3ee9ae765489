"""What the phantom generates: presets, resolution, switches."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from a2a.data.phantom.grid import Grid
from a2a.data.phantom.site import OLDER, RESEARCH, USUAL, Site

PHANTOM_VERSION = 1  # grows with every change of the output


@dataclass(frozen=True)
class Preset:
    """A kind of data set.

    Parameters
    ----------
    modalities
        The stack, in order.
    age
        Mean and SD of the subjects' age in years.
    lesions
        Classes of the lesion map and their numbers in it.
    stripped
        Whether the images show nothing outside the brain.
    bleeds
        Whether microbleeds and calcifications occur; white-matter hyperintensities always do.
    site
        The hospital that scans them.
    """

    modalities: tuple[str, ...]
    age: tuple[float, float]
    lesions: dict[str, int]
    stripped: bool = False
    bleeds: bool = True
    site: Site = USUAL


PRESETS = {
    "any2all": Preset(("T1", "T2FLAIR", "T2star", "CT", "PET"), (70.0, 7.4), {"wmh": 1}),
    "brats": Preset(("T1SE", "T1GD", "T2", "T2FLAIR"), (60.0, 12.0), {"ncr": 1, "ed": 2, "et": 3}, stripped=True),
    "adni": Preset(("T1", "T2L", "PDW"), (75.0, 7.0), {"wmh": 1}, bleeds=False),
    "isles": Preset(("T2FLAIR", "DWI", "ADC"), (70.0, 13.0), {"inf": 1}, stripped=True),
    "ttg": Preset(
        ("T1SE", "T2", "T1GD", "T2FLAIR", "DWI", "ADC"),
        (62.0, 9.0),
        {"ncr": 1, "ed": 2, "et": 3},
        stripped=True,
        site=OLDER,
    ),
    "tti": Preset(
        ("T1SE", "T2", "T2FLAIR", "ADC"), (57.0, 6.0), {"wmh": 1}, stripped=True, bleeds=False, site=RESEARCH
    ),
}


class PhantomConfig(BaseModel):
    """What to generate.

    Parameters
    ----------
    preset
        The stack of modalities and the lesions: ``"any2all"``, ``"brats"`` (tumour), ``"adni"``, ``"isles"``
        (infarct), or those of two more hospitals, ``"ttg"`` (tumour) and ``"tti"``.
    size
        Pixels per side over 224 mm: 64, 128, 192 or 256. A subject has the same anatomy at each.
    dz, z_lo, z_hi
        Distance of the planes, first plane and upper limit (exclusive) in mm.
    dataset_seed
        Seed of the whole data set.
    modalities
        Those to generate; None for all of the preset. Leaving some out does not change the others.
    lesions
        Whether white-matter lesions, bleeds, calcifications, tumour and infarct are put in.
    pet_phase
        ``"late"`` (amyloid) or ``"early"`` (perfusion-like, no amyloid).
    misregistration
        Whether each modality but the first of the preset is moved a little (SD 0.4 mm and 0.4 degrees), as registration
        leaves it.
    keep_clean, keep_fractions
        Whether the subject also carries noise-free images, and tissue fractions (large).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: Literal["any2all", "brats", "adni", "isles", "ttg", "tti"] = "any2all"
    size: Literal[64, 128, 192, 256] = 64
    dz: float = Field(4.0, gt=0.0, le=20.0)
    z_lo: float = -40.0
    z_hi: float = 76.0
    dataset_seed: int = Field(0, ge=0)
    modalities: tuple[str, ...] | None = None
    lesions: bool = True
    pet_phase: Literal["late", "early"] = "late"
    misregistration: bool = False
    keep_clean: bool = False
    keep_fractions: bool = False

    @model_validator(mode="after")
    def _known(self) -> "PhantomConfig":
        known = self.kind.modalities
        unknown = sorted(set(self.modalities or ()) - set(known))
        if unknown or self.modalities == ():
            what = f"unknown {', '.join(unknown)}" if unknown else "empty list of modalities"
            raise ValueError(f"{what}; preset {self.preset} has {', '.join(known)}")
        return self

    @model_validator(mode="after")
    def _upwards(self) -> "PhantomConfig":
        if self.z_hi <= self.z_lo:
            raise ValueError(f"z_hi ({self.z_hi}) must be above z_lo ({self.z_lo})")
        return self

    @property
    def kind(self) -> Preset:
        """What the preset stands for."""
        return PRESETS[self.preset]

    @property
    def names(self) -> tuple[str, ...]:
        """Modalities to generate, in the order of the preset."""
        return tuple(n for n in self.kind.modalities if self.modalities is None or n in self.modalities)

    @property
    def grid(self) -> Grid:
        """The voxel grid of the images."""
        return Grid(self.size, self.dz, self.z_lo, self.z_hi)
