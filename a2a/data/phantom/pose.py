"""Pose and shape of a head: from world to canonical coordinates, and the fields that vary the anatomy.

Canonical coordinates have their origin near the anterior commissure and lie along the line to the
posterior commissure. Explained in the chapter "The data".
"""

from dataclasses import dataclass

import numpy as np

from a2a.data.phantom.fields import FourierField, evaluate

FOLD_WAVELENGTH, DIMPLE_WAVELENGTH = 27.0, 16.0  # mm
LARGEST_HEAD = (95.0, 112.0, 98.0)  # semi-axes in mm of the ellipsoid outside of which there is only air


@dataclass(frozen=True)
class FrontalSinus:
    """Air in the frontal bone, on both sides: centre and semi-axes in mm."""

    present: bool
    centre: tuple[float, float, float]
    axes: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class HeadShape:
    """All random quantities of the healthy anatomy (stream ``SHAPE``).

    Parameters
    ----------
    to_head : float32 (3, 3)
        ``diag(1/scale) R^T``.
    shift : float32 (3, 1)
        Translation of the head in mm.
    coarse_warp, fine_warp
        Three fields each, the displacement in units of 2.0 and 0.55 mm.
    noise
        The fields n1, n2, n3 that vary thickness and position of parts.
    sinus
        The frontal sinus.
    folds, dimples
        Fields whose zero sets are the sulci and the shallow secondary dimples.
    """

    to_head: np.ndarray
    shift: np.ndarray
    coarse_warp: tuple[FourierField, ...]
    fine_warp: tuple[FourierField, ...]
    noise: tuple[FourierField, FourierField, FourierField]
    sinus: FrontalSinus
    folds: FourierField
    dimples: FourierField


def draw_shape(rng: np.random.Generator, size: float) -> HeadShape:
    """Draw the shape of a head whose size has the standard score `size`."""
    angles = np.deg2rad(rng.normal(0.0, (2.5, 1.5, 2.5)))
    scale = np.exp(0.03 * size + rng.normal(0.0, 0.025, 3))
    shift = rng.normal(0.0, 2.0, 3)
    return HeadShape(
        to_head=(rotation(*angles).T / scale[:, None]).astype(np.float32),
        shift=shift.astype(np.float32)[:, None],
        coarse_warp=tuple(FourierField.draw(rng, 110.0, 0.25, 16) for _ in range(3)),
        fine_warp=tuple(FourierField.draw(rng, 50.0, 0.2, 16) for _ in range(3)),
        noise=tuple(FourierField.draw(rng, wavelength, 0.25, 24) for wavelength in (55.0, 70.0, 28.0)),
        sinus=_draw_sinus(rng),
        folds=FourierField.draw(rng, FOLD_WAVELENGTH, 0.12, 56),
        dimples=FourierField.draw(rng, DIMPLE_WAVELENGTH, 0.10, 40),
    )


def to_canonical(shape: HeadShape, world: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return canonical coordinates of the world points near the head.

    Parameters
    ----------
    shape
        The head.
    world : float32 (3, N)
        Points in mm.

    Returns
    -------
    kept : int64 (K,)
        Indices of the points inside the largest possible head.
    canonical : float32 (3, K)
        Their canonical coordinates in mm.
    """
    x, y, z = world - shape.shift
    head = np.stack([row[0] * x + row[1] * y + row[2] * z for row in shape.to_head])
    a, b, c = LARGEST_HEAD
    kept = np.flatnonzero((head[0] / a) ** 2 + ((head[1] + 2.0) / b) ** 2 + (head[2] / c) ** 2 < 1.15)
    head = head[:, kept]
    warp = evaluate(shape.coarse_warp + shape.fine_warp, head)
    return kept, head + 2.0 * warp[:3] + 0.55 * warp[3:]


def _draw_sinus(rng: np.random.Generator) -> FrontalSinus:
    present = bool(rng.random() < 0.85)
    side, front, height = rng.uniform(9.0, 16.0), 83.0 + rng.normal(0.0, 1.5), rng.uniform(-16.0, -6.0)
    width, tall = rng.uniform(8.0, 18.0), rng.uniform(8.0, 16.0)
    return FrontalSinus(present, (float(side), float(front), float(height)), (float(width), 3.2, float(tall)))


def rotation(about_x: float, about_y: float, about_z: float) -> np.ndarray:
    """Return the rotation Rz Ry Rx for angles in rad, float64 (3, 3).

    Parameters
    ----------
    about_x, about_y, about_z
        Angles, rad.
    """
    matrix = np.eye(3)
    for axis, angle in enumerate((about_x, about_y, about_z)):
        i, j = [(1, 2), (2, 0), (0, 1)][axis]
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix
