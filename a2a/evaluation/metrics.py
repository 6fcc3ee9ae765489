"""Fidelity of a completed image: PSNR, SSIM and MAE with one fixed set of conventions.

Every number is computed in image units with data range 1 (never the maximum of an image), on the
whole slice, in float64, with the prediction clipped to [0, 1]. The unit of the statistics is the
subject: slices of one brain are not independent. Explained in the chapter "Sampling with MDS".
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike

from a2a.common._torchvision import ensure_torchvision
from a2a.common.errors import InputError
from a2a.evaluation.statistics import mean_interval
from a2a.forward.stack import StackSpec

IDENTICAL_DB = 100.0
"""PSNR reported for (nearly) identical images, where the definition diverges."""

WINDOW = 11
OUTSIDE = 0.01
"""Largest share of a target's values outside [-1, 2]; of a prediction half may be noise that was amplified."""
_BORDER = WINDOW // 2
_CHUNK = 512
METRICS = ("psnr", "psnr_slice", "ssim", "mae")


def mae(target: ArrayLike | torch.Tensor, prediction: ArrayLike | torch.Tensor) -> np.ndarray:
    """Mean absolute error of each image, ``mean |x - clip(y, 0, 1)|``.

    Parameters
    ----------
    target, prediction
        Images x and y, shape (..., H, W), image units [0, 1]; arrays or tensors of any float type.

    Returns
    -------
    numpy.ndarray
        float64, shape (...), image units.

    Raises
    ------
    InputError
        If the shapes differ, an image is empty, a value is NaN or infinite, or too many leave [-1, 2], see `OUTSIDE`.
    """
    x, y = _pair(target, prediction)
    return np.abs(x - y).mean(axis=(-2, -1))


def psnr(target: ArrayLike | torch.Tensor, prediction: ArrayLike | torch.Tensor) -> np.ndarray:
    """Peak signal-to-noise ratio of each image, ``10 log10(1 / MSE)`` with data range 1.

    Parameters and errors as in `mae`.

    Returns
    -------
    numpy.ndarray
        float64, shape (...), in dB; at most `IDENTICAL_DB`, also where the images are equal. (torchmetrics
        converts to dB in float32, which is right to 1e-5 dB only; this does not.)
    """
    return _decibel(_mse(*_pair(target, prediction)))


def ssim(target: ArrayLike | torch.Tensor, prediction: ArrayLike | torch.Tensor) -> np.ndarray:
    """Structural similarity of each image: mean of the SSIM map without its border of 5 pixels.

    Gaussian window of 11 taps (sigma 1.5), K1 = 0.01, K2 = 0.03, data range 1, population
    covariance. On the interior torchmetrics and scikit-image agree; on the border they pad
    differently, so it is left out.

    Parameters and errors as in `mae`; images must have at least 11 pixels along each side.

    Returns
    -------
    numpy.ndarray
        float64, shape (...), in [-1, 1].

    References
    ----------
    Wang et al., "Image quality assessment: from error visibility to structural similarity",
    IEEE Transactions on Image Processing 13, 2004, equation 13.
    """
    return ssim_maps(target, prediction)[..., _BORDER:-_BORDER, _BORDER:-_BORDER].mean(axis=(-2, -1))


def ssim_maps(target: ArrayLike | torch.Tensor, prediction: ArrayLike | torch.Tensor) -> np.ndarray:
    """Structural similarity at each pixel, of which `ssim` is the mean.

    Parameters and errors as in `ssim`.

    Returns
    -------
    numpy.ndarray
        float64, shape (..., H, W), in [-1, 1]; on the border of 5 pixels it depends on how images are padded.
    """
    x, y = _pair(target, prediction)
    shape = x.shape
    if min(shape[-2:]) < WINDOW:
        raise InputError(f"SSIM needs images of at least {WINDOW} x {WINDOW} pixels, got {shape[-2]} x {shape[-1]}.")
    flat_x, flat_y = (torch.from_numpy(a.reshape(-1, 1, *shape[-2:])) for a in (x, y))
    values = [_ssim_map(a, b) for a, b in zip(flat_x.split(_CHUNK), flat_y.split(_CHUNK), strict=True)]
    return torch.cat(values).numpy().reshape(shape)


