"""An ischaemic stroke: where the infarct lies, and what its age does to the tissue.

Explained in the chapter "The data".
"""

from dataclasses import dataclass, replace

import numpy as np

from a2a.data.phantom.fields import FourierField
from a2a.data.phantom.shapes import coverage
from a2a.data.phantom.tissue import INDEX, TABLE, TissueParameters

DYING = ("wm", "cgm", "caud", "put", "gp", "thal", "wmh", "hippo")  # classes that an infarct replaces
APEX_X, APEX_Z = 18.0, 8.0  # where the vessels of a territory come from, mm
ADC_VARIATION = 0.1  # log-SD of the ADC from place to place in an infarct


@dataclass(frozen=True)
class Territory:
    """The whole territory of an artery: a cone that opens outward from `apex` along the unit vector `axis` (mm)."""

    apex: tuple[float, float, float]
    axis: tuple[float, float, float]
    opening: float

    def inside(self, points: np.ndarray, field: np.ndarray) -> np.ndarray:
        """Signed distance (N,) in mm at points (3, N); `field` (N,) makes the edge irregular."""
        arms = [p - np.float32(a) for p, a in zip(points, self.apex, strict=True)]
        along = sum(arm * np.float32(d) for arm, d in zip(arms, self.axis, strict=True))
        off = np.sqrt(np.maximum(sum(arm**2 for arm in arms) - along**2, 0.0))
        return np.where(along > 4.0, along * self.opening + 5.0 * field - off, -np.inf).astype(np.float32)


@dataclass(frozen=True)
class Spot:
    """A small infarct: a ball (mm)."""

    centre: tuple[float, float, float]
    radius: float

    def inside(self, points: np.ndarray, field: np.ndarray) -> np.ndarray:
        """Signed distance (N,) in mm at points (3, N); `field` (N,) makes the edge irregular."""
        apart = np.sqrt(sum((p - np.float32(c)) ** 2 for p, c in zip(points, self.centre, strict=True)))
        return self.radius * (1.0 + 0.3 * field) - apart


@dataclass(frozen=True, eq=False)
class Infarct:
    """A stroke on one side (+1 is the patient's right), in canonical coordinates.

    Parameters
    ----------
    side
        +1 or -1.
    parts
        A territory, or one to six small infarcts.
    edge
        Field that makes the edges irregular.
    stage
        0 (hours) to 1 (about a week).
    """

    side: float
    parts: tuple[Territory | Spot, ...]
    edge: FourierField
    stage: float

    def latents(self) -> dict[str, float]:
        """The numbers behind it, for the subject's record."""
        spots = sum(isinstance(part, Spot) for part in self.parts)
        return {"infarct_side": self.side, "infarct_spots": spots, "infarct_stage": self.stage}


def draw_infarct(rng: np.random.Generator, stage: np.random.Generator) -> Infarct:
    """Draw a stroke; the order of the draws is part of the format.

    Parameters
    ----------
    rng, stage
        Generators of the streams ``INFARCT`` and ``INFARCT_STAGE``.
    """
    side = float(rng.choice((-1.0, 1.0)))
    kind = rng.random()
    edge = FourierField.draw(rng, 26.0, 0.3, 40)
    if kind < 0.5:
        parts = (_draw_territory(rng, side),)
    else:
        count = 1 if kind < 0.8 else int(rng.integers(3, 7))
        parts = tuple(_draw_spot(rng, side) for _ in range(count))
    return Infarct(side, parts, edge, float(stage.uniform(0.0, 1.0)))


def _draw_territory(rng: np.random.Generator, side: float) -> Territory:
    x, y, z = side * rng.uniform(30.0, 42.0), rng.uniform(-35.0, 25.0), rng.uniform(0.0, 30.0)
    apex = np.array([APEX_X * side, 0.3 * y, APEX_Z])
    axis = np.array([x, y, z]) - apex
    axis /= np.linalg.norm(axis)
    return Territory(tuple(map(float, apex)), tuple(map(float, axis)), float(rng.uniform(0.35, 0.75)))


def _draw_spot(rng: np.random.Generator, side: float) -> Spot:
    x, y, z = side * rng.uniform(10.0, 45.0), rng.uniform(-60.0, 40.0), rng.uniform(0.0, 45.0)
    return Spot((float(x), float(y), float(z)), float(rng.uniform(3.0, 9.0)))


def add_infarct(fractions: np.ndarray, infarct: Infarct, points: np.ndarray, pixel: float) -> None:
    """Turn brain tissue on the side of the stroke into class ``inf``, in place.

    Parameters
    ----------
    fractions : float32 (30, N)
        Brain tissue, changed.
    infarct
        The stroke.
    points : float32 (3, N)
        Canonical coordinates in mm.
    pixel
        Width in mm of an edge.
    """
    here = np.flatnonzero(points[0] * np.float32(infarct.side) > 0.0)
    there = points[:, here]
    field = infarct.edge(there)
    share = coverage(np.maximum.reduce([part.inside(there, field) for part in infarct.parts]), pixel)
    here, share = here[share > 0.0], share[share > 0.0]
    for name in DYING:
        moved = share * fractions[INDEX[name], here]
        fractions[INDEX[name], here] -= moved
        fractions[INDEX["inf"], here] += moved


def with_stage(parameters: TissueParameters, stage: float) -> TissueParameters:
    """Return tissue values in which the infarct has the given age.

    ADC falls within the hour and T2 rises over days, so that a fresh infarct is bright on DWI while FLAIR is still
    normal (Thomalla et al. 2011):

    ``T2 = 69 + (T2_inf - 69) clip(1.6 stage - 0.25, 0, 1.2)``, ``T1 = 1000 + 500 stage``, ``T2* = 55 + 20 stage``,
    ``ADC = 0.42 + 0.25 stage``.

    Parameters
    ----------
    parameters
        The subject's tissue values.
    stage
        0 (hours) to 1 (about a week).
    """
    i, healthy = INDEX["inf"], TABLE["wm"].t2
    values = {name: getattr(parameters, name).copy() for name in ("t1", "t2", "t2star", "adc")}
    values["t2"][i] = healthy + (values["t2"][i] - healthy) * np.clip(1.6 * stage - 0.25, 0.0, 1.2)
    values["t1"][i] = 1000.0 + 500.0 * stage
    values["t2star"][i] = 55.0 + 20.0 * stage
    values["adc"][i] = 0.42 + 0.25 * stage
    return replace(parameters, **values)
