"""How undersampled k-space is acquired: coil sensitivity maps, sampling mask and noise level.

Explained in the chapter "The formulation", which also varies the offset of the mask.
"""

from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field

from a2a.common.errors import InputError
from a2a.forward.masks import equispaced_mask, poisson_mask, random_mask
from a2a.forward.operators import CartesianSense


def birdcage_maps(coils: int, height: int, width: int, radius: float = 1.5) -> torch.Tensor:
    """Sensitivity maps of a birdcage coil: straight conductors on a circle around the field of view.

    With the image on [-1, 1) x [-1, 1) and conductor c at angle a_c = 2 pi c / coils and radius r, each map falls off
    as 1/distance to its conductor, and its phase is the angle around it, less a_c. Together the maps have
    ``sum_c |s_c|^2 = 1`` at every pixel. The formula is that of SigPy's ``birdcage_maps``.

    Parameters
    ----------
    coils
        Number of coils, at least 1.
    height, width
        Image size.
    radius
        Relative to half the field of view, above 1.

    Returns
    -------
    torch.Tensor
        complex64 ``(coils, height, width)``.

    Raises
    ------
    InputError
        If there is no coil, no pixel, or the conductors are inside the image.
    """
    if coils < 1 or height < 1 or width < 1 or not radius > 1:
        given = f"coils = {coils}, size = {height} x {width}, radius = {radius}"
        raise InputError(f"No birdcage has {given}; it needs at least one coil and pixel, and a radius above 1.")
    angle = 2 * np.pi * np.arange(coils)[:, None, None] / coils
    x = (2 * np.arange(width) / width - 1) - radius * np.cos(angle)
    y = (2 * np.arange(height)[:, None] / height - 1) - radius * np.sin(angle)
    maps = np.exp(1j * (np.arctan2(x, -y) - angle)) / np.hypot(x, y)
    maps /= np.sqrt((np.abs(maps) ** 2).sum(axis=0))
    return torch.from_numpy(maps.astype(np.complex64))


class Undersampling(BaseModel):
    """How the k-space of a measured modality is acquired (any2all paper, Section III).

    Attributes
    ----------
    acceleration
        R.
    offset
        First line of an equispaced mask; None samples k = 0.
    acs
        Fully sampled central lines (side of the central square for ``"poisson"``).
    coils, radius
        Of the birdcage; see `birdcage_maps`.
    noise_std
        Standard deviation of the noise in each real and each imaginary part of each sample, in image units
        (the Fourier transform is orthonormal).
    pattern
        ``"equispaced"``, ``"random"`` (lines) or ``"poisson"`` (both axes).
    seed
        Of a random or Poisson-disc mask.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    acceleration: int = Field(4, ge=1, le=4096)
    offset: int | None = Field(None, ge=0, le=65536)
    acs: int = Field(0, ge=0, le=65536)
    coils: int = Field(8, ge=1, le=256)
    radius: float = Field(1.5, gt=1, allow_inf_nan=False)
    noise_std: float = Field(0.01, ge=0, allow_inf_nan=False)
    pattern: Literal["equispaced", "random", "poisson"] = "equispaced"
    seed: int = Field(0, ge=0, lt=2**63)

    def mask(self, height: int, width: int) -> torch.Tensor:
        """Boolean mask, ``(H,)`` or for ``"poisson"`` ``(H, W)``; raises `InputError` where it cannot be made."""
        if self.pattern == "equispaced":
            return equispaced_mask(height, self.acceleration, self.offset, self.acs)
        if self.offset is not None:
            raise InputError(f"offset = {self.offset} has no meaning for pattern = {self.pattern!r}; leave it out.")
        if self.pattern == "random":
            return random_mask(height, self.acceleration, self.acs, self.seed)
        return poisson_mask((height, width), self.acceleration, self.acs, self.seed)

    def operator(self, height: int, width: int) -> CartesianSense:
        """The sampling operator for images ``(H, W)``; equal settings share one operator and its factorisation."""
        return _operator(self, height, width)


@lru_cache(maxsize=4)
def _operator(sampling: Undersampling, height: int, width: int) -> CartesianSense:
    maps = birdcage_maps(sampling.coils, height, width, sampling.radius)
    return CartesianSense(sampling.mask(height, width), maps)