def subject_table(
    target: ArrayLike | torch.Tensor,
    prediction: ArrayLike | torch.Tensor,
    subjects: Sequence[str] | np.ndarray,
    spec: StackSpec,
    modalities: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Metrics of each subject and modality, in long form.

    Parameters
    ----------
    target, prediction
        Stacks of slices, shape (N, n, H, W), image units [0, 1].
    subjects
        The N slices' subject ids, in any order.
    spec
        Names of the n modalities.
    modalities
        Names to report; all by default.

    Returns
    -------
    pandas.DataFrame
        One row per (subject, modality, metric) with the columns ``subject, modality, metric, value``.
        ``psnr`` is the subject PSNR, from the squared error pooled over the subject's slices;
        ``psnr_slice`` is the mean over slices of each slice's PSNR (never smaller, by Jensen);
        ``ssim`` and ``mae`` are means over slices. Callers add their labels with ``.assign(method=...)``.

    Raises
    ------
    InputError
        If the shapes do not fit each other, the subjects or the spec; if a name is unknown; or as in `mae`.
    """
    x, y = _pair(target, prediction)
    ids = np.asarray(subjects)
    n = len(spec)
    if x.ndim != 4 or x.shape[1] != n:
        raise InputError(f"subject_table needs stacks (N, {n}, H, W) of {', '.join(spec.names)}, got {x.shape}.")
    if ids.shape != (len(x),):
        raise InputError(f"subject_table needs one subject id for each of the {len(x)} slices, got shape {ids.shape}.")
    channels = [spec.index(name) for name in (modalities or spec.names)]
    x, y = x[:, channels], y[:, channels]
    per_slice = {"mse": _mse(x, y), "psnr_slice": psnr(x, y), "ssim": ssim(x, y), "mae": mae(x, y)}
    rows = []
    for subject in pd.unique(ids):
        means = {name: values[ids == subject].mean(axis=0) for name, values in per_slice.items()}
        means["psnr"] = _decibel(means["mse"])
        rows += [
            (subject, spec.names[channel], metric, float(means[metric][column]))
            for column, channel in enumerate(channels)
            for metric in METRICS
        ]
    return pd.DataFrame(rows, columns=["subject", "modality", "metric", "value"])


def summary(table: pd.DataFrame, confidence: float = 0.95) -> pd.DataFrame:
    """Mean, standard deviation and interval over subjects.

    Parameters
    ----------
    table
        Long table as from `subject_table`; every column but ``subject`` and ``value`` makes groups.
    confidence
        Coverage of the interval, between 0 and 1.

    Returns
    -------
    pandas.DataFrame
        One row per group, in order of appearance, with ``mean``, ``sd`` (N - 1 denominator), ``low`` and
        ``high`` (see `a2a.evaluation.statistics.mean_interval`), ``subjects``, and ``identical`` (how many values are a
        PSNR of `IDENTICAL_DB`). With one subject ``sd``, ``low`` and ``high`` are NaN: not applicable.

    Raises
    ------
    InputError
        If a column is missing, a value is NaN, or a subject occurs twice in a group (slices or samples
        were passed as if they were independent).
    """
    for column in ("subject", "metric", "value"):
        if column not in table:
            raise InputError(f"summary needs a table with the column {column!r}; it has {', '.join(map(str, table))}.")
    if table["value"].isna().any():
        raise InputError("summary: the table has NaN values; a failed completion must be handled before averaging.")
    groups = [column for column in table if column not in ("subject", "value")]
    if table.duplicated([*groups, "subject"]).any():
        raise InputError(f"summary: a subject occurs twice in a group of {', '.join(groups)}; average over it first.")
    rows = []
    for key, group in table.groupby(groups, sort=False, dropna=False):
        values = group["value"].to_numpy(np.float64)
        low, high = mean_interval(values, confidence)
        sd = values.std(ddof=1) if len(values) > 1 else np.nan
        labels = dict(zip(groups, key, strict=True))
        identical = int(np.sum(values == IDENTICAL_DB)) if labels["metric"].startswith("psnr") else 0
        numbers = {"mean": values.mean(), "sd": sd, "low": low, "high": high}
        rows.append(labels | numbers | {"subjects": len(values), "identical": identical})
    return pd.DataFrame(rows)


def _pair(target: ArrayLike | torch.Tensor, prediction: ArrayLike | torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return both as checked float64 arrays, the prediction clipped to [0, 1] (copies, never in place)."""
    x, y = (_array(a, name) for a, name in ((target, "target"), (prediction, "prediction")))
    if x.shape != y.shape:
        raise InputError(f"The target and the prediction must have one shape, got {x.shape} and {y.shape}.")
    for name, images, most in (("target", x, OUTSIDE), ("prediction", y, 0.5)):
        if (share := np.mean((images < -1) | (images > 2))) > most:
            raise InputError(f"{share:.0%} of the {name} leave [-1, 2]; scale it to [0, 1] (divide bytes by 255).")
    return x, np.clip(y, 0.0, 1.0)


def _array(images: ArrayLike | torch.Tensor, name: str) -> np.ndarray:
    tensor = images.detach().cpu().double().numpy() if isinstance(images, torch.Tensor) else images
    array = np.ascontiguousarray(tensor, dtype=np.float64)
    if array.ndim < 2 or array.size == 0:
        raise InputError(f"The {name} must be images of shape (..., H, W), got {array.shape}.")
    if not np.isfinite(array).all():
        raise InputError(f"The {name} has NaN or infinite values; metrics are defined for finite images only.")
    return array


def _mse(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.square(x - y).mean(axis=(-2, -1))


def _decibel(mse: np.ndarray) -> np.ndarray:
    """PSNR of a mean squared error, at most `IDENTICAL_DB`."""
    return -10.0 * np.log10(np.maximum(mse, 10.0 ** (-IDENTICAL_DB / 10.0)))


def _ssim_map(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """SSIM at each pixel of images (B, 1, H, W)."""
    ensure_torchvision()
    # Here rather than at the top: the import takes seconds, and most commands measure nothing.
    from torchmetrics.functional.image import structural_similarity_index_measure

    options = {"gaussian_kernel": True, "sigma": 1.5, "data_range": 1.0, "k1": 0.01, "k2": 0.03}
    _, full = structural_similarity_index_measure(y, x, reduction="none", return_full_image=True, **options)
    return full
