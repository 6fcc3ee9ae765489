"""Lesions painted into healthy tissue, as bright as those that somebody marked, and of more sizes.

A few heads have few lesions, and no large ones: a network that never saw one takes it for fluid, which is dark in T1
and bright in T2 as well. Explained in the chapter "Your own NIfTI files".
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from a2a.common.errors import InputError

RADII = 2.0, 14.0  # pixels, the half axes of a lesion
AROUND = 7  # pixels, the width of a square around a labelled pixel that shows what surrounds it
GRAIN = 6  # pixels, over which the outline and the brightness of a lesion change
KEPT = 0.5  # share of the structure of the tissue that is still seen in a lesion


@dataclass(frozen=True, eq=False)
class Lesions:
    """The brightness of lesions, a Gaussian of n modalities, and that of the tissue which they may lie in.

    Parameters
    ----------
    mean
        Of labelled pixels, `(n,)` in image units.
    root
        Cholesky factor of their covariance, `(n, n)`.
    tissue
        Lowest, median and highest brightness of what surrounds them, `(3, n)`.
    """

    mean: Tensor
    root: Tensor
    tissue: Tensor

    @classmethod
    def measured(cls, images: Tensor, labels: Tensor) -> "Lesions":
        """Measure them in labelled slices.

        Parameters
        ----------
        images
            `(N, n, H, W)` in [0, 1].
        labels
            Where lesions are, bool `(N, H, W)`.

        Raises
        ------
        InputError
            If fewer pixels are labelled than the covariance of n modalities needs.
        """
        n, marked = images.shape[1], labels[:, None].float()
        inside = images.permute(1, 0, 2, 3)[:, labels].double()
        if inside.shape[1] <= 2 * n:
            raise InputError(f"painted: {inside.shape[1]} labelled pixels are too few to say how bright lesions are.")
        wide, near = (F.max_pool2d(marked, side, stride=1, padding=side // 2) for side in (AROUND, 3))
        ring = ((wide > 0) & (near == 0))[:, 0] & (images > 0).all(dim=1)
        around = images.permute(1, 0, 2, 3)[:, ring].double()
        levels = around.quantile(torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64), dim=1)
        root = torch.linalg.cholesky(inside.cov() + 1e-6 * torch.eye(n, dtype=torch.float64))
        return cls(inside.mean(dim=1).float(), root.float(), levels.float())

    def painted(self, stacks: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        """Paint one to three lesions into slices that lie upon each other, where they show healthy tissue.

        Returns the slices, and how much of each pixel of the first one is painted, `(h, w)`.

        Parameters
        ----------
        stacks
            `(k, n, h, w)` in [0, 1], the slice itself first; NaN where nothing is known.
        draw
            Source of all numbers.
        """
        (low, _, high), where = self.tissue[:, :, None, None], torch.zeros(stacks.shape[2:])
        for _ in range(int(torch.randint(1, 4, (), generator=draw))):
            healthy = ((stacks >= low) & (stacks <= high)).all(dim=1, keepdim=True).float()
            places = healthy[0, 0].nonzero()
            if not len(places):
                break
            centre = places[int(torch.randint(len(places), (), generator=draw))]
            cover = self._outline(centre, stacks.shape[2:], draw) * F.avg_pool2d(healthy, 3, stride=1, padding=1)
            stacks = torch.lerp(stacks, self._brightness(stacks, draw), cover)
            where = torch.maximum(where, cover[0, 0])
        return stacks.clamp(0, 1), where

    def _outline(self, centre: Tensor, size: tuple[int, int], draw: torch.Generator) -> Tensor:
        """How much of each pixel is lesion, `(h, w)`: an ellipse with an uneven edge, about two pixels wide."""
        turn, long, flat = torch.rand(3, generator=draw).tolist()
        radius = RADII[0] * (RADII[1] / RADII[0]) ** long
        lines = (torch.arange(side) - float(at) for side, at in zip(size, centre, strict=True))
        y, x = torch.meshgrid(*lines, indexing="ij")
        c, s = math.cos(math.pi * turn), math.sin(math.pi * turn)
        distance = torch.hypot((c * x + s * y) / radius, (c * y - s * x) / (radius * (0.5 + 0.5 * flat)))
        return torch.sigmoid(2 * radius * (1 - distance + 0.3 * _smooth(size, draw)))

    def _brightness(self, stacks: Tensor, draw: torch.Generator) -> Tensor:
        """What a lesion looks like there: its own brightness, an uneven core, and structure of the tissue."""
        own = self.mean + self.root @ torch.randn(len(self.mean), generator=draw)
        deep = 0.5 * self.root[:, 0, None, None] * _smooth(tuple(stacks.shape[2:]), draw)
        return own[:, None, None] + deep + KEPT * (stacks - self.tissue[1, :, None, None])


def _smooth(size: tuple[int, int], draw: torch.Generator) -> Tensor:
    """A smooth random image `(h, w)` of mean 0 and deviation of about 1."""
    coarse = torch.randn(1, 1, *(side // GRAIN + 2 for side in size), generator=draw)
    return F.interpolate(coarse, size=size, mode="bicubic", align_corners=True)[0, 0]
