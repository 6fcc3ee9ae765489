"""Ventricles, deep nuclei, cisterns, cerebellar folia and vessels, as layers laid over the brain.

Functions of canonical coordinates. Throughout, `site`, `cavity` and `surfaces` give N points and the
anatomy found so far at them, `latents` the subject; distances are signed, in mm, positive inside; a
layer is a class with its coverage in [0, 1], (N,), and layers come from top to bottom. Explained in the
chapter "The data".
"""

from collections.abc import Iterator

import numpy as np

from a2a.data.phantom.cortex import Surfaces
from a2a.data.phantom.head import Cavity, Site
from a2a.data.phantom.latents import Latents
from a2a.data.phantom.shapes import ellipsoid, tube

Layer = tuple[str, np.ndarray]  # class and coverage


def lateral_ventricle(site: Site, latents: Latents) -> np.ndarray:
    """Return the signed distance to the lateral ventricles, mm (N,): three tubes on each side of the septum."""
    v = 0.75 + 1.15 * latents.ventricles
    p = site.mirrored
    body = [(8, 30, 4), (9, 18, 9), (9.5, 0, 18), (12, -20, 21), (21, -38, 14)]
    temporal = [(21, -38, 14), (28, -42, 4), (32, -25, -10), (31, -10, -18)]
    horns = tube(p, body, [r * v for r in (3.0, 4.6, 4.4, 4.6, 6.0)], 3.0)
    horns = np.maximum(horns, tube(p, temporal, [r * v for r in (6.0, 5.2, 2.2, 2.0)], 2.0))
    occipital = tube(p, [(23, -42, 10), (21, -62, 6)], [5.0 * v, 1.2 * v])
    return np.minimum(np.maximum(horns, occipital), site.m - 0.8)


def third_ventricle(site: Site, surfaces: Surfaces, latents: Latents) -> np.ndarray:
    """Return the signed distance to the third ventricle, mm (N,): a slit at the bent midline.

    Parameters
    ----------
    site
        The points.
    surfaces
        The surfaces of the brain there.
    latents
        The numbers that make the subject.
    """
    flat = ellipsoid((np.zeros_like(site.x), site.y, site.z), (0.0, -9.0, -1.0), (1.0, 17.0, 11.0))
    return np.minimum(1.0 + 2.4 * latents.ventricles - np.abs(surfaces.midline), flat)


def vessels(site: Site, cavity: Cavity) -> Iterator[Layer]:
    """Yield venous sinuses, internal cerebral veins and the large arteries."""
    y, z, m = site.y, site.z, site.m
    both, single = site.mirrored, site.points
    sagittal = np.where(z > 0.0, site.cover(0.8 * (5.0 - m - 1.1 * cavity.whole)), 0.0)
    yield "vein", sagittal
    along_tentorium = np.sqrt((z - cavity.tentorium + 1.0) ** 2 + np.maximum(cavity.whole, 0.0) ** 2)
    yield "vein", site.cover(4.0 - along_tentorium) * ((y < -40.0) & (m > 6.0) & (z < 2.0))
    yield "vein", site.cover(tube(both, [(1.8, -2, 13), (2, -26, 12), (0, -36, 8)], (0.8, 1.0, 1.4)))
    yield "vein", site.cover(tube(single, [(0, -40, 8), (0, -84, -4)], (1.5, 1.8)))
    middle = [(4, 4, -14), (16, 6, -13), (30, 6, -10), (38, 2, -4)]
    yield "art", site.cover(tube(both, middle, (1.7, 1.6, 1.4, 1.1)))
    yield "art", site.cover(tube(single, [(0, -7, -36), (0, -10, -14)], (1.7, 1.6)))
    anterior = [(2, 4, -13), (1.2, 30, -4), (1.2, 42, 10), (1.2, 28, 26), (1.2, 0, 31)]
    yield "art", site.cover(tube(both, anterior, (1.2, 1.2, 1.1, 1.0, 0.8)))


def ventricles(site: Site, surfaces: Surfaces, latents: Latents, lateral: np.ndarray) -> Iterator[Layer]:
    """Yield choroid plexus and ventricles; `lateral` is the distance from `lateral_ventricle`.

    Parameters
    ----------
    site
        The points.
    surfaces
        The surfaces of the brain there.
    latents
        The numbers that make the subject.
    lateral
        Signed distance to the lateral ventricles, mm.
    """
    supratentorial = np.maximum(site.cover(lateral), site.cover(third_ventricle(site, surfaces, latents)))
    plexus = ellipsoid(site.mirrored, (22.5, -40.0, 9.0), (2.2, 5.0, 3.6))
    yield "chor", site.cover(plexus) * supratentorial
    yield "vcsf", supratentorial
    v = latents.ventricles
    yield "vcsf", site.cover(ellipsoid(site.points, (0.0, -40.0, -32.0), (5.0 + 3.0 * v, 4.0 + 2.0 * v, 8.0)))


