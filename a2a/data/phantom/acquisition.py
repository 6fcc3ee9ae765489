"""The scanner: point spread, coil sensitivity, gain and noise of each modality.

Explained in the chapter "The synthetic data set".
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.ndimage import gaussian_filter

from a2a.data.phantom.grid import FIELD_OF_VIEW, Y_CENTRE, Grid

FWHM = 2.3548  # full width at half maximum of a Gaussian of unit SD
COUNTS_PER_SUVR = 40.0  # expected PET counts in 8 mm^3 of SUVR 1
PET_FILTER = 3.0  # FWHM in mm of the filter after reconstruction
CT_NOISE = 4.0  # HU


@dataclass(frozen=True)
class Acquisition:
    """How one modality is acquired.

    Parameters
    ----------
    number
        Fixed integer that names the modality's random streams.
    kind
        ``"MR"``, ``"CT"`` or ``"PET"``.
    through, in_plane
        FWHM in mm of the Gaussian point spread.
    background
        Value of air outside the head.
    snr
        White-matter signal over noise SD; MR only.
    """

    number: int
    kind: str
    through: float
    in_plane: float
    background: float = 0.0
    snr: float = 0.0


ACQUISITIONS = {
    "T1": Acquisition(0, "MR", 1.2, 1.1, snr=45.0),
    "T2FLAIR": Acquisition(1, "MR", 5.0, 0.9, snr=40.0),
    "T2star": Acquisition(2, "MR", 4.0, 0.8, snr=40.0),
    "CT": Acquisition(3, "CT", 2.5, 0.9, background=-1000.0),
    "PET": Acquisition(4, "PET", 4.0, 4.0, background=0.02),
}


def smooth(volume: np.ndarray, grid: Grid, through: float, in_plane: float) -> np.ndarray:
    """Convolve (Z, H, W) with a Gaussian of the given SDs in mm; the edge is continued."""
    sigma = (through / grid.dz, in_plane / grid.pixel, in_plane / grid.pixel)
    return gaussian_filter(volume, sigma, mode="nearest")


def point_spread(volume: np.ndarray, grid: Grid, acquisition: Acquisition) -> np.ndarray:
    """Blur a volume (Z, H, W) with the modality's point spread."""
    return smooth(volume, grid, acquisition.through / FWHM, acquisition.in_plane / FWHM)


def pool(volume: np.ndarray, size: int) -> np.ndarray:
    """Average blocks of pixels of (..., n, n) down to (..., size, size); size must divide n."""
    factor = volume.shape[-1] // size
    if factor == 1:
        return volume
    total = np.zeros((*volume.shape[:-2], size, size), np.float32)
    for row, column in product(range(factor), repeat=2):
        total += volume[..., row::factor, column::factor]
    return total / np.float32(factor**2)


def sensitivity(grid: Grid, shared: np.random.Generator, own: np.random.Generator) -> np.ndarray:
    """Return receive bias and gain of one MR modality, float32 (Z, H, W), about 1.

    The exponential of a polynomial of degree two over the field of view. The coefficients have a part
    that all MR modalities of a subject share (SD 0.08, brighter at the rim) and an own part (SD 0.03).

    Parameters
    ----------
    grid
        Where the voxels lie.
    shared, own
        Generators of the streams ``COIL`` and ``BIAS`` plus the modality's number.
    """
    middle, half = (grid.z_lo + grid.z_hi) / 2.0, (grid.z_hi - grid.z_lo) / 2.0
    z, y, x = grid.axes
    z = ((z - middle) / half)[:, None, None]
    y = ((y - Y_CENTRE) / (FIELD_OF_VIEW / 2.0))[None, :, None]
    x = (x / (FIELD_OF_VIEW / 2.0))[None, None, :]
    c = shared.normal(0.0, 0.08, 9)
    c[3:5] += 0.05
    c = c + own.normal(0.0, 0.03, 9)
    gain = own.normal(0.0, 0.1)
    terms = (x, y, z, 1.5 * x**2 - 0.5, 1.5 * y**2 - 0.5, 1.5 * z**2 - 0.5, x * y, x * z, y * z)
    exponent = sum(ci * term for ci, term in zip(c, terms, strict=True))
    return np.exp(exponent + gain).astype(np.float32)


def rician(signal: np.ndarray, sd: float, rng: np.random.Generator) -> np.ndarray:
    """Return the magnitude of `signal` with complex Gaussian noise of `sd` per part (Gudbjartsson and Patz 1995)."""
    real = signal + np.float32(sd) * rng.standard_normal(signal.shape, dtype=np.float32)
    imaginary = np.float32(sd) * rng.standard_normal(signal.shape, dtype=np.float32)
    return np.hypot(real, imaginary)


def ct_noise(grid: Grid, rng: np.random.Generator) -> np.ndarray:
    """Return noise of SD 4 HU, float32 (Z, H, W), correlated over about 1 mm as a reconstruction kernel leaves it."""
    noise = smooth(rng.standard_normal(grid.shape, dtype=np.float32), grid, 0.75, 1.0)
    return noise * np.float32(CT_NOISE / noise.std(dtype=np.float64))


def pet_noise(uptake: np.ndarray, grid: Grid, rng: np.random.Generator) -> np.ndarray:
    """Return SUVR `uptake` (Z, H, W) with count noise, 40 expected counts per 8 mm^3 and SUVR unit."""
    counts = COUNTS_PER_SUVR * grid.pixel**2 * grid.dz / 8.0
    return (rng.poisson(counts * np.maximum(uptake, 0.0)) / counts).astype(np.float32)


def pet_filter(image: np.ndarray, grid: Grid) -> np.ndarray:
    """Smooth an SUVR image (Z, H, W) with the 3 mm (FWHM) filter after reconstruction."""
    return smooth(image, grid, PET_FILTER / FWHM, PET_FILTER / FWHM)
