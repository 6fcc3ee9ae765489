"""The slices above and below those of an observation, which a prior may look at. Chapter "Your own NIfTI files"."""

from dataclasses import dataclass

import torch
from torch import Tensor

SIDES = 2  # below and above
NONE = -1


@dataclass(frozen=True, eq=False)
class Adjacent:
    """Clean images of a volume, and which of its slices lie below and above each item.

    Parameters
    ----------
    images
        Slices ``(N, n, H, W)`` in image units; NaN where a modality is not given as a clean image.
    rows
        For each of B items the numbers of the slices below and above it, ``long (B, 2)``; -1 where there is none.
    """

    images: Tensor
    rows: Tensor

    @classmethod
    def of_volume(cls, images: Tensor) -> "Adjacent":
        """Every slice of a volume, in the order in which they lie."""
        here = torch.arange(len(images))
        above = torch.where(here + 1 < len(images), here + 1, NONE)
        return cls(images, torch.stack([here - 1, above], dim=1))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: slice) -> "Adjacent":
        """Of some of the items."""
        return Adjacent(self.images, self.rows[rows])

    def repeat(self, samples: int) -> "Adjacent":
        """Of the items, `samples` times over."""
        return Adjacent(self.images, self.rows.repeat(samples, 1))

    def gathered(self) -> Tensor:
        """Return the slices, below and then above, ``(B, 2, n, H, W)``; NaN where there is none."""
        there = (self.rows != NONE)[:, :, None, None, None]
        return torch.where(there, self.images[self.rows.clamp_min(0)], torch.nan)