def nuclei(site: Site, latents: Latents) -> Iterator[Layer]:
    """Yield deep grey matter from caudate to dentate nucleus."""
    p = site.mirrored
    shift = 2.0 * (0.75 + 1.15 * latents.ventricles)
    head = ellipsoid(p, (13.0 + shift, 14.0, 7.0), (6.0, 12.0, 10.0), 12.0)
    tail = tube(p, [(15 + shift, 4, 13), (17 + shift, -10, 20), (23 + shift, -26, 18)], (4.2, 2.8, 1.8))
    yield "caud", site.cover(np.maximum(head, tail))
    yield "gp", site.cover(ellipsoid(p, (19.2, -3.0, -0.5), (4.8, 9.5, 6.5), -24.0))
    yield "put", site.cover(ellipsoid(p, (26.3, 2.0, 2.0), (5.6, 17.5, 11.0), -13.0))
    thalamus = ellipsoid(p, (9.8 + 1.2 * latents.ventricles, -18.0, 8.0), (8.8, 15.5, 9.5), -20.0)
    yield "thal", site.cover(thalamus)
    red = ellipsoid(p, (5.0, -20.0, -9.0), (2.8, 2.8, 3.5))
    nigra = ellipsoid(p, (9.0, -15.0, -11.0), (2.2, 5.5, 3.0), 35.0)
    yield "gp", 0.8 * site.cover(np.maximum(red, nigra))
    yield "put", 0.8 * site.cover(ellipsoid(p, (15.0, -54.0, -35.0), (4.0, 7.0, 5.0), 20.0))


def base(site: Site, surfaces: Surfaces, latents: Latents) -> Iterator[Layer]:
    """Yield brainstem, cerebellar peduncles, cisterns and hippocampus.

    Parameters
    ----------
    site
        The points.
    surfaces
        The surfaces of the brain there.
    latents
        The numbers that make the subject.
    """
    y, z, a = site.y, site.z, latents.atrophy
    yield "bstem", site.cover(surfaces.brainstem)
    yield "cbwm", site.cover(tube(site.mirrored, [(9, -25, -29), (21, -44, -33)], (6.5, 7.0)))
    suprasellar = ellipsoid(site.points, (0.0, -2.0, -15.0), (12.0, 12.0, 7.0))
    quadrigeminal = ellipsoid(site.points, (0.0, -38.5, -1.0), (9.0, 3.5 + 2.0 * a, 6.0))
    around = ((z < -9.0) & (y > -25.0)) | ((y < -27.0) & (z > -13.0) & (z < 4.0))
    ambient = site.cover(surfaces.brainstem + 1.4 + 1.5 * a) * around
    yield "csf", np.maximum(site.cover(np.maximum(suprasellar, quadrigeminal)), ambient)
    radii = [r * (1.08 - 0.35 * a) for r in (6.4, 5.6, 4.2)]
    yield "hippo", site.cover(tube(site.mirrored, [(24, -6, -19), (28, -20, -15), (29, -32, -5)], radii))


def cerebellum(site: Site, surfaces: Surfaces, latents: Latents) -> Iterator[Layer]:
    """Yield white core and folia of the cerebellum, its cortex last.

    Parameters
    ----------
    site
        The points.
    surfaces
        The surfaces of the brain there.
    latents
        The numbers that make the subject.
    """
    inside = site.cover(surfaces.cerebellum)
    hemispheres = ellipsoid(site.mirrored, (20.0, -52.0, -34.0), (19.0, 12.0, 10.0))
    vermis = ellipsoid(site.points, (0.0, -46.0, -32.0), (12.0, 10.0, 8.0))
    yield "cbwm", inside * site.cover(np.maximum(hemispheres, vermis))
    radius = np.sqrt(0.45 * site.x**2 + (site.y + 30.0) ** 2 + 1.3 * (site.z + 26.0) ** 2)
    folia = np.sin(2.0 * np.pi * (radius + 1.6 * site.n3) / 5.5)
    gaps = np.clip(3.0 * (folia - 0.7), 0.0, 1.0) * (0.15 + 0.35 * latents.atrophy)
    yield "csf", inside * gaps * np.clip(1.0 - surfaces.cerebellum / 14.0, 0.0, 1.0)
    yield "cbwm", inside * 0.38 * np.clip(1.6 * (-folia - 0.3), 0.0, 1.0)
    yield "cbgm", inside
