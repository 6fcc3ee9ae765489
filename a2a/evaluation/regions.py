"""Where the head is, and fidelity inside a region, such as a lesion, which is a small part of a slice and of its PSNR.

Explained in the chapter "UMM-CSGM".
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.ndimage import binary_dilation, binary_fill_holes, label

from a2a.common.errors import InputError
from a2a.evaluation.metrics import IDENTICAL_DB, ssim_maps
from a2a.forward.stack import StackSpec

FEWEST = 20
"""Pixels of a subject's region; of fewer nothing is said."""


HEAD = 0.1
"""What is brighter than this in any modality belongs to a head; noise in the air is not."""
_SPECK = 20


def heads(stacks: np.ndarray) -> np.ndarray:
    """Find the head of each slice, one pixel wider than what is seen of it.

    Parameters
    ----------
    stacks
        ``(N, n, H, W)``, image units; NaN counts as dark.

    Returns
    -------
    numpy.ndarray
        bool (N, H, W): above `HEAD` in any modality, without specks of fewer than 20 pixels, holes filled, dilated by
        one pixel.
    """
    return np.stack([_head(bright) for bright in (stacks > HEAD).any(axis=1)])


def _head(bright: np.ndarray) -> np.ndarray:
    parts, _ = label(bright, np.ones((3, 3)))
    large = np.bincount(parts.ravel()) >= _SPECK
    large[0] = False
    return binary_dilation(binary_fill_holes(large[parts]))


def region_table(
    target: np.ndarray,
    prediction: np.ndarray,
    regions: Mapping[str, np.ndarray],
    subjects: np.ndarray,
    spec: StackSpec,
) -> pd.DataFrame:
    """Fidelity of each subject and modality inside regions.

    Parameters
    ----------
    target, prediction
        Stacks of slices, shape (N, n, H, W), image units; the prediction is clipped to [0, 1].
    regions
        Bool (N, H, W) by name, such as ``"lesion"``.
    subjects
        Of the N slices.
    spec
        Names of the n modalities.

    Returns
    -------
    pandas.DataFrame
        ``subject, modality, metric, value``. ``psnr_lesion`` is from the squared error, ``mae_lesion`` the absolute
        error and ``ssim_lesion`` the map of structural similarity (of whole slices, so that the region's edge is no
        border), each pooled over the pixels that a subject's slices have of the region. Of regions with fewer than
        `FEWEST` pixels in a subject nothing is said.

    Raises
    ------
    InputError
        If the shapes do not fit each other.
    """
    for region in regions.values():
        if target.shape != prediction.shape or region.shape != (len(target), *target.shape[2:]):
            shapes = f"{target.shape}, {prediction.shape} and {region.shape}"
            raise InputError(f"A region needs stacks (N, n, H, W) and a mask (N, H, W), got {shapes}.")
    error = target.astype(np.float64) - np.clip(prediction.astype(np.float64), 0, 1)
    maps, rows = ssim_maps(target, prediction), []
    for subject in pd.unique(np.asarray(subjects)):
        own = np.asarray(subjects) == subject
        for name, region in regions.items():
            wrong, alike = (np.moveaxis(each[own], 1, -1)[region[own]] for each in (error, maps))
            if len(wrong) < FEWEST:
                continue
            decibel = -10 * np.log10(np.maximum(np.square(wrong).mean(axis=0), 10 ** (-IDENTICAL_DB / 10)))
            values = {"psnr": decibel, "ssim": alike.mean(axis=0), "mae": np.abs(wrong).mean(axis=0)}
            rows += [
                (subject, modality, f"{metric}_{name}", one)
                for metric, value in values.items()
                for modality, one in zip(spec.names, value, strict=True)
            ]
    return pd.DataFrame(rows, columns=["subject", "modality", "metric", "value"])
