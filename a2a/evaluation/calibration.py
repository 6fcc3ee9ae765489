"""Whether the standard-deviation map tells the truth: posterior samples against what really was there.

Samples are calibrated if truth and samples look like draws of one distribution. Everything is computed in float64
over the pixels of a region. Explained in the chapter "What the samples know".
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from scipy.stats import spearmanr

from a2a.common.errors import InputError
from a2a.forward.stack import StackSpec

_RESOLUTION = 1e-7
Values = ArrayLike | torch.Tensor


def spread_skill(target: Values, samples: Values, spec: StackSpec, region: Values | None = None) -> pd.DataFrame:
    """Compare the samples' spread with the error of their mean, for each modality.

    With M samples, mean u and unbiased variance v, ``spread = sqrt((M + 1) / M * mean(v))`` and
    ``skill = sqrt(mean((u - x)^2))``, the means taken over all slices and pixels. If truth and samples
    come from the same distribution the ratio is 1; below 1 the samples are overconfident.

    Parameters
    ----------
    target
        True stacks x, shape (B, n, H, W), image units [0, 1].
    samples
        Posterior samples, shape (S, B, n, H, W), S >= 2.
    spec
        Names of the n modalities.
    region
        Pixels to count, bool (B, H, W); None counts all.

    Returns
    -------
    pandas.DataFrame
        Columns ``modality, spread, skill, ratio, correlation``; spread and skill in image units. The ratio is NaN
        where the error is below float32 resolution (1e-7), as for a modality that was given clean. The correlation
        is Spearman's between a pixel's error and its standard deviation: whether the map points to the errors.

    Raises
    ------
    InputError
        If there are fewer than two samples, the shapes do not fit, or a value is not finite.

    References
    ----------
    Fortin et al., "Why should ensemble spread match the RMSE of the ensemble mean?",
    Journal of Hydrometeorology 15, 2014, equation 15.
    """
    rows = []
    for name, x, s in _modalities(target, samples, spec, region):
        variance, error = s.var(axis=0, ddof=1), np.abs(s.mean(axis=0) - x)
        spread = float(np.sqrt((len(s) + 1) / len(s) * variance.mean()))
        skill = float(np.sqrt(np.square(error).mean()))
        varies = skill > _RESOLUTION and variance.max() > 0
        correlation = float(spearmanr(variance, error).statistic) if varies else np.nan
        rows.append((name, spread, skill, spread / skill if skill > _RESOLUTION else np.nan, correlation))
    return pd.DataFrame(rows, columns=["modality", "spread", "skill", "ratio", "correlation"])


def coverage(
    target: Values,
    samples: Values,
    spec: StackSpec,
    levels: Sequence[float] = (0.5, 0.8, 0.9),
    region: Values | None = None,
) -> pd.DataFrame:
    """How often the truth lies in the central interval of the samples.

    The interval between the k-th smallest and the k-th largest of M calibrated samples holds the truth with
    probability ``1 - 2k / (M + 1)`` exactly; k is chosen so that this is closest to the level. Truths that equal an
    end of the interval count as inside.

    Parameters
    ----------
    target, samples, spec, region
        As in `spread_skill`.
    levels
        Probabilities, between 0 and 1.

    Returns
    -------
    pandas.DataFrame
        Columns ``modality, level, nominal, covered``; `nominal` is what M samples can offer for `level`.

    Raises
    ------
    InputError
        As `spread_skill`, or if a level is not between 0 and 1.
    """
    if wrong := [level for level in levels if not 0 < level < 1]:
        raise InputError(f"coverage: level {wrong[0]} must lie between 0 and 1.")
    rows = []
    for name, x, s in _modalities(target, samples, spec, region):
        ordered, m = np.sort(s, axis=0), len(s)
        for level in levels:
            k = min(max(round((1 - level) * (m + 1) / 2), 1), m // 2)
            inside = (ordered[k - 1] <= x) & (x <= ordered[m - k])
            rows.append((name, level, 1 - 2 * k / (m + 1), float(inside.mean())))
    return pd.DataFrame(rows, columns=["modality", "level", "nominal", "covered"])


def fair_crps(target: Values, samples: Values, spec: StackSpec, region: Values | None = None) -> pd.DataFrame:
    r"""Continuous ranked probability score, in image units, smallest where the spread is that of the errors.

    .. math:: \frac1M \sum_i |s_i - x| - \frac{1}{2 M (M - 1)} \sum_{i,j} |s_i - s_j|

    averaged over pixels (Gneiting and Raftery 2007; fair form of Ferro 2014). For a method that gives one answer it
    is the mean absolute error, so deterministic and generative methods can be compared.

    Parameters
    ----------
    target, samples, spec, region
        As in `spread_skill`.

    Returns
    -------
    pandas.DataFrame
        Columns ``modality, crps, mae``; `mae` is that of the samples' mean.

    Raises
    ------
    InputError
        As `spread_skill`, but one sample is enough.
    """
    rows = []
    for name, x, s in _modalities(target, samples, spec, region, fewest=1):
        m = len(s)
        ranks = (2 * np.arange(1, m + 1) - m - 1).reshape(-1, 1)
        between = 2 * (ranks * np.sort(s, axis=0)).sum(axis=0)
        score = np.abs(s - x).mean(axis=0) - between / max(2 * m * (m - 1), 1)
        rows.append((name, float(score.mean()), float(np.abs(s.mean(axis=0) - x).mean())))
    return pd.DataFrame(rows, columns=["modality", "crps", "mae"])


@dataclass(frozen=True)
class Recalibration:
    """Stretch samples about their mean, by one factor for each modality.

    Parameters
    ----------
    factors
        `(n,)`, positive; 1 leaves a modality as it is.
    """

    factors: tuple[float, ...]

    @classmethod
    def fitted(cls, target: Values, samples: Values, spec: StackSpec, region: Values | None = None) -> "Recalibration":
        """Take the factors that make spread and skill agree, from slices that are not used again (validation).

        A modality without error (given clean) gets 1.

        Parameters
        ----------
        target
            Truth ``(B, n, H, W)``.
        samples
            ``(S, B, n, H, W)``.
        spec
            The n modalities.
        region
            Pixels that count, boolean and broadcast to the target; None for all.
        """
        table = spread_skill(target, samples, spec, region)
        ratio = table["ratio"].where(table["ratio"] > 0).fillna(1.0)
        return cls(tuple(float(1 / r) for r in ratio))

    def apply(self, samples: torch.Tensor) -> torch.Tensor:
        """Return the stretched samples `(S, B, n, H, W)`; their mean is unchanged."""
        if samples.ndim != 5 or samples.shape[2] != len(self.factors):
            n = len(self.factors)
            raise InputError(
                f"This recalibration has {n} factors; it needs (S, B, {n}, H, W), got {tuple(samples.shape)}."
            )
        mean, factors = samples.mean(dim=0), torch.tensor(self.factors, dtype=samples.dtype, device=samples.device)
        return mean + factors[:, None, None] * (samples - mean)


def _modalities(
    target: Values, samples: Values, spec: StackSpec, region: Values | None, fewest: int = 2
) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Check the arrays; for each modality its name, the truth (pixels,) and the samples (S, pixels), float64."""
    x, s = (_array(values, np.float64) for values in (target, samples))
    if s.ndim != 5 or x.shape != s.shape[1:] or x.shape[1] != len(spec):
        raise InputError(
            f"calibration needs a target (B, {len(spec)}, H, W) and samples (S, B, {len(spec)}, H, W), "
            f"got {x.shape} and {s.shape}."
        )
    if len(s) < fewest:
        raise InputError(f"calibration needs {fewest} or more samples of each slice, got {len(s)}.")
    if not (np.isfinite(x).all() and np.isfinite(s).all()):
        raise InputError("calibration: the target or the samples have NaN or infinite values.")
    counted = np.ones((len(x), *x.shape[2:]), bool) if region is None else _array(region, bool)
    if counted.shape != (len(x), *x.shape[2:]) or not counted.any():
        raise InputError(f"region must be {(len(x), *x.shape[2:])} with at least one pixel, got {counted.shape}.")
    return [(name, x[:, i][counted], s[:, :, i][:, counted]) for i, name in enumerate(spec.names)]


def _array(values: Values, dtype: type) -> np.ndarray:
    return np.asarray(values.detach().cpu() if isinstance(values, torch.Tensor) else values, dtype)
