"""Closed-form MR signal equations: what a voxel of given T1, T2, T2* and density shows.

All times in ms. Magnetisation is signed, so that partial volume mixes before the magnitude is taken.
Explained in the chapter "The data".
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np


class Relaxation(NamedTuple):
    """What an MR sequence sees: times in ms, density relative to CSF, ADC in 1e-3 mm^2/s; arrays or numbers."""

    t1: np.ndarray
    t2: np.ndarray
    t2star: np.ndarray
    pd: np.ndarray
    adc: np.ndarray


class Sequence(Protocol):
    """A pulse sequence with its protocol: maps tissue to signal."""

    def __call__(self, tissue: Relaxation) -> np.ndarray:
        """Return the signal in units of the CSF density, of the shape of ``tissue.t1``."""
        ...


@dataclass(frozen=True)
class Mprage:
    """Inversion-prepared 3D gradient echo in the steady state (Deichmann et al. 2000).

    Perfect spoiling, no B1 error. TR from inversion to inversion, TI from inversion to the centre of the
    train of `excitations` pulses, `spacing` ms apart.
    """

    tr: float = 2300.0
    ti: float = 900.0
    te: float = 2.95
    flip: float = 9.0
    excitations: int = 176
    centre: int = 88
    spacing: float = 7.1
    inversion: float = 0.96

    def __call__(self, tissue: Relaxation) -> np.ndarray:
        """S = PD sin(flip) m_c exp(-TE/T2*), m_c the longitudinal magnetisation at the train's centre."""
        t1 = np.asarray(tissue.t1)
        before = self.ti - self.centre * self.spacing
        after = self.tr - before - self.excitations * self.spacing
        e_before, e_after, e_echo = np.exp(-before / t1), np.exp(-after / t1), np.exp(-self.spacing / t1)
        flip = np.deg2rad(self.flip)
        q = float(np.cos(flip)) * e_echo
        driven = (1.0 - e_echo) / (1.0 - q)
        train = q**self.excitations
        start = 1.0 - e_after + e_after * (driven * (1.0 - train) + (1.0 - e_before) * train)
        start = start / (1.0 + self.inversion * e_before * e_after * train)
        first = 1.0 - e_before - self.inversion * e_before * start
        middle = driven + (first - driven) * q**self.centre
        return tissue.pd * float(np.sin(flip)) * middle * np.exp(-self.te / tissue.t2star)


@dataclass(frozen=True)
class Flair:
    """Inversion recovery with a spin-echo train of `train` ms, after which no magnetisation is left."""

    tr: float = 9000.0
    ti: float = 2500.0
    te: float = 91.0
    train: float = 150.0

    def __call__(self, tissue: Relaxation) -> np.ndarray:
        """S = PD [1 - 2 exp(-TI/T1) + exp(-(TR - train)/T1)] exp(-TE/T2)."""
        t1 = np.asarray(tissue.t1)
        recovered = 1.0 - 2.0 * np.exp(-self.ti / t1) + np.exp(-(self.tr - self.train) / t1)
        return tissue.pd * recovered * np.exp(-self.te / tissue.t2)


@dataclass(frozen=True)
class SpoiledGradientEcho:
    """Spoiled gradient echo (Ernst): T2*-weighted."""

    tr: float = 650.0
    te: float = 20.0
    flip: float = 20.0

    def __call__(self, tissue: Relaxation) -> np.ndarray:
        """S = PD sin(flip) (1 - E1)/(1 - cos(flip) E1) exp(-TE/T2*), E1 = exp(-TR/T1)."""
        flip = np.deg2rad(self.flip)
        e1 = np.exp(-self.tr / np.asarray(tissue.t1))
        steady = float(np.sin(flip)) * (1.0 - e1) / (1.0 - float(np.cos(flip)) * e1)
        return tissue.pd * steady * np.exp(-self.te / tissue.t2star)


@dataclass(frozen=True)
class SpinEcho:
    """Spin echo or spin-echo train of `train` ms, with diffusion weighting `b` in s/mm^2."""

    tr: float
    te: float
    train: float = 0.0
    b: float = 0.0

    def __call__(self, tissue: Relaxation) -> np.ndarray:
        """S = PD (1 - exp(-(TR - train)/T1)) exp(-TE/T2) exp(-b ADC / 1000)."""
        recovered = 1.0 - np.exp(-(self.tr - self.train) / np.asarray(tissue.t1))
        return tissue.pd * recovered * np.exp(-self.te / tissue.t2) * np.exp(-self.b * 1e-3 * tissue.adc)


# T1GD is T1SE with the T1 after contrast agent.
SEQUENCES: dict[str, Sequence] = {
    "T1": Mprage(),
    "T2FLAIR": Flair(),
    "T2star": SpoiledGradientEcho(),
    "T1SE": SpinEcho(tr=600.0, te=9.0),
    "T1GD": SpinEcho(tr=600.0, te=9.0),
    "T2": SpinEcho(tr=5000.0, te=100.0, train=100.0),
    "T2L": SpinEcho(tr=3000.0, te=100.0, train=100.0),
    "PDW": SpinEcho(tr=3000.0, te=11.0, train=100.0),
    "B0": SpinEcho(tr=5500.0, te=85.0),
    "DWI": SpinEcho(tr=5500.0, te=85.0, b=1000.0),
}
