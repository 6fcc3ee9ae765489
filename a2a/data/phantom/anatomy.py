"""One subject's anatomy as tissue fractions: head, brain and lesions put together."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from a2a.data.phantom.brain import build_brain
from a2a.data.phantom.cortex import build_surfaces
from a2a.data.phantom.fields import Stream, evaluate
from a2a.data.phantom.grid import Grid
from a2a.data.phantom.head import Cavity, Site, build_cavity, build_outside
from a2a.data.phantom.latents import Latents, draw_latents
from a2a.data.phantom.lesions import Bleed, add_bleeds, add_calcifications, add_hyperintensities, draw_bleeds
from a2a.data.phantom.pose import HeadShape, draw_shape, to_canonical
from a2a.data.phantom.structures import lateral_ventricle
from a2a.data.phantom.tissue import INDEX

Streams = Callable[[int], np.random.Generator]  # a fresh generator for each purpose of one subject


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Tissue at the grid points of one head; all other points are air.

    Parameters
    ----------
    grid
        The grid on which it was evaluated.
    kept : int (N,)
        Flat indices of the points that are listed.
    points : float32 (3, N)
        Their canonical coordinates in mm.
    depth : float32 (N,)
        Signed distance to the inside of the skull in mm, positive inside.
    fractions : float32 (30, N)
        Tissue fractions; they sum to 1.
    latents, bleeds
        What made the subject.
    """

    grid: Grid
    kept: np.ndarray
    points: np.ndarray
    depth: np.ndarray
    fractions: np.ndarray
    latents: Latents
    bleeds: tuple[Bleed, ...]

    def volume(self, values: np.ndarray, background: float = 0.0) -> np.ndarray:
        """Put values (N,) into a volume, float32 (Z, H, W), filled up with `background`."""
        volume = np.full(self.grid.shape, background, np.float32)
        volume.reshape(-1)[self.kept] = values
        return volume

    @property
    def brain_mask(self) -> np.ndarray:
        """Inside of the skull without its outer 1.5 mm and the venous sinuses near it, float32 (Z, H, W)."""
        inside = (self.depth > 1.5) & ((self.fractions[INDEX["vein"]] < 0.5) | (self.depth > 6.0))
        return self.volume(inside.astype(np.float32))


def build_anatomy(grid: Grid, rng: Streams, preset: str, lesions: bool) -> Anatomy:
    """Build a subject on a grid.

    Parameters
    ----------
    grid
        At least 128 pixels per side, so that pixels are at most 1.75 mm wide.
    rng
        Returns the generator of a stream.
    preset
        Chooses the distribution of the latents.
    lesions
        Whether lesions are put in; healthy anatomy is the same either way.
    """
    latents = draw_latents(rng(Stream.LATENTS), preset)
    shape = draw_shape(rng(Stream.SHAPE), latents.size)
    kept, points = to_canonical(shape, grid.points())
    noise = evaluate(shape.noise, points)
    site = Site.at(points, noise, grid.pixel)
    cavity = build_cavity(site)
    fractions = build_outside(site, cavity, latents, shape.sinus)
    inside = np.flatnonzero(cavity.whole > -0.5 * grid.pixel)
    bleeds = draw_bleeds(rng(Stream.BLEEDS), latents.bleeds) if lesions else ()
    within = Site.at(points[:, inside], noise[:, inside], grid.pixel)
    brain = _brain(within, cavity.at(inside), shape, latents, rng if lesions else None, bleeds)
    brain *= site.cover(cavity.whole)[inside]
    fractions[:, inside] += brain
    return Anatomy(grid, kept, points, cavity.whole, fractions, latents, bleeds)


def _brain(
    site: Site, cavity: Cavity, shape: HeadShape, latents: Latents, rng: Streams | None, bleeds: tuple[Bleed, ...]
) -> np.ndarray:
    """Fractions inside the cavity, with lesions unless `rng` is None."""
    surfaces = build_surfaces(site, cavity, shape, latents)
    lateral = lateral_ventricle(site, latents)
    brain = build_brain(site, cavity, surfaces, latents, lateral)
    if rng is not None:
        add_hyperintensities(brain, site, surfaces, lateral, latents.wmh, rng(Stream.WHITE_MATTER_LESIONS))
        add_bleeds(brain, site, bleeds)
        add_calcifications(brain, site, latents)
    return brain
