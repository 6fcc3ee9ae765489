"""What the phantom generates: presets, resolution, switches."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from a2a.data.phantom.acquisition import ACQUISITIONS
from a2a.data.phantom.grid import Grid

PHANTOM_VERSION = 1  # grows with every change of the output
PRESETS = {"any2all": ("T1", "T2FLAIR", "T2star", "CT", "PET")}


class PhantomConfig(BaseModel):
    """What to generate.

    Parameters
    ----------
    preset
        The stack of modalities: ``"any2all"``.
    size
        Pixels per side over 224 mm: 64, 128, 192 or 256. A subject has the same anatomy at each.
    dz, z_lo, z_hi
        Distance of the planes, first plane and upper limit (exclusive) in mm.
    dataset_seed
        Seed of the whole data set.
    modalities
        Those to generate; None for all of the preset. Leaving some out does not change the others.
    lesions
        Whether white-matter lesions, bleeds and calcifications are put in.
    pet_phase
        ``"late"`` (amyloid) or ``"early"`` (perfusion-like, no amyloid).
    keep_clean, keep_fractions
        Whether the subject also carries noise-free images, and tissue fractions (large).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: Literal["any2all"] = "any2all"
    size: Literal[64, 128, 192, 256] = 64
    dz: float = Field(4.0, gt=0.0, le=20.0)
    z_lo: float = -40.0
    z_hi: float = 76.0
    dataset_seed: int = Field(0, ge=0)
    modalities: tuple[str, ...] | None = None
    lesions: bool = True
    pet_phase: Literal["late", "early"] = "late"
    keep_clean: bool = False
    keep_fractions: bool = False

    @field_validator("modalities")
    @classmethod
    def _known(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        unknown = sorted(set(names or ()) - set(ACQUISITIONS))
        if unknown or names == ():
            raise ValueError(f"unknown {', '.join(unknown) or 'empty list'}; choose from {', '.join(ACQUISITIONS)}")
        return names

    @model_validator(mode="after")
    def _upwards(self) -> "PhantomConfig":
        if self.z_hi <= self.z_lo:
            raise ValueError(f"z_hi ({self.z_hi}) must be above z_lo ({self.z_lo})")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Modalities to generate, in the order of the preset."""
        return tuple(n for n in PRESETS[self.preset] if self.modalities is None or n in self.modalities)

    @property
    def grid(self) -> Grid:
        """The voxel grid of the images."""
        return Grid(self.size, self.dz, self.z_lo, self.z_hi)
