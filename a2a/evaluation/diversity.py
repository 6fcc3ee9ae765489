"""Whether a prior copies training data, and whether it covers the data: nearest neighbours of unconditional samples.

Explained in the chapter "Unconditional samples".
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from a2a.common.errors import InputError

_CHUNK = 512


def nearest_training(train: np.ndarray, stacks: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Find the training stack that is most like each stack, mirrored or not.

    Parameters
    ----------
    train
        Training stacks, shape (K, n, H, W), image units; may be memory-mapped, it is read in pieces.
    stacks
        Shape (N, n, H, W).

    Returns
    -------
    distances : numpy.ndarray
        float64 (N,), root mean square difference over all pixels and modalities, image units. Left and right may be
        exchanged (last axis), as they are in training.
    rows : numpy.ndarray
        int (N,), the row of `train`.

    Raises
    ------
    InputError
        If the shapes do not fit, a set is empty, or a value is not finite.
    """
    queries = np.asarray(stacks, np.float32)
    if train.ndim != 4 or queries.ndim != 4 or train.shape[1:] != queries.shape[1:] or not (len(train) * len(queries)):
        raise InputError(
            f"nearest_training needs stacks (K, n, H, W) and (N, n, H, W), got {train.shape} and {queries.shape}."
        )
    if not np.isfinite(queries).all():
        raise InputError("nearest_training: the stacks have NaN or infinite values.")
    both = np.concatenate([queries, queries[..., ::-1]]).reshape(2 * len(queries), -1)
    best, rows = np.full(len(both), np.inf), np.zeros(len(both), int)
    for start in range(0, len(train), _CHUNK):
        part = np.asarray(train[start : start + _CHUNK], np.float32).reshape(-1, both.shape[1])
        if not np.isfinite(part).all():
            raise InputError("nearest_training: the training stacks have NaN or infinite values.")
        squares = np.square(part).sum(axis=1) - 2 * both @ part.T  # without the query's own, the same for all rows
        found = squares.argmin(axis=1)
        values = squares[np.arange(len(both)), found]
        better = values < best
        best[better], rows[better] = values[better], start + found[better]
    mirrored = best[len(queries) :] < best[: len(queries)]
    chosen = rows.reshape(2, -1)[mirrored.astype(int), np.arange(len(queries))]
    turned = np.where(mirrored[:, None, None, None], queries[..., ::-1], queries)
    difference = turned.astype(np.float64) - train[chosen]
    return np.sqrt(np.square(difference).mean(axis=(1, 2, 3))), chosen


def memorisation(train: np.ndarray, test: ArrayLike, generated: ArrayLike) -> pd.DataFrame:
    """Compare how near generated stacks are to training ones with how near held-out stacks of other subjects are.

    A prior that repeats its training data generates stacks much nearer than any held-out one; one that generalises
    has the same distances. (Blurred stacks are nearer to everything: read it next to sharpness.)

    Parameters
    ----------
    train, test, generated
        Stacks, shapes (., n, H, W), image units, see `nearest_training`.

    Returns
    -------
    pandas.DataFrame
        Rows ``generated`` and ``held out`` (column ``set``): ``smallest, p5, median`` distance to the nearest
        training stack, ``nearer`` (the share nearer than 99 % of the held-out ones), and ``n``.
    """
    held_out, _ = nearest_training(train, test)
    made, _ = nearest_training(train, generated)
    limit = np.quantile(held_out, 0.01)
    rows = [
        (name, d.min(), np.quantile(d, 0.05), np.median(d), float((d < limit).mean()), len(d))
        for name, d in (("generated", made), ("held out", held_out))
    ]
    return pd.DataFrame(rows, columns=["set", "smallest", "p5", "median", "nearer", "n"])


def precision_recall(real: ArrayLike, generated: ArrayLike, neighbours: int = 3) -> tuple[float, float]:
    """Share of generated features that lie among the real ones, and of real ones that lie among the generated.

    A point lies among a set if it is within the distance of some point of the set to its `neighbours`-th nearest.

    Parameters
    ----------
    real, generated
        Features, shapes (N, d) and (M, d), of scales that can be compared; take N = M.
    neighbours
        At least 1, fewer than N and M.

    Returns
    -------
    precision, recall : float
        From 0 to 1; low precision is poor quality, low recall poor variety. Compare with those of two real sets.

    Raises
    ------
    InputError
        If the shapes do not fit, a set is too small, or a value is not finite.

    References
    ----------
    Kynkäänniemi et al., "Improved precision and recall metric for assessing generative models", NeurIPS 2019.
    """
    x, y = (np.asarray(a, np.float64) for a in (real, generated))
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or not 1 <= neighbours < min(len(x), len(y)):
        raise InputError(
            f"precision_recall needs features (N, d) and (M, d) with more rows than the {neighbours} neighbours, "
            f"got {x.shape} and {y.shape}."
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError("precision_recall: the features have NaN or infinite values.")
    return _among(y, x, neighbours), _among(x, y, neighbours)


def _among(points: np.ndarray, reference: np.ndarray, neighbours: int) -> float:
    radii = np.sort(_distances(reference, reference), axis=1)[:, neighbours]
    return float((_distances(points, reference) <= radii).any(axis=1).mean())


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * a @ b.T, 0))
