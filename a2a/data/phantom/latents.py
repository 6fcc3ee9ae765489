"""The few numbers that make a subject: age, atrophy, amyloid, iron, lesion load, skull.

Explained in the chapter "The data".
"""

from dataclasses import dataclass
from functools import partial

import numpy as np


@dataclass(frozen=True)
class Latents:
    """What differs between subjects, apart from the random fields.

    Parameters
    ----------
    age
        Years, 45 to 92.
    size
        Standard score of the head size (scale ``exp(0.03 size)``).
    amyloid_positive, amyloid
        Status and load A (about 0 without, 0.35 to 1.3 with amyloid).
    atrophy, ventricles
        0 (none) to 1, and 0 to 1.2.
    iron
        Factor on the adult iron content of deep grey matter and cortex, about 1.
    wmh
        Load of white-matter hyperintensities, 0 to 1.
    bone
        Factor on bone density, 0.7 to 1.3.
    skull, scalp
        Thickness in mm.
    calc_pallidum, calc_pineal, calc_choroid
        Amount, and presence of the other two calcifications.
    bleeds
        Number of microbleeds.
    """

    age: float
    size: float
    amyloid_positive: bool
    amyloid: float
    atrophy: float
    ventricles: float
    iron: float
    wmh: float
    bone: float
    skull: float
    scalp: float
    calc_pallidum: float
    calc_pineal: bool
    calc_choroid: bool
    bleeds: int


def draw_latents(rng: np.random.Generator, ages: tuple[float, float]) -> Latents:
    """Draw a subject; the order of the draws is part of the format.

    Parameters
    ----------
    rng
        Generator of the stream ``LATENTS``.
    ages
        Mean and SD of the age in years.
    """

    normal = partial(_normal, rng)
    age = normal(*ages, 45.0, 92.0)
    size = normal(0.0, 1.0)
    years = age - 70.0
    positive, amyloid = draw_amyloid(rng, age)
    atrophy = float(np.clip(0.30 + 0.018 * years + 0.16 * amyloid + normal(0.0, 0.18), 0.0, 1.0))
    return Latents(
        age=age,
        size=size,
        amyloid_positive=positive,
        amyloid=amyloid,
        atrophy=atrophy,
        ventricles=float(np.clip(atrophy + normal(0.0, 0.15), 0.0, 1.2)),
        iron=float(np.exp(normal(0.0, 0.22))),
        wmh=float(np.clip(0.25 + 0.018 * years + 0.12 * amyloid + normal(0.0, 0.20), 0.0, 1.0)),
        bone=normal(1.0, 0.12, 0.7, 1.3),
        skull=normal(6.5, 1.0, 4.5, 9.0),
        scalp=normal(5.5, 1.3, 3.2, 9.0),
        calc_pallidum=max(0.0, normal(-0.3, 0.7)),
        calc_pineal=bool(rng.random() < 0.65),
        calc_choroid=bool(rng.random() < 0.60),
        bleeds=int(rng.poisson(0.8 + 2.0 * positive)),
    )


def draw_amyloid(rng: np.random.Generator, age: float) -> tuple[bool, float]:
    """Draw amyloid status and load A of a person of the given age in years."""
    positive = bool(rng.random() < np.clip(0.3 + 0.012 * (age - 70.0), 0.05, 0.8))
    load = _normal(rng, 0.75, 0.22, 0.35, 1.3) if positive else _normal(rng, 0.04, 0.05, -0.05, 0.20)
    return positive, load


def _normal(rng: np.random.Generator, mean: float, sd: float, low: float = -np.inf, high: float = np.inf) -> float:
    """One clipped normal number."""
    return float(np.clip(rng.normal(mean, sd), low, high))
