r"""How one contrast is made to look like another: an S-shaped curve, an inversion, and both (Shin et al. 2025).

The paper names four cubic Bézier curves by single numbers, (-1, -1, 1, 1), (-1, -0.5, 0.5, 1) and their reverses. Read
as points on the diagonal, as its code does, each of them is the identity or the negation. Read as in the work that it
builds on, with points beside the diagonal, the second one is an S, which is what stands here. Chapter "APT".
"""

import numpy as np
import torch
from torch import Tensor

from a2a.common.units import to_image, to_model

Points = tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]

DIAGONAL: Points = ((-1, -1), (-1, -1), (1, 1), (1, 1))
NEGATION: Points = ((-1, 1), (-1, 1), (1, -1), (1, -1))
S_SHAPED: Points = ((-1, -1), (-0.5, 0.5), (0.5, -0.5), (1, 1))
FINE = 10_001
BACKGROUND = 0.04  # image units; what is darker stays black when the rest is inverted
TRANSFORMS = ("as it is", "S-curve", "inverted", "inverted S-curve")


def bezier(x: Tensor, points: Points) -> Tensor:
    r"""Apply the cubic curve :math:`B(r) = \sum_i \binom{3}{i} P_i (1 - r)^{3 - i} r^i`, read as y over x.

    Parameters
    ----------
    x
        Of any shape, in [-1, 1].
    points
        The four points (x, y); x of the curve must grow with r.
    """
    r = np.linspace(0, 1, FINE)
    weights = np.stack([(1 - r) ** 3, 3 * (1 - r) ** 2 * r, 3 * (1 - r) * r**2, r**3])
    across, up = np.asarray(points, float).T @ weights
    return torch.from_numpy(np.interp(x.cpu().double().numpy(), across, up)).to(x)


def inverted(image: Tensor) -> Tensor:
    """Turn bright into dark: ``(max - c)`` where c is above 0.04, else 0.

    Parameters
    ----------
    image
        ``(..., H, W)`` in image units; the maximum is that of each image.
    """
    return (image.amax(dim=(-2, -1), keepdim=True) - image) * (image > BACKGROUND)


def transformed(image: Tensor, kind: int) -> Tensor:
    """Apply one of `TRANSFORMS`, by its number, to images ``(..., H, W)`` in image units."""
    curved = to_image(bezier(to_model(image), S_SHAPED)) if kind % 2 else image
    return inverted(curved) if kind >= len(TRANSFORMS) // 2 else curved
