"""Bias with few images, interval and noise floor of a distance between sets of images.

The Fréchet distance of two samples of one distribution is positive, about ``(d^2 / 2 + 2 d) / N`` for two sets of N
whitened d-dimensional features. So values are compared at one N only, next to that of real images against real images
(the noise floor), and extrapolated to infinitely many. Explained in the chapter "Unconditional samples".
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from a2a.common.errors import InputError
from a2a.evaluation.frechet import frechet_distance

Distance = Callable[[np.ndarray, np.ndarray], float]


def distance_over_count(
    real: np.ndarray,
    generated: np.ndarray,
    counts: Sequence[int] | None = None,
    draws: int = 10,
    seed: int = 0,
    distance: Distance = frechet_distance,
) -> pd.DataFrame:
    """Distance from all real features to random subsets of the generated ones: the finite-sample bias.

    Parameters
    ----------
    real, generated
        Features, shapes (N, d) and (M, d).
    counts
        Sizes of the subsets, each from 2 to M; by default 15 from M / 5 to M, equally spaced in 1 / n.
    draws
        Subsets of each size, drawn without replacement (one where the size is M: there is no other).
    seed
        Of the drawing.
    distance
        What to compute, e.g. `a2a.evaluation.frechet.kernel_distance`.

    Returns
    -------
    pandas.DataFrame
        Columns ``n, draw, value``.

    Raises
    ------
    InputError
        If a size or the number of draws is out of range.
    """
    m = len(generated)
    if counts is None:
        counts = sorted({max(2, round(1 / f)) for f in np.linspace(1 / m, 5 / m, 15)})
    if draws < 1:
        raise InputError(f"distance_over_count: draws must be at least 1, got {draws}.")
    if wrong := [n for n in counts if not 2 <= n <= m]:
        raise InputError(f"distance_over_count: the size {wrong[0]} must lie between 2 and {m}, the generated images.")
    rng = np.random.default_rng(seed)
    rows = [
        (int(n), draw, distance(real, generated[rng.choice(m, n, replace=False)]))
        for n in counts
        for draw in range(draws if n < m else 1)
    ]
    return pd.DataFrame(rows, columns=["n", "draw", "value"])


def extrapolated(curve: pd.DataFrame) -> tuple[float, float]:
    """Fit ``distance = limit + slope / n`` by least squares.

    Parameters
    ----------
    curve
        From `distance_over_count`, with two sizes or more.

    Returns
    -------
    limit, slope : float
        The limit is the distance expected of infinitely many generated images. The bias of the finite real set is
        still in it, so it is read next to the limit of the noise floor.

    Raises
    ------
    InputError
        If there are fewer than two sizes.

    References
    ----------
    Chong and Forsyth, "Effectively unbiased FID and Inception Score", CVPR 2020, section 3 (FID-infinity).
    """
    if curve["n"].nunique() < 2:
        raise InputError("extrapolated: a line needs distances at two sizes or more.")
    slope, limit = np.polyfit(1 / curve["n"], curve["value"], 1)
    return float(limit), float(slope)


def noise_floor(
    real: np.ndarray,
    others: np.ndarray,
    count: int,
    draws: int = 20,
    seed: int = 0,
    distance: Distance = frechet_distance,
) -> np.ndarray:
    """Distances from real images to as many other real images as were generated: the best that can be expected.

    Parameters
    ----------
    real
        Features (N, d), those that the generated images are compared with.
    others
        Features (K, d) of images of other subjects, K >= count.
    count
        Number of generated images.
    draws, seed, distance
        See `distance_over_count`.

    Returns
    -------
    numpy.ndarray
        One distance for each draw, shape (draws,).

    Raises
    ------
    InputError
        If there are fewer others than `count`.
    """
    if len(others) < count:
        raise InputError(f"noise_floor needs at least {count} other real images, got {len(others)}.")
    rng = np.random.default_rng(seed)
    return np.array([distance(real, others[rng.choice(len(others), count, replace=False)]) for _ in range(draws)])


def subsampled(
    real: np.ndarray,
    methods: dict[str, np.ndarray],
    real_groups: Sequence,
    groups: dict[str, Sequence] | None = None,
    draws: int = 200,
    seed: int = 0,
    distance: Distance = frechet_distance,
) -> pd.DataFrame:
    """Distances of several methods with standard errors, and their paired differences, by subsampling subjects.

    Resampling with replacement, as the bootstrap does, repeats rows, which makes covariances rounder and Fréchet
    distances larger. So each draw takes m, half, of the n subjects without replacement; the standard deviation over
    draws times ``sqrt(m / (n - m))`` is that of the full sample.

    Parameters
    ----------
    real
        Features (N, d).
    methods
        Features (M, d) of each method.
    real_groups
        Subject of each real row; slices of a subject are taken together.
    groups
        Subject of each row, for methods that completed the real subjects: all take the same subjects as the real
        half. Rows of methods that are not named are independent (unconditional samples).
    draws, seed, distance
        See `distance_over_count`.

    Returns
    -------
    pandas.DataFrame
        One row for each method and for each pair ``"a - b"``: ``method, value, sd, low, high``; value is that of all
        images, low and high are 1.96 standard deviations away.

    Raises
    ------
    InputError
        If there are fewer than four subjects or rows, groups of the wrong length, or subjects that are not real ones.
    """
    groups = groups or {}
    ids, known = np.asarray(real_groups), set(np.unique(real_groups).tolist())
    if extra := set(groups) - set(methods):
        raise InputError(f"subsampled: there is no method {min(extra)!r} to which the groups belong.")
    for name, labels in {"the real images": ids, **groups}.items():
        rows = len(real) if labels is ids else len(methods[name])
        if len(labels) != rows:
            raise InputError(f"subsampled: {name} has {rows} rows and {len(labels)} subjects; one for each is needed.")
        if unknown := set(np.asarray(labels).tolist()) - known:
            raise InputError(f"subsampled: {name} has the subject {min(unknown)!r}, which the real images lack.")
    if min(len(known), *(len(f) for f in methods.values())) < 4:
        raise InputError("subsampled needs at least four subjects, and four images of each method.")
    full = pd.Series({name: distance(real, features) for name, features in methods.items()})
    rng, rows = np.random.default_rng(seed), []
    subjects = np.array(sorted(known))
    for _ in range(draws):
        half = rng.choice(subjects, len(subjects) // 2, replace=False)
        order = rng.random(max(map(len, methods.values())))
        chosen = {
            name: np.isin(groups[name], half) if name in groups else np.argsort(order[: len(f)])[: len(f) // 2]
            for name, f in methods.items()
        }
        rows.append({name: distance(real[np.isin(ids, half)], f[chosen[name]]) for name, f in methods.items()})
    m = len(subjects) // 2
    return _with_pairs(full, pd.DataFrame(rows), np.sqrt(m / (len(subjects) - m)))


def _with_pairs(full: pd.Series, draws: pd.DataFrame, scale: float) -> pd.DataFrame:
    names = list(full.index)
    results = [(name, full[name], draws[name].std(ddof=1)) for name in names]
    for i, a in enumerate(names):
        results += [(f"{a} - {b}", full[a] - full[b], (draws[a] - draws[b]).std(ddof=1)) for b in names[i + 1 :]]
    table = pd.DataFrame(results, columns=["method", "value", "sd"])
    table["sd"] *= scale
    return table.assign(low=table["value"] - 1.96 * table["sd"], high=table["value"] + 1.96 * table["sd"])
