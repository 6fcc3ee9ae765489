"""The scanner: point spread, coil sensitivity, gain and noise of each modality.

Explained in the chapter "The data".
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
    series
        Number of the modality of which it is a part; it shares that one's bias, gain and position. By default
        it is a series of its own. B0 belongs to DWI, else their ratio, the ADC, would not be quantitative.
    """

    number: int
    kind: str
    through: float
    in_plane: float
    background: float = 0.0
    snr: float = 0.0
    series: int | None = None

    @property
    def session(self) -> int:
        """Number that names the streams of bias, gain and position."""
        return self.number if self.series is None else self.series


ACQUISITIONS = {
    "T1": Acquisition(0, "MR", 1.2, 1.1, snr=45.0),
    "T2FLAIR": Acquisition(1, "MR", 5.0, 0.9, snr=40.0),
    "T2star": Acquisition(2, "MR", 4.0, 0.8, snr=40.0),
    "CT": Acquisition(3, "CT", 2.5, 0.9, background=-1000.0),
    "PET": Acquisition(4, "PET", 4.0, 4.0, background=0.02),
    "T1SE": Acquisition(5, "MR", 1.5, 1.0, snr=40.0),
    "T1GD": Acquisition(6, "MR", 1.5, 1.0, snr=40.0),
    "T2": Acquisition(7, "MR", 3.0, 0.9, snr=45.0),
    "T2L": Acquisition(8, "MR", 3.0, 0.9, snr=45.0),
    "PDW": Acquisition(9, "MR", 3.0, 0.9, snr=60.0),
    "B0": Acquisition(10, "MR", 5.0, 2.0, snr=35.0, series=11),
    "DWI": Acquisition(11, "MR", 5.0, 2.0, snr=25.0),
}
LARGEST_ADC = 4.0  # 1e-3 mm^2/s; a scanner's map is cut off somewhere


def smooth(volume: np.ndarray, grid: Grid, through: float, in_plane: float) -> np.ndarray:
    """Convolve (Z, H, W) with a Gaussian of the given SDs in mm; the edge is continued.

    Parameters
    ----------
    volume
        ``(Z, H, W)``.
    grid
        Its voxels.
    through, in_plane
        Standard deviations along z and within the plane, mm.
    """
    sigma = (through / grid.dz, in_plane / grid.pixel, in_plane / grid.pixel)
    return gaussian_filter(volume, sigma, mode="nearest")


def point_spread(volume: np.ndarray, grid: Grid, acquisition: Acquisition) -> np.ndarray:
    """Blur a volume (Z, H, W) with the modality's point spread.

    Parameters
    ----------
    volume
        ``(Z, H, W)``.
    grid
        Its voxels.
    acquisition
        The scanner, with the width of its point spread.
    """
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
    """Return the magnitude of `signal` with complex Gaussian noise of `sd` per part (Gudbjartsson and Patz 1995).

    Parameters
    ----------
    signal
        Noise-free magnitude, any shape.
    sd
        Standard deviation of the real and of the imaginary part.
    rng
        Source of the noise.
    """
    real = signal + np.float32(sd) * rng.standard_normal(signal.shape, dtype=np.float32)
    imaginary = np.float32(sd) * rng.standard_normal(signal.shape, dtype=np.float32)
    return np.hypot(real, imaginary)


def ct_noise(grid: Grid, rng: np.random.Generator) -> np.ndarray:
    """Return noise of SD 4 HU, float32 (Z, H, W), correlated over about 1 mm as a reconstruction kernel leaves it."""
    noise = smooth(rng.standard_normal(grid.shape, dtype=np.float32), grid, 0.75, 1.0)
    return noise * np.float32(CT_NOISE / noise.std(dtype=np.float64))


def pet_noise(uptake: np.ndarray, grid: Grid, rng: np.random.Generator) -> np.ndarray:
    """Return SUVR `uptake` (Z, H, W) with count noise, 40 expected counts per 8 mm^3 and SUVR unit.

    Parameters
    ----------
    uptake
        SUVR, ``(Z, H, W)``.
    grid
        Its voxels.
    rng
        Source of the noise.
    """
    counts = COUNTS_PER_SUVR * grid.pixel**2 * grid.dz / 8.0
    return (rng.poisson(counts * np.maximum(uptake, 0.0)) / counts).astype(np.float32)


def pet_filter(image: np.ndarray, grid: Grid) -> np.ndarray:
    """Smooth an SUVR image (Z, H, W) with the 3 mm (FWHM) filter after reconstruction."""
    return smooth(image, grid, PET_FILTER / FWHM, PET_FILTER / FWHM)


def diffusion_coefficient(b0: np.ndarray, weighted: np.ndarray) -> np.ndarray:
    """Return the ADC map of two magnitude images without and with b = 1000 s/mm^2, float32 in 1e-3 mm^2/s.

    ``-ln(S / S0)``, cut off to [0, 4] and 0 where either image is: its noise is that of a quotient of Rician
    images (Stejskal and Tanner 1965).
    """
    seen = (b0 > 0.0) & (weighted > 0.0)
    ratio = np.divide(weighted, b0, out=np.ones_like(b0), where=seen)
    return np.clip(-np.log(ratio), 0.0, LARGEST_ADC)
