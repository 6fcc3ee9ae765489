"""One subject's anatomy as tissue fractions: head, brain and lesions put together."""

from dataclasses import dataclass

import numpy as np

from a2a.data.phantom.brain import build_brain
from a2a.data.phantom.config import Preset
from a2a.data.phantom.cortex import build_surfaces
from a2a.data.phantom.fields import Stream, Streams, evaluate
from a2a.data.phantom.grid import Grid
from a2a.data.phantom.head import Site, build_cavity, build_outside
from a2a.data.phantom.latents import Latents, draw_latents
from a2a.data.phantom.lesions import Lesions
from a2a.data.phantom.pose import draw_shape, to_canonical
from a2a.data.phantom.structures import lateral_ventricle
from a2a.data.phantom.tissue import INDEX
from a2a.data.phantom.tumour import Tumour, push_away


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
    latents, lesions
        What made the subject.
    """

    grid: Grid
    kept: np.ndarray
    points: np.ndarray
    depth: np.ndarray
    fractions: np.ndarray
    latents: Latents
    lesions: Lesions

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


def build_anatomy(grid: Grid, rng: Streams, preset: Preset, lesions: bool) -> Anatomy:
    """Build a subject on a grid.

    Parameters
    ----------
    grid
        At least 128 pixels per side, so that pixels are at most 1.75 mm wide.
    rng
        Returns the generator of a stream.
    preset
        Chooses the distribution of the age and the lesions.
    lesions
        Whether lesions are put in; healthy anatomy is the same either way, but for what a tumour displaces.
    """
    latents = draw_latents(rng(Stream.LATENTS), preset.age)
    found = Lesions.draw(rng, preset, latents) if lesions else Lesions()
    shape = draw_shape(rng(Stream.SHAPE), latents.size)
    kept, undisplaced = to_canonical(shape, grid.points())
    points = undisplaced if found.tumour is None else _pushed(undisplaced, found.tumour, grid.pixel)
    noise = evaluate(shape.noise, points)
    site = Site.at(points, noise, grid.pixel)
    cavity = build_cavity(site)
    fractions = build_outside(site, cavity, latents, shape.sinus)
    inside = np.flatnonzero(cavity.whole > -0.5 * grid.pixel)
    within = Site.at(points[:, inside], noise[:, inside], grid.pixel)
    surfaces = build_surfaces(within, cavity.at(inside), shape, latents)
    lateral = lateral_ventricle(within, latents)
    brain = build_brain(within, cavity.at(inside), surfaces, latents, lateral)
    found.add(brain, within, surfaces, lateral, latents, rng, undisplaced[:, inside])
    brain *= site.cover(cavity.whole)[inside]
    fractions[:, inside] += brain
    return Anatomy(grid, kept, points, cavity.whole, fractions, latents, found)


def _pushed(points: np.ndarray, tumour: Tumour, pixel: float) -> np.ndarray:
    """Points (3, N) of the healthy anatomy that the tumour has pushed to `points`; the skull keeps its shape."""
    skull = build_cavity(Site.at(points, np.zeros_like(points), pixel))
    return push_away(tumour, points, skull.whole)
