"""Whether the standard-deviation map tells the truth: spread of the samples against skill of their mean.

Explained in the chapter "Sampling with MDS".
"""

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike

from a2a.errors import InputError
from a2a.stack import StackSpec

_RESOLUTION = 1e-7


def spread_skill(target: ArrayLike | torch.Tensor, samples: ArrayLike | torch.Tensor, spec: StackSpec) -> pd.DataFrame:
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

    Returns
    -------
    pandas.DataFrame
        Columns ``modality, spread, skill, ratio``; spread and skill in image units. The ratio is NaN where
        the error is below float32 resolution (1e-7), as for a modality that was given clean.

    Raises
    ------
    InputError
        If there are fewer than two samples, the shapes do not fit, or a value is not finite.

    References
    ----------
    Fortin et al., "Why should ensemble spread match the RMSE of the ensemble mean?",
    Journal of Hydrometeorology 15, 2014, equation 15.
    """
    x, s = (np.asarray(a.detach().cpu() if isinstance(a, torch.Tensor) else a, np.float64) for a in (target, samples))
    if s.ndim != 5 or x.shape != s.shape[1:] or x.shape[1] != len(spec):
        raise InputError(
            f"spread_skill needs a target (B, {len(spec)}, H, W) and samples (S, B, {len(spec)}, H, W), "
            f"got {x.shape} and {s.shape}."
        )
    if len(s) < 2:
        raise InputError("spread_skill needs at least two samples for each slice.")
    if not (np.isfinite(x).all() and np.isfinite(s).all()):
        raise InputError("spread_skill: the target or the samples have NaN or infinite values.")
    pixels = (0, 2, 3)
    spread = np.sqrt((len(s) + 1) / len(s) * s.var(axis=0, ddof=1).mean(axis=pixels))
    skill = np.sqrt(np.square(s.mean(axis=0) - x).mean(axis=pixels))
    ratio = np.divide(spread, skill, out=np.full_like(spread, np.nan), where=skill > _RESOLUTION)
    return pd.DataFrame({"modality": spec.names, "spread": spread, "skill": skill, "ratio": ratio})
