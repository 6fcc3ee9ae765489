"""A glioma: necrotic core, enhancing rim, oedema along white matter, and the tissue that it pushes away.

Explained in the chapter "The data".
"""

from dataclasses import dataclass

import numpy as np

from a2a.data.phantom.fields import FourierField, evaluate
from a2a.data.phantom.shapes import coverage
from a2a.data.phantom.tissue import INDEX, take

PUSH, REACH = 0.35, 18.0  # displacement at the rim in units of the radius, and how far it decays (mm)
RIGID = 15.0  # mm below the skull in which the displacement ends: bone does not give way
FURTHEST_OEDEMA = 4.0  # widths of oedema beyond the core; the irregular edge never gets there


@dataclass(frozen=True, eq=False)
class Tumour:
    """One tumour, in the head's coordinates before it pushes anything away (mm).

    Parameters
    ----------
    centre, radius
        Of the core.
    necrosis
        Radius of the necrosis in units of the core's.
    oedema
        Width of the oedema around the core.
    enhancing, enhancement
        Whether contrast agent leaks into the rim, and how strongly (about 1).
    shape, detail
        Fields that make the edges irregular.
    """

    centre: tuple[float, float, float]
    radius: float
    necrosis: float
    oedema: float
    enhancing: bool
    enhancement: float
    shape: FourierField
    detail: FourierField

    @property
    def leak(self) -> float:
        """Strength of the enhancement; a tumour with an intact barrier takes up very little."""
        return self.enhancement if self.enhancing else 0.08

    def latents(self) -> dict[str, float]:
        """The numbers behind it, for the subject's record."""
        place = {f"tumour_{axis}": value for axis, value in zip("xyz", self.centre, strict=True)}
        names = ("radius", "necrosis", "oedema", "enhancing", "enhancement")
        return place | {f"tumour_{name}": getattr(self, name) for name in names}

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Distance (N,) of points (3, N) from the centre, mm."""
        return np.sqrt(sum((p - np.float32(c)) ** 2 for p, c in zip(points, self.centre, strict=True)))


def draw_tumour(rng: np.random.Generator) -> Tumour:
    """Draw a tumour from the generator of the stream ``TUMOUR``; the order of the draws is part of the format."""
    side = float(rng.choice((-1.0, 1.0)))
    x, y, z = side * rng.uniform(22.0, 40.0), rng.uniform(-50.0, 40.0), rng.uniform(5.0, 40.0)
    radius, necrosis, oedema = rng.uniform(11.0, 21.0), rng.uniform(0.35, 0.75), rng.uniform(8.0, 20.0)
    return Tumour(
        centre=(float(x), float(y), float(z)),
        radius=float(radius),
        necrosis=float(necrosis),
        oedema=float(oedema),
        enhancing=bool(rng.random() < 0.85),
        enhancement=float(rng.uniform(0.6, 1.15)),
        shape=FourierField.draw(rng, 22.0, 0.3, 40),
        detail=FourierField.draw(rng, 12.0, 0.2, 40),
    )


def push_away(tumour: Tumour, points: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Return where the anatomy shown at `points`, float32 (3, N), would lie without the tumour.

    Healthy tissue moves outward, by up to 0.35 of the radius at the rim; so what is seen at a point comes from
    further inside: ``x - (x - c)/r 0.35 R exp(-max(r - R, 0)/18) min(r/R, 1)``, less and less in the last 15 mm
    below the skull, which keeps its shape.

    Parameters
    ----------
    tumour
        What pushes.
    points
        Coordinates in mm.
    depth : float32 (N,)
        Signed distance to the inside of the skull in mm, positive inside.
    """
    radius = np.float32(tumour.radius)
    apart = tumour.distance(points)
    strength = PUSH * np.exp(-np.maximum(apart - radius, 0.0) / np.float32(REACH)) / np.maximum(apart / radius, 1.0)
    strength *= np.clip(depth / np.float32(RIGID), 0.0, 1.0)
    centre = np.array(tumour.centre, np.float32)[:, None]
    return points - (points - centre) * strength


def add_tumour(fractions: np.ndarray, tumour: Tumour, points: np.ndarray, pixel: float) -> None:
    """Put oedema, solid tumour and necrosis into a brain, in place.

    Parameters
    ----------
    fractions : float32 (30, N)
        Brain tissue, changed.
    tumour
        The tumour.
    points : float32 (3, N)
        Where the brain tissue lies, in the coordinates of the tumour.
    pixel
        Width in mm of an edge.
    """
    apart = tumour.distance(points)
    near = np.flatnonzero(apart < tumour.radius + FURTHEST_OEDEMA * tumour.oedema)
    apart = apart[near]
    shape, detail = evaluate((tumour.shape, tumour.detail), points[:, near])
    radius = tumour.radius
    core = coverage(radius * (1.0 + 0.16 * shape) - apart, pixel)
    necrosis = coverage(radius * tumour.necrosis * (1.0 + 0.22 * shape + 0.18 * detail) - apart, pixel)
    oedema = coverage(radius + tumour.oedema * (1.0 + 0.45 * shape + 0.15 * detail) - apart, pixel)
    tissue = fractions[:, near]
    along = tissue[INDEX["wm"]] + tissue[INDEX["wmh"]] + 0.25 * tissue[INDEX["cgm"]]
    take(tissue, "ed", oedema * np.clip(along, 0.0, 1.0))
    solid = 1.0 - tissue[INDEX["csf"]] - tissue[INDEX["vcsf"]] - tissue[INDEX["vein"]]
    take(tissue, "et", core * np.maximum(solid, 0.0))
    take(tissue, "ncr", necrosis * core)
    fractions[:, near] = tissue
