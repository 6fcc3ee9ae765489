"""The cranial cavity and what surrounds it: skull, muscle, fat, skin, eyes, air-filled sinuses.

Functions of canonical coordinates. Explained in the chapter "The data".
"""

from dataclasses import dataclass

import numpy as np

from a2a.data.phantom.latents import Latents
from a2a.data.phantom.pose import FrontalSinus
from a2a.data.phantom.shapes import coverage, ellipsoid, smooth_max, smooth_min, super_ellipsoid
from a2a.data.phantom.tissue import CLASSES, INDEX


@dataclass(frozen=True, eq=False)
class Site:
    """Points of a head in canonical coordinates with what the anatomy needs to know about them.

    Parameters
    ----------
    x, y, z, m
        Coordinates in mm, float32 (N,), and m = \\|x\\|.
    n1, n2, n3
        Fields of unit variance that vary thickness and position of parts.
    pixel
        Width in mm over which an edge is blurred by partial volume.
    """

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    m: np.ndarray
    n1: np.ndarray
    n2: np.ndarray
    n3: np.ndarray
    pixel: float

    @classmethod
    def at(cls, points: np.ndarray, noise: np.ndarray, pixel: float) -> "Site":
        """Build from points (3, N) and noise (3, N).

        Parameters
        ----------
        points
            World coordinates, mm, ``(3, N)``.
        noise
            Random numbers of each point, ``(3, N)``.
        pixel
            Side of a pixel, mm.
        """
        return cls(*points, np.abs(points[0]), *noise, pixel)

    @property
    def points(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(x, y, z)."""
        return self.x, self.y, self.z

    @property
    def mirrored(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """``(|x|, y, z)``, for parts that exist on both sides."""
        return self.m, self.y, self.z

    def cover(self, distance: np.ndarray) -> np.ndarray:
        """Fraction of each pixel inside a solid of the given signed distance."""
        return coverage(distance, self.pixel)


@dataclass(frozen=True, eq=False)
class Cavity:
    """Signed distances in mm (positive inside) that bound the inside of the skull, and two heights z.

    `whole` is the cavity; `vault`, `middle`, `posterior` the parts that hold cerebrum (without and with
    temporal lobes) and cerebellum; `tentorium` and `floor` the heights below which the cerebrum ends.
    """

    whole: np.ndarray
    vault: np.ndarray
    middle: np.ndarray
    posterior: np.ndarray
    tentorium: np.ndarray
    floor: np.ndarray

    def at(self, index: np.ndarray) -> "Cavity":
        """The same at some of the points."""
        parts = (self.whole, self.vault, self.middle, self.posterior, self.tentorium, self.floor)
        return Cavity(*(p[index] for p in parts))


def build_cavity(site: Site) -> Cavity:
    """Return the inside of the skull, a smooth union of vault, fossae and base."""
    x, y, z, m = site.x, site.y, site.z, site.m
    tentorium = -3.0 - 0.30 * m - 0.12 * np.maximum(-30.0 - y, 0.0)
    frontal_floor = -23.0 + 9.0 * np.exp(-(((m - 32.0) / 15.0) ** 2) - ((y - 42.0) / 24.0) ** 2)
    front = np.clip((y + 22.0) / 22.0, 0.0, 1.0)
    egg = (x / (1.0 - 0.0014 * y), y, z)
    vault = super_ellipsoid(egg, (0.0, -3.0, 8.0), (68.0, 87.0, 66.0), 2.25)
    middle = ellipsoid(site.mirrored, (37.0, -8.0, -19.0), (25.0, 36.0, 23.0))
    posterior = ellipsoid(site.points, (0.0, -44.0, -30.0), (53.0, 41.0, 33.0))
    base = ellipsoid(site.points, (0.0, -16.0, -26.0), (23.0, 22.0, 34.0))
    above = np.minimum(z - np.where(y > 0.0, frontal_floor, -24.0), z + 24.0) + 0.3
    upper = smooth_max(smooth_min(vault, above, 3.0), middle, 8.0)
    whole = smooth_max(upper, smooth_max(posterior, base, 8.0), 8.0)
    return Cavity(whole, vault, middle, posterior, tentorium, front * frontal_floor + (1.0 - front) * tentorium)


def build_outside(site: Site, cavity: Cavity, latents: Latents, sinus: FrontalSinus) -> np.ndarray:
    """Return the fractions of all that lies outside the cavity, float32 (30, N); they sum to 1 - cover(cavity).

    Layers follow the outward distance from the cavity; face, orbits and sinuses then take their place.

    Parameters
    ----------
    site
        The points.
    cavity
        The cranial cavity there.
    latents
        The numbers that make the subject.
    sinus
        Frontal sinus.
    """
    outside = np.zeros((len(CLASSES), len(site.x)), np.float32)
    inner = site.cover(cavity.whole)
    skin_edge = _layers(outside, site, cavity, latents, inner)
    _face(outside, site, skin_edge)
    room = 1.0 - inner
    eye = ellipsoid(site.mirrored, (32.0, 66.0, -31.0), (12.0, 12.0, 12.0))
    _replace(outside, room, "fat", site.cover(ellipsoid(site.mirrored, (31.0, 60.0, -31.0), (19.0, 24.0, 18.0))))
    _replace(outside, room, "muscle", site.cover(eye + 1.0))
    _replace(outside, room, "vitr", site.cover(eye))
    nose = site.cover(ellipsoid(site.points, (0.0, 50.0, -34.0), (11.0, 28.0, 13.0)))
    _replace(outside, room, "sinus", nose * np.clip(0.6 + 0.8 * np.abs(site.n3), 0.0, 1.0))
    if sinus.present:
        bone = outside[INDEX["cbone"]] + outside[INDEX["diploe"]]
        air = site.cover(ellipsoid(site.mirrored, sinus.centre, sinus.axes))
        _replace(outside, room, "sinus", air * np.clip(1.2 * bone, 0.0, 1.0))
    mastoid = 0.8 * site.cover(ellipsoid(site.mirrored, (58.0, -36.0, -38.0), (9.0, 14.0, 14.0)))
    _replace(outside, room, "sinus", mastoid * np.clip(0.5 + 0.8 * site.n3, 0.0, 1.0))
    return outside


def _layers(outside: np.ndarray, site: Site, cavity: Cavity, latents: Latents, inner: np.ndarray) -> np.ndarray:
    """Fill in skull, muscle, fat, skin and air; return the coverage of everything within the skin."""
    y, z, m = site.y, site.z, site.m
    skull = latents.skull * (1.0 + 0.13 * site.n1 + 0.16 * np.clip(-y / 90.0, -0.5, 1.0))
    thin_temple = 1.0 - 0.35 * np.exp(-(((m - 66.0) / 18.0) ** 2) - ((z + 5.0) / 22.0) ** 2)
    skull = skull * np.clip(thin_temple, 0.5, 1.5)
    outer_table, inner_table = 1.5 + 0.25 * site.n2, 1.4 - 0.2 * site.n2
    temporalis = 11.0 * np.exp(-(((y - 18.0) / 26.0) ** 2))
    temporalis = temporalis * np.clip((8.0 - z) / 30.0, 0.0, 1.0) * np.clip((m - 35.0) / 20.0, 0.0, 1.0)
    scalp = latents.scalp * (1.0 + 0.12 * site.n2) + 1.5

    def within(thickness: np.ndarray) -> np.ndarray:
        return site.cover(thickness + cavity.whole)

    bone_edge, muscle_edge = within(skull), within(skull + temporalis)
    fat_edge, skin_edge = within(skull + temporalis + scalp - 2.2), within(skull + temporalis + scalp)
    marrow = np.maximum(within(skull - outer_table) - np.maximum(within(inner_table), inner), 0.0) * (skull > 4.2)
    outside[INDEX["diploe"]] = marrow
    outside[INDEX["cbone"]] = np.maximum(np.maximum(bone_edge - inner, 0.0) - marrow, 0.0)
    outside[INDEX["muscle"]] = np.maximum(muscle_edge - bone_edge, 0.0)
    outside[INDEX["fat"]] = np.maximum(fat_edge - muscle_edge, 0.0)
    outside[INDEX["skin"]] = np.maximum(skin_edge - fat_edge, 0.0)
    outside[INDEX["air"]] = np.maximum(1.0 - inner - outside.sum(axis=0), 0.0)
    return skin_edge


def _face(outside: np.ndarray, site: Site, skin_edge: np.ndarray) -> None:
    """Put fat and muscle in place of the air below the skull."""
    face = (1.0 - skin_edge) * site.cover(ellipsoid(site.points, (0.0, 24.0, -34.0), (62.0, 76.0, 52.0)))
    face = face * np.clip((-6.0 - site.z) / 6.0, 0.0, 1.0) * np.clip((-4.0 - site.z) / 5.0, 0.0, 1.0)
    face = np.minimum(face, outside[INDEX["air"]])
    fat = 0.55 * np.clip(0.5 + 1.2 * site.n3, 0.0, 1.0)
    outside[INDEX["air"]] -= face
    outside[INDEX["fat"]] += face * fat
    outside[INDEX["muscle"]] += face * (1.0 - fat)


def _replace(outside: np.ndarray, room: np.ndarray, name: str, share: np.ndarray) -> None:
    """Let class `name` take `share` of everything outside the cavity (`room`)."""
    here = np.flatnonzero(share > 0.0)
    outside[:, here] *= 1.0 - share[here]
    outside[INDEX[name], here] += share[here] * room[here]
