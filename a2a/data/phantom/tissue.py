"""The tissue table, its spread between subjects, and the iron model.

Times in ms at 3 T, proton density relative to CSF, Hounsfield units, florbetapir SUVR (reference: whole
cerebellum, amyloid-negative), apparent diffusion coefficient in 1e-3 mm^2/s, T1 five minutes after
gadolinium. A comment names where a row's values come from; a source in brackets was quoted from memory,
and what has no source is a design choice. Explained in the chapter "The data".
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from a2a.data.phantom.latents import Latents


class Row(NamedTuple):
    """Nominal values of one class."""

    t1: float
    t2: float
    t2star: float
    pd: float
    hu: float
    suvr: float
    adc: float
    t1gd: float


TABLE = {
    "air": Row(1, 1, 1, 0, -1000, 0.02, 0, 1),
    "sinus": Row(1, 1, 1, 0, -950, 0.05, 0, 1),
    "skin": Row(900, 35, 20, 0.55, 40, 0.45, 0.8, 800),
    "fat": Row(380, 68, 25, 0.70, -95, 0.20, 0.05, 370),  # [T1, T2 de Bazelaire 2004]; PD lowered for the opposed phase
    "muscle": Row(1410, 45, 28, 0.77, 55, 0.55, 1.3, 1100),  # [T1 Stanisz 2005, T2 Gold 2004]
    "cbone": Row(250, 0.6, 0.45, 0.20, 1500, 0.25, 0, 250),  # [ultrashort-TE studies]
    "diploe": Row(500, 55, 9, 0.45, 650, 0.45, 0.3, 420),  # HU of 604 skulls after death
    "csf": Row(4300, 1900, 400, 1.0, 8, 0.35, 3.0, 4200),  # T1, T2 in the subarachnoid space: MRM 2023
    "vcsf": Row(4400, 2300, 600, 1.0, 6, 0.25, 3.0, 4300),  # T1, T2 in the frontal horns: MRM 2023
    "vitr": Row(4200, 1400, 300, 1.0, 10, 0.20, 2.7, 4200),
    "cgm": Row(1607, 99, 66, 0.82, 37, 0.90, 0.82, 1480),  # T1 Wright 2008, [T2 Stanisz 2005, T2* Peters 2007]
    "wm": Row(838, 69, 53, 0.70, 28, 1.80, 0.72, 815),  # T1, T2, T2* as cgm; Gd Mueller 2020
    "caud": Row(1395, 73, 49, 0.80, 37, 1.00, 0.75, 1300),  # T1 Wright 2008, T2 and T2* by the iron model
    "put": Row(1332, 61, 41, 0.80, 38, 1.05, 0.72, 1240),  # T1 Wright 2008, T2 and T2* by the iron model
    "gp": Row(1080, 47, 30, 0.74, 40, 1.25, 0.76, 1020),  # iron model (Gelman 1999); also red nucleus, s. nigra
    "thal": Row(1200, 78, 50, 0.77, 35, 1.25, 0.76, 1130),  # T2, T2* by the iron model
    "hippo": Row(1650, 105, 60, 0.83, 35, 0.95, 0.90, 1520),  # T2 longest as in Georgiades 2001
    "bstem": Row(1000, 78, 52, 0.74, 30, 1.70, 0.75, 960),
    "cbgm": Row(1500, 90, 52, 0.82, 37, 0.88, 0.78, 1390),
    "cbwm": Row(880, 72, 48, 0.71, 30, 1.45, 0.72, 855),
    "art": Row(1650, 150, 55, 0.80, 42, 0.70, 0, 300),  # [T1 Lu 2004, Stanisz 2005]
    "vein": Row(1600, 60, 21, 0.80, 52, 0.70, 0, 290),  # [T2* near 20 ms at 3 T]
    "wmh": Row(1200, 125, 70, 0.80, 21, 1.25, 1.05, 1150),
    "et": Row(1500, 110, 80, 0.85, 36, 0.90, 1.05, 620),  # [T1, T2 Badve 2017], Gd Mueller 2020
    "ncr": Row(2400, 260, 160, 0.92, 18, 0.40, 1.8, 2100),
    "ed": Row(1350, 150, 90, 0.82, 20, 1.20, 1.35, 1230),  # Gd Mueller 2020
    "inf": Row(1500, 105, 75, 0.80, 27, 1.0, 0.50, 1430),  # ADC lowered as in Nagesh 1998
    "calc": Row(1000, 40, 4, 0.40, 280, 0.80, 0.6, 950),  # HU above 100
    "bleed": Row(1200, 40, 5, 0.60, 52, 0.90, 0.5, 1150),
    "chor": Row(1700, 180, 60, 0.85, 40, 1.10, 1.4, 450),
}
CLASSES = tuple(TABLE)
INDEX = {name: i for i, name in enumerate(CLASSES)}

GROUPS = {
    "air": ("air", "sinus"),
    "skull": ("cbone", "diploe"),
    "scalp": ("skin", "fat", "muscle"),
    "fluid": ("csf", "vcsf", "vitr", "chor", "art", "vein"),
    "grey matter": ("cgm", "cbgm", "hippo"),
    "white matter": ("wm", "cbwm", "bstem"),
    "deep grey matter": ("caud", "put", "gp", "thal"),
    "lesion": ("wmh", "et", "ncr", "ed", "inf", "calc", "bleed"),
}
"""Classes that an image tells apart, in eight groups."""


def group_of_class() -> np.ndarray:
    """Return the number of the group of each class, uint8."""
    return np.array([next(i for i, names in enumerate(GROUPS.values()) if name in names) for name in CLASSES], np.uint8)


# mg iron per 100 g fresh tissue in adults, and the relaxation rates that 1 mg/100 g adds (1/ms)
ADULT_IRON = {"caud": 9.3, "put": 13.3, "gp": 21.3, "thal": 4.8, "cgm": 3.5}
R2_PER_IRON = 0.615e-3
R2STAR_PER_IRON = 1.075e-3
R2STAR_PER_AMYLOID = 1.2e-3  # weak link between cortical amyloid and T2*, a design choice

AMYLOID_UPTAKE = {"cgm": 1.0, "caud": 0.70, "put": 0.70, "thal": 0.35, "hippo": 0.35}  # SUVR per unit local load
EARLY_SUVR = {"wm": 0.75, "cgm": 1.05, "cbgm": 1.05, "cbwm": 0.8} | dict.fromkeys(("caud", "put", "gp", "thal"), 1.10)


@dataclass(frozen=True, eq=False)
class TissueParameters:
    """The table as columns, float64 (30,) each, in the order of `CLASSES` and the units of the module."""

    t1: np.ndarray
    t2: np.ndarray
    t2star: np.ndarray
    pd: np.ndarray
    hu: np.ndarray
    suvr: np.ndarray
    adc: np.ndarray
    t1gd: np.ndarray


def nominal(pet_phase: str = "late") -> TissueParameters:
    """Return the table without any spread; ``pet_phase="early"`` has perfusion-like tracer uptake."""
    rows = dict(TABLE)
    if pet_phase == "early":
        rows |= {name: rows[name]._replace(suvr=suvr) for name, suvr in EARLY_SUVR.items()}
    return TissueParameters(*np.array(list(rows.values()), dtype=np.float64).T)


def draw_parameters(rng: np.random.Generator, latents: Latents, pet_phase: str) -> TissueParameters:
    """Return one subject's tissue values: between-subject spread, then iron and amyloid.

    Parameters
    ----------
    rng
        Generator of the stream ``TISSUE``; eight standard normals per class are taken from it.
    latents
        The subject; `iron` and `amyloid` act here.
    pet_phase
        ``"late"`` or ``"early"``.
    """
    e = rng.standard_normal((len(CLASSES), 8)).T
    p = nominal(pet_phase)
    spread = TissueParameters(
        t1=p.t1 * np.exp(0.03 * e[0]),
        t2=p.t2 * np.exp(0.03 * e[1]),
        t2star=p.t2star * np.exp(0.03 * e[2]),
        pd=np.minimum(1.0, p.pd * np.exp(0.01 * e[3])),
        hu=p.hu + np.where(np.abs(p.hu) < 80.0, 1.2 * e[4], 0.0),
        suvr=p.suvr * np.exp(0.06 * e[5]),
        adc=p.adc * np.exp(0.04 * e[6]),
        t1gd=p.t1gd * np.exp(0.03 * e[7]),
    )
    return with_iron(spread, latents.iron, latents.amyloid)


def take(fractions: np.ndarray, name: str, share: np.ndarray) -> None:
    """Let class `name` take `share` (N,) of everything; changes `fractions`, float32 (30, N), in place.

    Parameters
    ----------
    fractions
        Of the tissues, float32 ``(30, N)``.
    name
        The class.
    share
        What it takes of every other class, ``(N,)`` in [0, 1].
    """
    here = np.flatnonzero(share > 0.0)
    fractions[:, here] *= 1.0 - share[here]
    fractions[INDEX[name], here] += share[here]


def with_iron(parameters: TissueParameters, iron: float, amyloid: float = 0.0) -> TissueParameters:
    """Change the relaxation rates of iron-rich grey matter: ``R2 += slope Fe (iron - 1)``, likewise R2*.

    Parameters
    ----------
    parameters
        Tissue values at adult iron content.
    iron
        Factor on the adult iron content; 1 changes nothing.
    amyloid
        Load; positive values raise R2* of the cortex a little.

    Notes
    -----
    Slopes from Gelman et al. 1999 at 3 T, iron content from Hallgren and Sourander 1958.
    """
    r2, r2star = 1.0 / parameters.t2, 1.0 / parameters.t2star
    for name, content in ADULT_IRON.items():
        r2[INDEX[name]] += R2_PER_IRON * content * (iron - 1.0)
        r2star[INDEX[name]] += R2STAR_PER_IRON * content * (iron - 1.0)
    r2star[INDEX["cgm"]] += R2STAR_PER_AMYLOID * max(amyloid, 0.0)
    return replace(parameters, t2=1.0 / r2, t2star=1.0 / r2star)
