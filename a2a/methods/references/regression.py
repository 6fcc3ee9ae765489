"""References for missing modalities: linear regression at each pixel, and gradient-boosted trees."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field

from a2a.common.errors import InputError
from a2a.common.progress import progress
from a2a.methods.references.features import local_features

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingRegressor

_CHUNK = 64


@dataclass(frozen=True, eq=False)
class LinearRegression:
    """Each target modality as a linear function of the given modalities at the same pixel.

    Parameters
    ----------
    weights
        Shape (k + 1, m), the intercepts last.

    Examples
    --------
    >>> given = np.random.default_rng(0).uniform(size=(4, 2, 8, 8))
    >>> model = LinearRegression.fit(given, 0.5 * given[:, :1] + 0.1)
    >>> model.weights.round(6).ravel().tolist()
    [0.5, 0.0, 0.1]
    """

    weights: np.ndarray

    @classmethod
    def fit(cls, given: ArrayLike, target: ArrayLike) -> "LinearRegression":
        """Fit by least squares over all pixels of all slices.

        Parameters
        ----------
        given, target
            Shapes (N, k, H, W) and (N, m, H, W), image units; memory-mapped arrays are read in pieces.

        Raises
        ------
        InputError
            If the shapes do not fit or a value is not finite.
        """
        given, target = _checked(given, target)
        k, m = given.shape[1], target.shape[1]
        gram, moment = np.zeros((k + 1, k + 1)), np.zeros((k + 1, m))
        for rows in _chunks(len(given)):
            x, y = _with_ones(given[rows]), _pixels(target[rows])
            gram += x.T @ x
            moment += x.T @ y
        return cls(np.linalg.lstsq(gram, moment, rcond=None)[0])

    def predict(self, given: ArrayLike) -> np.ndarray:
        """Return the targets, float32 (N, m, H, W) in [0, 1].

        Raises
        ------
        InputError
            If `given` (N, k, H, W) has another number of modalities than in `fit`, or a value is not finite.
        """
        given = _checked_given(given, len(self.weights) - 1)
        values = _with_ones(given) @ self.weights
        return _as_images(values, given.shape)


class TreesConfig(BaseModel):
    """Size of the boosted trees.

    Parameters
    ----------
    pixels
        Training pixels, drawn without replacement, equally many from each slice.
    iterations, leaves, rate
        Number of trees, leaves of each, and learning rate.
    seed
        Of the drawn pixels and of the trees.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    pixels: int = Field(150_000, ge=1000, le=10**9)
    iterations: int = Field(200, ge=1, le=100_000)
    leaves: int = Field(63, ge=2, le=10_000)
    rate: float = Field(0.1, gt=0, le=1)
    seed: int = Field(0, ge=0, lt=2**32)


@dataclass(frozen=True, eq=False)
class BoostedTrees:
    """Each target modality by gradient-boosted trees on local features of the given modalities.

    Parameters
    ----------
    models
        One fitted regressor for each target.
    modalities
        Number k of given modalities.
    """

    models: tuple["HistGradientBoostingRegressor", ...]
    modalities: int

    @classmethod
    def fit(
        cls, given: ArrayLike, target: ArrayLike, planes: ArrayLike, config: TreesConfig | None = None
    ) -> "BoostedTrees":
        """Fit one ensemble for each target modality, by squared error.

        Parameters
        ----------
        given, target
            Shapes (N, k, H, W) and (N, m, H, W), image units; memory-mapped arrays are read in pieces.
        planes
            Position of each slice along z in mm, shape (N,).
        config
            Size; the default is that of the full profile.

        Raises
        ------
        InputError
            If the shapes do not fit or a value is not finite.

        References
        ----------
        Ke et al., "LightGBM: a highly efficient gradient boosting decision tree", NeurIPS 2017, in the
        implementation of scikit-learn.
        """
        from sklearn.ensemble import HistGradientBoostingRegressor

        config = config or TreesConfig()
        given, target = _checked(given, target)
        x, y = _training_pixels(given, target, _checked_planes(planes, len(given)), config)
        size = {"max_iter": config.iterations, "max_leaf_nodes": config.leaves, "learning_rate": config.rate}
        models = [
            HistGradientBoostingRegressor(random_state=config.seed, early_stopping=False, **size).fit(x, column)
            for column in progress(list(y.T), "boosted trees")
        ]
        return cls(tuple(models), given.shape[1])

    def predict(self, given: ArrayLike, planes: ArrayLike) -> np.ndarray:
        """Return the targets, float32 (N, m, H, W) in [0, 1].

        Raises
        ------
        InputError
            If `given` (N, k, H, W) has another number of modalities than in `fit`, `planes` is not (N,), or a value
            is not finite.
        """
        given = _checked_given(given, self.modalities)
        planes = _checked_planes(planes, len(given))
        parts = []
        for rows in _chunks(len(given)):
            features = local_features(given[rows], planes[rows])
            flat = features.reshape(-1, features.shape[-1])
            values = np.stack([model.predict(flat) for model in self.models], axis=-1)
            parts.append(_as_images(values, given[rows].shape))
        return np.concatenate(parts)


