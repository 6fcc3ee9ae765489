"""Blur and aliasing, measured: proxies for what a reader sees in an image and PSNR and SSIM miss.

All are computed per image from the box around the target's head (pixels above 0.05), in float64, with image units.
The claims of the Any2all paper that rest on pictures ("sharper", "fewer aliasing artefacts") are tested with them.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from torch import Tensor

from a2a.common.errors import InputError
from a2a.forward.stack import StackSpec

FOREGROUND = 0.05
HALF_NYQUIST = 0.25
_SMALLEST = 8
Images = ArrayLike | Tensor


def high_frequency_energy(images: Images, boxes: Images | None = None) -> np.ndarray:
    r"""Energy above half the Nyquist frequency, :math:`\sum_{|f| > 1/4} |F(w x)|^2 / \mathrm{pixels}`.

    Parameters
    ----------
    images
        Shape (..., H, W), image units.
    boxes
        Images of the same shape whose foreground (above 0.05) says where the Hann window w is laid; by default the
        images themselves. Give the targets for an image that is compared with its target.

    Returns
    -------
    numpy.ndarray
        float64, shape (...); ``|f|`` is the radial frequency in cycles per pixel. NaN, not applicable, where the box is
        smaller than 8 pixels.

    Raises
    ------
    InputError
        If the shapes do not fit or a value is not finite.
    """
    return _over_boxes(_high_energy, images, boxes)


def mean_gradient(images: Images, boxes: Images | None = None) -> np.ndarray:
    """Mean gradient magnitude, ``mean |grad x|`` by central differences, in image units per pixel.

    Parameters, shapes and errors as in `high_frequency_energy`.
    """
    return _over_boxes(lambda x: float(np.hypot(*np.gradient(x)).mean()), images, boxes)


def aliasing(target: Images, prediction: Images, acceleration: int, axis: int = -2) -> np.ndarray:
    r"""Largest correlation of the error with a copy of the target shifted by k FOV / R, k = 1 ... R - 1.

    Undersampling by R folds such copies into the image. Both the error and the copy are first rid of what a constant
    and the target itself explain (partial correlation), so that a wrong gain or an offset is not taken for aliasing.
    The sign is left out: folded copies come with either.

    Parameters
    ----------
    target, prediction
        Shape (..., H, W), image units.
    acceleration
        R >= 2, which must divide the image's size along `axis`.
    axis
        The undersampled axis; the last but one by default.

    Returns
    -------
    numpy.ndarray
        float64, shape (...), from 0 to 1; 0 where there is no error, NaN where the target is constant.

    Raises
    ------
    InputError
        If the shapes do not fit, a value is not finite, or R does not divide the image.
    """
    x, y = _images(target, "target"), _images(prediction, "prediction")
    if x.shape != y.shape:
        raise InputError(f"The target and the prediction must have one shape, got {x.shape} and {y.shape}.")
    if axis not in (-1, -2):
        raise InputError(f"aliasing: axis must be -2 (rows) or -1 (columns), got {axis}.")
    if acceleration < 2 or x.shape[axis] % acceleration:
        raise InputError(
            f"aliasing: the acceleration must be at least 2 and divide the {x.shape[axis]} pixels, got {acceleration}."
        )
    shifts = [k * x.shape[axis] // acceleration for k in range(1, acceleration)]
    pairs = zip(x.reshape(-1, *x.shape[-2:]), y.reshape(-1, *x.shape[-2:]), strict=True)
    return np.reshape([_folded(a, b, shifts, axis) for a, b in pairs], x.shape[:-2])


def sharpness_table(
    target: Images,
    prediction: Images,
    subjects: Sequence[str],
    spec: StackSpec,
    acceleration: int | None = None,
    paired: bool = True,
) -> pd.DataFrame:
    """Sharpness, and aliasing, of each subject and modality: rows like those of `a2a.evaluation.metrics.subject_table`.

    Parameters
    ----------
    target, prediction
        Stacks of slices, shape (N, n, H, W), image units.
    subjects
        The N slices' subject ids.
    spec
        Names of the n modalities.
    acceleration
        Undersampling R of the rows, for ``aliasing``; None leaves it out.
    paired
        False if predictions show other heads than the targets: then the window lies on each image's own.

    Returns
    -------
    pandas.DataFrame
        Columns ``subject, modality, metric, value``. ``hfr`` and ``gradient`` are the subject's energy above half
        Nyquist and its mean gradient, over those of the target: 1 is as sharp as the truth, less is blurred, more is
        noisy. ``aliasing`` is the mean over slices. A subject without a usable slice has no row.

    Raises
    ------
    InputError
        If the shapes do not fit each other, the subjects or the spec; or as in `aliasing`.
    """
    x, y, ids = _images(target, "target"), _images(prediction, "prediction"), np.asarray(subjects)
    if x.ndim != 4 or x.shape != y.shape or x.shape[1] != len(spec) or ids.shape != (len(x),):
        raise InputError(
            f"sharpness_table needs two stacks (N, {len(spec)}, H, W) and N subjects, "
            f"got {x.shape}, {y.shape} and {ids.shape}."
        )
    measures = {"hfr": high_frequency_energy, "gradient": mean_gradient}
    parts = {name: (measure(y, x if paired else y), measure(x)) for name, measure in measures.items()}
    if acceleration is not None:
        folded = aliasing(x, y, acceleration)
        parts["aliasing"] = (folded, np.where(np.isfinite(folded), 1.0, np.nan))
    rows = []
    for subject in pd.unique(ids):
        for column, modality in enumerate(spec.names):
            for metric, (over, under) in parts.items():
                numerator, denominator = (np.nansum(a[ids == subject, column]) for a in (over, under))
                if denominator > 0:
                    rows.append((subject, modality, metric, float(numerator / denominator)))
    return pd.DataFrame(rows, columns=["subject", "modality", "metric", "value"])


def _high_energy(x: np.ndarray) -> float:
    window = np.outer(*(np.hanning(size + 2)[1:-1] for size in x.shape))
    radius = np.hypot(np.fft.fftfreq(x.shape[0])[:, None], np.fft.fftfreq(x.shape[1])[None, :])
    power = np.square(np.abs(np.fft.fft2(window * x, norm="ortho")))
    return float(power[radius > HALF_NYQUIST].sum() / x.size)


def _folded(x: np.ndarray, y: np.ndarray, shifts: Sequence[int], axis: int) -> float:
    known = np.stack([np.ones(x.size), x.ravel()], axis=1)
    others = np.stack([(y - x).ravel(), *(np.roll(x, s, axis).ravel() for s in shifts)], axis=1)
    if np.ptp(x) == 0:
        return np.nan
    residual = others - known @ np.linalg.lstsq(known, others, rcond=None)[0]
    norms = np.linalg.norm(residual, axis=0)
    norms[norms < 1e-9 * np.sqrt(x.size)] = np.inf  # what is left is rounding
    return float(np.abs(residual[:, 0] @ residual[:, 1:] / (norms[0] * norms[1:])).max())


def _over_boxes(measure, images: Images, boxes: Images | None) -> np.ndarray:
    x = _images(images, "images")
    place = x if boxes is None else _images(boxes, "boxes")
    if place.shape != x.shape:
        raise InputError(f"The boxes must have the shape of the images, got {place.shape} and {x.shape}.")
    pairs = zip(x.reshape(-1, *x.shape[-2:]), place.reshape(-1, *x.shape[-2:]), strict=True)
    return np.reshape([_in_box(measure, image, where > FOREGROUND) for image, where in pairs], x.shape[:-2])


def _in_box(measure, image: np.ndarray, mask: np.ndarray) -> float:
    sides = [np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0)]
    if any(side.size == 0 or side[-1] - side[0] + 1 < _SMALLEST for side in sides):
        return np.nan
    rows, columns = (slice(side[0], side[-1] + 1) for side in sides)
    return measure(image[rows, columns])


def _images(images: Images, name: str) -> np.ndarray:
    array = np.asarray(images.detach().cpu() if isinstance(images, Tensor) else images, np.float64)
    if array.ndim < 2 or array.size == 0:
        raise InputError(f"The {name} must be images of shape (..., H, W), got {array.shape}.")
    if not np.isfinite(array).all():
        raise InputError(f"The {name} has NaN or infinite values; metrics are defined for finite images only.")
    return array
