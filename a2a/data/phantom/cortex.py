"""Envelopes of cerebrum, cerebellum and brainstem, fissures, and the folded cortex.

Sulci are the zero set of a band-limited field in radially stretched coordinates, cut off at a depth.
Explained in the chapter "The data".
"""

from dataclasses import dataclass

import numpy as np

from a2a.data.phantom.fields import FourierField
from a2a.data.phantom.head import Cavity, Site
from a2a.data.phantom.latents import Latents
from a2a.data.phantom.pose import DIMPLE_WAVELENGTH, FOLD_WAVELENGTH, HeadShape
from a2a.data.phantom.shapes import ellipsoid, smooth_max, smooth_min

FAR = 30.0  # mm, stands for the distance to a sulcus where none is near


@dataclass(frozen=True, eq=False)
class Surfaces:
    """Signed distances in mm, positive inside, float32 (N,).

    `cerebrum`, `cerebellum`, `brainstem` are envelopes; `pial` is the folded surface of the cortex and
    `thickness` that of the cortex; `midline` is the x coordinate relative to the bent midline.
    """

    cerebrum: np.ndarray
    cerebellum: np.ndarray
    brainstem: np.ndarray
    pial: np.ndarray
    thickness: np.ndarray
    midline: np.ndarray


def build_surfaces(site: Site, cavity: Cavity, shape: HeadShape, latents: Latents) -> Surfaces:
    """Return the surfaces of one brain at points inside the cavity.

    Parameters
    ----------
    site
        The points.
    cavity
        The cranial cavity there.
    shape
        Of the head.
    latents
        The numbers that make the subject.
    """
    a = latents.atrophy
    gap = 1.2 + 2.2 * a + 0.4 * site.n1
    cerebrum = smooth_min(cavity.vault - gap, site.z - cavity.floor - 0.7, 3.0)
    cerebrum = smooth_max(cerebrum, cavity.middle - gap, 4.0)
    cerebellum = smooth_min(cavity.posterior - 0.6 * gap, cavity.tentorium - 0.7 - site.z, 3.0)
    midline = site.x + 1.2 * site.n2
    callosal = 26.0 * (1.0 - np.sqrt(((site.y + 5.0) / 40.0) ** 2 + ((site.z - 6.0) / 21.0) ** 2))
    fissure = np.sqrt(midline**2 + np.maximum(callosal, 0.0) ** 2) - (0.45 + 0.9 * a)
    sylvian = _sylvian_fissure(site) - (0.45 + 1.3 * a + 0.2 * site.n2)
    smooth = smooth_max(cavity.vault, cavity.middle, 5.0) - gap
    sulci = _sulci(site, shape, a, smooth, _medial_depth(site, midline, callosal, a))
    return Surfaces(
        cerebrum=cerebrum,
        cerebellum=cerebellum,
        brainstem=_brainstem(site),
        pial=np.minimum(np.minimum(cerebrum, fissure), np.minimum(sylvian, sulci)),
        thickness=2.7 - 0.35 * a + 0.25 * site.n3,
        midline=midline,
    )


def _brainstem(site: Site) -> np.ndarray:
    midbrain = ellipsoid(site.points, (0.0, -24.0, -11.0), (16.0, 12.0, 13.0))
    pons = ellipsoid(site.points, (0.0, -21.0, -29.0), (16.5, 14.0, 15.0))
    medulla = ellipsoid(site.points, (0.0, -27.0, -50.0), (10.0, 9.0, 18.0))
    return smooth_max(midbrain, smooth_max(pons, medulla, 5.0), 5.0)


