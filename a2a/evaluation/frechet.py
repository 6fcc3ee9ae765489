"""Distances between two sets of feature vectors: Fréchet distance and kernel distance.

Both ask whether generated images are distributed like real ones; neither looks at a single image. Which features are
used decides what the numbers mean: `a2a.evaluation.radiomics` needs no download, `a2a.evaluation.inception` gives what
the literature calls FID and KID. How many images are compared matters as much: `a2a.evaluation.finite_sample`.
Explained in the chapter "Unconditional samples".
"""

import numpy as np
from numpy.typing import ArrayLike

from a2a.common.errors import InputError


def frechet_distance(real: ArrayLike, generated: ArrayLike) -> float:
    r"""Squared Fréchet distance between Gaussians fitted to two sets of features.

    .. math:: \|m_1 - m_2\|^2 + \mathrm{tr}\,C_1 + \mathrm{tr}\,C_2 - 2\,\mathrm{tr}\,(C_1 C_2)^{1/2}

    Parameters
    ----------
    real, generated
        Features, shapes (N, d) and (M, d), at least two rows each. The covariances have denominators N - 1, M - 1.

    Returns
    -------
    float
        Not negative up to rounding; 0 for equal sets.

    Raises
    ------
    InputError
        If the shapes do not fit, a set has fewer than two rows, or a value is not finite.

    Notes
    -----
    With :math:`C = R^T R`, R the triangular factor of the centred features, the trace of the root is the sum of the
    singular values of :math:`R_1 R_2^T`: no root of a covariance is taken, so sets with fewer rows than features,
    whose covariances are singular, lose no digits.

    References
    ----------
    Heusel et al., "GANs trained by a two time-scale update rule", NeurIPS 2017, equation 6.
    """
    x, y = _sets(real, generated)
    return _distance(x.mean(axis=0), _triangular(x), y.mean(axis=0), _triangular(y))


def frechet_of_moments(mean_1: ArrayLike, covariance_1: ArrayLike, mean_2: ArrayLike, covariance_2: ArrayLike) -> float:
    """Squared Fréchet distance of two Gaussians given by means (d,) and covariances (d, d), see `frechet_distance`.

    Parameters
    ----------
    mean_1, mean_2
        ``(d,)``.
    covariance_1, covariance_2
        ``(d, d)``.

    Raises
    ------
    InputError
        If the shapes do not fit, or a covariance is not symmetric with eigenvalues >= 0.
    """
    m1, c1, m2, c2 = (np.asarray(a, np.float64) for a in (mean_1, covariance_1, mean_2, covariance_2))
    if m1.ndim != 1 or m1.shape != m2.shape or c1.shape != c2.shape or c1.shape != (m1.size, m1.size):
        shapes = ", ".join(str(a.shape) for a in (m1, c1, m2, c2))
        raise InputError(f"frechet_of_moments needs means (d,) and covariances (d, d), got {shapes}.")
    return _distance(m1, _root(c1), m2, _root(c2))


def kernel_distance(real: ArrayLike, generated: ArrayLike) -> float:
    r"""Kernel distance: unbiased squared maximum mean discrepancy with ``k(u, v) = (u.v / d + 1)^3``.

    Its expectation is 0 for two sets of one distribution, whatever their sizes, so single values can be negative.

    Parameters and errors as in `frechet_distance`.

    References
    ----------
    Binkowski et al., "Demystifying MMD GANs", ICLR 2018, section 4 (KID, with Inception features).
    """
    x, y = _sets(real, generated)
    d, n, m = x.shape[1], len(x), len(y)
    xx, yy, xy = ((a @ b.T / d + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    within = (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
    return float(within - 2 * xy.mean())


def standardised(reference: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """Scale features to mean 0 and standard deviation 1 over the reference set; drop those constant there.

    Parameters
    ----------
    reference, *others
        Features, shape (N, d) and (M, d). Constant means a standard deviation below 1e-9.

    Returns
    -------
    list of numpy.ndarray
        The reference and the others, with the same columns kept.
    """
    mean, sd = reference.mean(axis=0), reference.std(axis=0)
    kept = sd >= 1e-9
    if not kept.any():
        raise InputError("All features are constant over the reference set; it needs images that differ.")
    return [(features[:, kept] - mean[kept]) / sd[kept] for features in (reference, *others)]


def _distance(m1: np.ndarray, r1: np.ndarray, m2: np.ndarray, r2: np.ndarray) -> float:
    """Distance from means and factors R with C = R^T R."""
    overlap = np.linalg.svd(r1 @ r2.T, compute_uv=False).sum()
    return float(np.square(m1 - m2).sum() + np.square(r1).sum() + np.square(r2).sum() - 2 * overlap)


def _triangular(features: np.ndarray) -> np.ndarray:
    """R with R^T R the covariance of the rows, (min(N, d), d)."""
    return np.linalg.qr(features - features.mean(axis=0), mode="r") / np.sqrt(len(features) - 1)


def _root(covariance: np.ndarray) -> np.ndarray:
    """R with R^T R the given covariance."""
    scale = max(float(np.abs(covariance).max()), 1e-300)
    if not np.isfinite(covariance).all() or np.abs(covariance - covariance.T).max() > 1e-8 * scale:
        raise InputError("frechet_of_moments: a covariance must be finite and symmetric.")
    values, vectors = np.linalg.eigh(covariance)
    if values.min() < -1e-8 * scale:
        raise InputError(f"frechet_of_moments: a covariance has the negative eigenvalue {values.min():.3g}.")
    return np.sqrt(values.clip(min=0))[:, None] * vectors.T


def _sets(real: ArrayLike, generated: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    x, y = (np.asarray(a, np.float64) for a in (real, generated))
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or x.shape[1] == 0 or min(len(x), len(y)) < 2:
        raise InputError(f"Two sets of features (N, d) with N >= 2 and one d are needed, got {x.shape} and {y.shape}.")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError("The features have NaN or infinite values; a failed completion must be handled before.")
    return x, y
