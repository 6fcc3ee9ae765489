"""Signed distances of simple solids (positive inside, in mm) and their anti-aliased occupancy.

A point set is a triple of equally long arrays ``(x, y, z)``; pass ``|x|`` as the first for a
bilaterally symmetric part. Explained in the chapter "The data".
"""

from collections.abc import Sequence

import numpy as np

Points = tuple[np.ndarray, np.ndarray, np.ndarray]
Triple = tuple[float, float, float]


def ellipsoid(points: Points, centre: Triple, axes: Triple, rotation: float = 0.0) -> np.ndarray:
    """Return the first-order distance to an ellipsoid: ``k0 (1 - k0) / k1``, ``k0 = |p/a|``, ``k1 = |p/a^2|``.

    Parameters
    ----------
    points
        Coordinates in mm.
    centre, axes
        Centre and semi-axes in mm.
    rotation
        Degrees about z by which the solid is turned (from x towards y).

    Returns
    -------
    ndarray
        Signed distance in mm; exact on the surface and for a sphere.
    """
    px, py, pz = (p - c for p, c in zip(points, centre, strict=True))
    if rotation:
        cosine, sine = float(np.cos(np.deg2rad(rotation))), float(np.sin(np.deg2rad(rotation)))
        px, py = cosine * px + sine * py, cosine * py - sine * px
    ux, uy, uz = px / axes[0], py / axes[1], pz / axes[2]
    k0 = np.sqrt(ux * ux + uy * uy + uz * uz) + 1e-6
    ux /= axes[0]
    uy /= axes[1]
    uz /= axes[2]
    k1 = np.sqrt(ux * ux + uy * uy + uz * uz) + 1e-6 / max(axes)
    return k0 * (1.0 - k0) / k1


def super_ellipsoid(points: Points, centre: Triple, axes: Triple, power: float) -> np.ndarray:
    """Return the first-order distance to a rounded box, ``(1 - r) / |grad r|`` with ``r^power = sum |p/a|^power``.

    Parameters
    ----------
    points, centre, axes
        Coordinates, centre and semi-axes in mm.
    power
        2 for an ellipsoid, more for flatter sides.
    """
    r = 0.0
    slope = 0.0
    for p, c, a in zip(points, centre, axes, strict=True):
        u = np.maximum(np.abs(p - c) / a, 1e-3)
        part = u ** (power - 1.0)
        r = r + part * u
        slope = slope + (part / a) ** 2
    r = r ** (1.0 / power)
    return (1.0 - r) / (r ** (1.0 - power) * np.sqrt(slope))


def tube(points: Points, path: Sequence[Triple], radii: Sequence[float], blend: float = 0.0) -> np.ndarray:
    """Return the signed distance to a chain of segments whose radius is interpolated between the corners.

    Parameters
    ----------
    points
        Coordinates in mm.
    path, radii
        Corners in mm and the radius at each of them in mm.
    blend
        Width in mm of the smooth union of neighbouring segments; 0 for the plain union.
    """
    union = None
    for a, b, radius_a, radius_b in zip(path[:-1], path[1:], radii[:-1], radii[1:], strict=True):
        axis = [q - p for p, q in zip(a, b, strict=True)]
        from_a = [p - c for p, c in zip(points, a, strict=True)]
        t = sum(f * d for f, d in zip(from_a, axis, strict=True)) / sum(d * d for d in axis)
        t = np.clip(t, 0.0, 1.0)
        apart = np.sqrt(sum((f - t * d) ** 2 for f, d in zip(from_a, axis, strict=True)))
        segment = radius_a + (radius_b - radius_a) * t - apart
        if union is None:
            union = segment
        else:
            union = smooth_max(union, segment, blend) if blend else np.maximum(union, segment)
    return union


def smooth_max(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    """Return the union of two solids, signed distances in mm, with a fillet of `width` mm; at least ``max(a, b)``.

    Parameters
    ----------
    a, b
        Signed distances, mm, positive inside.
    width
        Of the fillet, mm.
    """
    h = np.clip(0.5 + 0.5 * (a - b) / width, 0.0, 1.0)
    return b + h * (a - b) + width * h * (1.0 - h)


def smooth_min(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    """Return the intersection of two solids, signed distances in mm, with an edge rounded over `width` mm.

    Parameters
    ----------
    a, b
        Signed distances, mm, positive inside.
    width
        Of the rounding, mm.
    """
    return -smooth_max(-a, -b, width)


def coverage(distance: np.ndarray, pixel: float) -> np.ndarray:
    """Return the fraction of a pixel (side in mm) that lies inside: ``clip(distance / pixel + 1/2, 0, 1)``."""
    return np.clip(distance / pixel + 0.5, 0.0, 1.0)