def _training_pixels(
    given: np.ndarray, target: np.ndarray, planes: np.ndarray, config: TreesConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Return features (P, F) and targets (P, m) of the drawn pixels."""
    rng = np.random.default_rng(config.seed)
    size = given.shape[-2] * given.shape[-1]
    each = min(size, -(-config.pixels // len(given)))
    xs, ys = [], []
    for rows in progress(list(_chunks(len(given))), "local features"):
        features = local_features(given[rows], planes[rows])
        count = len(features)
        drawn = np.stack([rng.choice(size, each, replace=False) for _ in range(count)])[..., None]
        xs.append(np.take_along_axis(features.reshape(count, size, -1), drawn, axis=1))
        values = _pixels(target[rows]).reshape(count, size, -1)
        ys.append(np.take_along_axis(values, drawn, axis=1))
    x, y = (np.concatenate(parts) for parts in (xs, ys))
    return x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1])


def _chunks(count: int) -> Iterator[slice]:
    return (slice(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK))


def _pixels(images: np.ndarray) -> np.ndarray:
    """Images (N, m, H, W) as one row for each pixel, float64 (N H W, m)."""
    return np.moveaxis(images, 1, -1).reshape(-1, images.shape[1]).astype(np.float64)


def _with_ones(images: np.ndarray) -> np.ndarray:
    values = _pixels(images)
    return np.concatenate([values, np.ones((len(values), 1))], axis=1)


def _as_images(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Rows of pixels (N H W, m) back as images (N, m, H, W), clipped to [0, 1]."""
    images = values.reshape(shape[0], *shape[-2:], -1)
    return np.ascontiguousarray(np.moveaxis(np.clip(images, 0.0, 1.0), -1, 1), dtype=np.float32)


def _checked(given: ArrayLike, target: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    given, target = np.asanyarray(given), np.asanyarray(target)
    fits = given.ndim == target.ndim == 4 and (len(given), *given.shape[2:]) == (len(target), *target.shape[2:])
    if not fits or not given.size or not target.size:
        raise InputError(
            f"A regression needs given (N, k, H, W) and target (N, m, H, W), got {given.shape} and {target.shape}."
        )
    for name, images in (("given", given), ("target", target)):
        if not all(np.isfinite(images[rows]).all() for rows in _chunks(len(images))):
            raise InputError(f"The {name} images of a regression have NaN or infinite values.")
    return given, target


def _checked_given(given: ArrayLike, modalities: int) -> np.ndarray:
    images = np.asanyarray(given)
    if images.ndim != 4 or images.shape[1] != modalities:
        raise InputError(
            f"This regression was fitted on {modalities} modalities (N, {modalities}, H, W), got {images.shape}."
        )
    if not np.isfinite(images).all():
        raise InputError("The given images of a regression have NaN or infinite values.")
    return images


def _checked_planes(planes: ArrayLike, count: int) -> np.ndarray:
    values = np.asarray(planes, np.float32)
    if values.shape != (count,) or not np.isfinite(values).all():
        raise InputError(
            f"planes must give the position of each of the {count} slices in mm, got shape {values.shape}."
        )
    return values