def _sylvian_fissure(site: Site) -> np.ndarray:
    """Distance to the lateral sheet of the Sylvian fissure or to the sheet over the insula, whichever is nearer."""
    y, z, m = site.y, site.z, site.m
    height = -8.0 + 0.42 * np.clip(18.0 - y, 0.0, 60.0) + 1.5 * site.n1
    lateral = (z - height) ** 2 + np.maximum(36.0 - m, 0.0) ** 2
    lateral = lateral + np.maximum(y - 24.0, 0.0) ** 2 + np.maximum(-40.0 - y, 0.0) ** 2
    insular = (m - (37.0 + 2.0 * site.n1 - 0.05 * np.abs(y - 2.0))) ** 2
    insular = insular + np.maximum(np.abs(z - height - 1.0) - 11.0, 0.0) ** 2
    insular = insular + np.maximum(y - 20.0, 0.0) ** 2 + np.maximum(-18.0 - y, 0.0) ** 2
    return np.sqrt(np.minimum(lateral, insular))


def _radius(site: Site) -> np.ndarray:
    return np.sqrt((site.x / 68.0) ** 2 + ((site.y + 3.0) / 87.0) ** 2 + ((site.z - 8.0) / 66.0) ** 2)


def _medial_depth(site: Site, midline: np.ndarray, callosal: np.ndarray, atrophy: float) -> np.ndarray:
    """Depth below the medial surface: large near the corpus callosum and in the middle of the brain."""
    depth = np.abs(midline) - (0.45 + 0.9 * atrophy) + 3.0 * np.maximum(callosal + 4.0, 0.0) + 7.0
    return depth + 40.0 * np.maximum(0.55 - _radius(site), 0.0)


def _sulci(site: Site, shape: HeadShape, atrophy: float, smooth: np.ndarray, medial: np.ndarray) -> np.ndarray:
    """Signed distance to the walls of sulci and dimples (positive in tissue).

    Parameters
    ----------
    site, shape, atrophy
        Points, fields, and what widens the sulci.
    smooth, medial
        Distance below the unfolded outer surface and below the medial surface.
    """
    depth = np.minimum(smooth, medial)
    stretch = np.clip(_radius(site), 0.35, 1.2) ** np.float32(-0.75)
    stretched = np.stack([site.x, site.y, site.z - 8.0]) * stretch
    near = np.flatnonzero((depth < 32.0) & (smooth > -6.0))
    sheet = _distance_to_zero(shape.folds, FOLD_WAVELENGTH, stretched, stretch, near)
    floor = np.clip(17.0 + 3.0 * site.n3 + 1.5 * site.n1, 9.0, 26.0)
    width = (0.25 + 1.15 * atrophy) * np.clip(1.25 - 0.045 * depth, 0.45, 1.3)
    sulcus = np.sqrt(sheet**2 + np.maximum(depth - floor, 0.0) ** 2) - width
    near = np.flatnonzero((depth < 14.0) & (smooth > -4.0))
    dimple = _distance_to_zero(shape.dimples, DIMPLE_WAVELENGTH, stretched, stretch, near)
    dimple_floor = np.clip(3.5 + 3.0 * site.n2, 0.0, 9.0)
    dimple = np.sqrt(dimple**2 + np.maximum(depth - dimple_floor, 0.0) ** 2)
    dimple = dimple + 3.0 * np.clip(3.5 - sheet, 0.0, 2.0) - 0.1 - 0.4 * atrophy
    return np.minimum(sulcus, dimple)


def _distance_to_zero(
    field: FourierField, wavelength: float, stretched: np.ndarray, stretch: np.ndarray, at: np.ndarray
) -> np.ndarray:
    """Second-order distance to the zero set of a field; the first-order one makes lakes at saddle points."""
    value, slope = field.with_gradient(stretched[:, at])
    value, slope = np.abs(value), slope * stretch[at]
    bend = 0.55 * (2.0 * np.pi / wavelength) ** 2 * stretch[at] ** 2
    distance = np.full(stretch.shape, FAR, np.float32)
    distance[at] = 2.0 * value / (slope + np.sqrt(slope**2 + 2.0 * bend * value) + 1e-6)
    return distance
