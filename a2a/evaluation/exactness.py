"""Samples against an exact Gaussian posterior: how far off a sampler is, and in which direction.

Explained in the chapter "A prior we can solve by hand".
"""

import pandas as pd
import torch
from scipy.stats import norm
from torch import Tensor

from a2a.common.errors import InputError
from a2a.forward.stack import StackSpec
from a2a.prior.gaussian import Gaussian


def against_exact(
    samples: Tensor, exact: Gaussian, spec: StackSpec, scale: float, levels: tuple[float, ...] = (0.5, 0.9)
) -> pd.DataFrame:
    r"""Compare samples with the posterior that they should come from, for each modality.

    Parameters
    ----------
    samples
        `(S, n, H, W)`, image units, S >= 20.
    exact
        The posterior, from `a2a.prior.gaussian.GaussianPrior.posterior`.
    spec
        Names of the n modalities.
    scale
        Standard deviation of the prior; `bias`, `spread` and `cross` are in its units, so 0.02 is little.
    levels
        Probabilities of central intervals.

    Returns
    -------
    pandas.DataFrame
        ``modality``; ``bias``, mean of the samples less the exact mean, averaged over pixels; ``spread``, their root
        mean variance less the exact one; ``cross``, the covariance with the first modality less the exact one; and
        for each level ``covered <level>``, the exact probability of the interval between the samples' quantiles
        (NaN for a modality that is known exactly).

    Raises
    ------
    InputError
        If there are fewer than 20 samples or the shapes do not fit.
    """
    x = samples.double()
    if x.ndim != 4 or x.shape[1:] != exact.mean.shape or len(x) < 20:
        raise InputError(f"needs at least 20 samples of {tuple(exact.mean.shape)}, got {tuple(x.shape)}.")
    n, pixels = len(spec), x[0, 0].numel()
    centred = x - x.mean(dim=0)
    cross = (centred[:, :1] * centred).sum(dim=(0, 2, 3)) / (len(x) - 1) / pixels
    true_cross = exact.covariance.reshape(n, pixels, n, pixels)[0].diagonal(dim1=0, dim2=2).mean(dim=1)
    spread = x.var(dim=0).mean(dim=(1, 2)).sqrt() - exact.std.square().mean(dim=(1, 2)).sqrt()
    columns = {
        "modality": spec.names,
        "bias": (x.mean(dim=0) - exact.mean).mean(dim=(1, 2)) / scale,
        "spread": spread / scale,
        "cross": (cross - true_cross) / scale**2,
    }
    columns |= {f"covered {level:g}": _probability(x, exact, level, scale) for level in levels}
    return pd.DataFrame({name: list(map(_plain, values)) for name, values in columns.items()})


def _probability(x: Tensor, exact: Gaussian, level: float, scale: float) -> Tensor:
    """Exact probability of the samples' central interval, averaged over the pixels of each modality, `(n,)`."""
    low, high = (torch.quantile(x, q, dim=0) for q in ((1 - level) / 2, (1 + level) / 2))
    std = exact.std.clamp(min=1e-12)
    inside = norm.cdf(((high - exact.mean) / std).numpy()) - norm.cdf(((low - exact.mean) / std).numpy())
    unknown = exact.std.mean(dim=(1, 2)) > 1e-6 * scale
    return torch.where(unknown, torch.from_numpy(inside).mean(dim=(1, 2)), torch.nan)


def _plain(value: str | Tensor) -> str | float:
    return value if isinstance(value, str) else float(value)
