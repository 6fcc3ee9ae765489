"""Ninety texture and intensity features of an image, for a Fréchet distance that needs no network: rFD.

A subset of the radiomic features that FRD uses (so the distance is called rFD, and its values cannot be compared with
published FRD). They see intensity and texture, not anatomy: mirrored brains have the same features.

References
----------
Konz, Osuala et al., "Fréchet radiomic distance (FRD)", Medical Image Analysis 2026, arXiv 2412.01496.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import gaussian_laplace
from scipy.stats import kurtosis, skew
from skimage.feature import graycomatrix

from a2a.common.errors import InputError
from a2a.evaluation.frechet import frechet_distance, standardised
from a2a.evaluation.regions import heads

FEWEST_PIXELS = 50
LEVELS = 32
SIGMAS = (1, 2)
FIRST_ORDER = (
    "mean", "sd", "skewness", "kurtosis", "p10", "p25", "p50", "p75", "p90", "interquartile range",
    "absolute deviation", "robust absolute deviation", "energy", "entropy", "uniformity",
)  # fmt: skip
CO_OCCURRENCE = (
    "joint mean", "autocorrelation", "correlation", "contrast", "difference average", "difference entropy",
    "difference variance", "joint energy", "joint entropy", "inverse difference moment", "inverse difference",
    "maximum probability", "sum entropy", "cluster shade", "cluster prominence",
)  # fmt: skip
IMAGES = ("original", *(f"log {sigma} px" for sigma in SIGMAS))
FEATURES = tuple(f"{image}: {name}" for image in IMAGES for name in FIRST_ORDER + CO_OCCURRENCE)
"""Names of the 90 features, in their order."""

_ANGLES = (0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
_I, _J = np.mgrid[:LEVELS, :LEVELS]
_SUM, _DIFFERENCE = (_I + _J).ravel(), np.abs(_I - _J).ravel()


def radiomic_features(images: ArrayLike, masks: ArrayLike | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Compute the features of each image.

    Parameters
    ----------
    images
        Slices of one modality, shape (N, H, W), image units [0, 1] (clipped).
    masks
        bool (N, H, W), where each image is looked at; by default its own head (`a2a.evaluation.regions.heads`). Give
        the heads of the targets for images that are compared with their targets: the air is judged apart.

    Returns
    -------
    features : numpy.ndarray
        float64 (K, 90), in the order of `FEATURES`, of the K images with enough foreground.
    kept : numpy.ndarray
        bool (N,), False where a mask has fewer than 50 pixels.

    Raises
    ------
    InputError
        If the shape is another, or a value is not finite.

    Notes
    -----
    Features are taken of the image, and of ``clip(0.5 + s^2 LoG_s(image), 0, 1)`` (edges and blobs) for s of 1 and 2
    pixels: 15 of the values in the mask, and 15 of the co-occurrence of 32 levels at distance 1, over four directions
    together, pairs of level 0 left out.
    """
    stack = np.asarray(images, np.float64)
    if stack.ndim != 3:
        raise InputError(f"radiomic_features needs slices of one modality, (N, H, W), got {stack.shape}.")
    if not np.isfinite(stack).all():
        raise InputError("radiomic_features: the images have NaN or infinite values.")
    stack = np.clip(stack, 0, 1)
    where = heads(stack[:, None]) if masks is None else np.asarray(masks, bool)
    if where.shape != stack.shape:
        raise InputError(f"radiomic_features: the masks must have the shape of the images, {stack.shape}.")
    kept = where.sum(axis=(1, 2)) >= FEWEST_PIXELS
    rows = [_of_image(image, mask) for image, mask in zip(stack[kept], where[kept], strict=True)]
    return np.reshape(rows, (len(rows), len(FEATURES))), kept


def radiomic_distance(real: ArrayLike, generated: ArrayLike) -> float:
    """rFD: Fréchet distance of radiomic features, standardised over the real images.

    Parameters
    ----------
    real, generated
        Slices of one modality, shapes (N, H, W) and (M, H, W), image units [0, 1].

    Returns
    -------
    float
        Compare only values of the same real images and the same M, and always with that of other real images:
        the distance of two samples of one distribution is not 0 (`a2a.evaluation.finite_sample`).

    Raises
    ------
    InputError
        As `radiomic_features`, or if fewer than two images of a set have enough foreground.
    """
    (x, _), (y, _) = radiomic_features(real), radiomic_features(generated)
    if min(len(x), len(y)) < 2:
        raise InputError(
            f"rFD needs two or more images with heads of {FEWEST_PIXELS} pixels in each set, "
            f"found {len(x)} real and {len(y)} generated."
        )
    return frechet_distance(*standardised(x, y))


def _of_image(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    filtered = [np.clip(0.5 + s**2 * gaussian_laplace(image, s), 0, 1) for s in SIGMAS]
    return np.concatenate([part for x in (image, *filtered) for part in (_first_order(x[mask]), _texture(x, mask))])


def _first_order(v: np.ndarray) -> list[float]:
    p10, p25, p50, p75, p90 = np.percentile(v, (10, 25, 50, 75, 90))
    middle = v[(v >= p10) & (v <= p90)]
    varies = v.std() > 1e-9
    histogram = np.histogram(v, LEVELS, (0, 1))[0] / v.size
    return [
        v.mean(),
        v.std(),
        float(skew(v)) if varies else 0.0,
        float(kurtosis(v, fisher=False)) if varies else 0.0,
        *(p10, p25, p50, p75, p90, p75 - p25),
        np.abs(v - v.mean()).mean(),
        np.abs(middle - middle.mean()).mean(),
        np.square(v).mean(),
        _entropy(histogram),
        np.square(histogram).sum(),
    ]


def _texture(image: np.ndarray, mask: np.ndarray) -> list[float]:
    """Features of the normalised co-occurrence matrix P of the 32 levels, without pairs in the darkest one.

    Outside of the mask is darkest, so the outline of the mask counts as texture, for real and made images alike.
    """
    levels = np.where(mask, np.minimum(np.floor(LEVELS * image), LEVELS - 1), 0).astype(np.uint8)
    counts = graycomatrix(levels, [1], _ANGLES, LEVELS, symmetric=True)[:, :, 0].sum(axis=-1).astype(np.float64)
    counts[0, 0] = 0
    if counts.sum() == 0:
        return [0.0] * len(CO_OCCURRENCE)
    p = counts / counts.sum()
    mean = (_I * p).sum()
    variance = (np.square(_I - mean) * p).sum()
    sums, differences = (np.bincount(k, p.ravel()) for k in (_SUM, _DIFFERENCE))
    steps = np.arange(LEVELS)
    average = (steps * differences).sum()
    autocorrelation, cluster, gap = (_I * _J * p).sum(), _I + _J - 2 * mean, _I - _J
    return [
        mean,
        autocorrelation,
        (autocorrelation - mean**2) / variance if variance > 1e-12 else 1.0,
        (gap**2 * p).sum(),
        average,
        _entropy(differences),
        (np.square(steps - average) * differences).sum(),
        np.square(p).sum(),
        _entropy(p),
        (p / (1 + gap**2)).sum(),
        (p / (1 + np.abs(gap))).sum(),
        p.max(),
        _entropy(sums),
        (cluster**3 * p).sum(),
        (cluster**4 * p).sum(),
    ]


def _entropy(p: np.ndarray) -> float:
    """Entropy in bits."""
    positive = p[p > 0]
    return float(-(positive * np.log2(positive)).sum())
