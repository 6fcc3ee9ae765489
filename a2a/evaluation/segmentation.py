"""How well a segmentation agrees with another one, by subject: Dice and the 95th percentile of surface distances.

Explained in the chapter "Is it of use?".
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.ndimage import binary_erosion, distance_transform_edt

from a2a.common.errors import InputError

REGIONS: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    "tumour": {"wt": (1, 2, 3), "tc": (1, 3), "et": (3,)},
    "infarct": {"infarct": (1,)},
    "lesions": {"lesions": (1,)},
}
"""Regions of each label map: whole tumour, core and enhancing part of gliomas as in BraTS 2023, and others."""


def dice(predicted: np.ndarray, true: np.ndarray) -> float:
    r"""Dice overlap of two masks; NaN where both are empty.

    .. math:: D(P, T) = \frac{2\, |P \cap T|}{|P| + |T|}

    Parameters
    ----------
    predicted, true
        Bool, of one shape.

    Raises
    ------
    InputError
        If the shapes differ.
    """
    _check(predicted, true)
    total = int(predicted.sum()) + int(true.sum())
    return 2 * int((predicted & true).sum()) / total if total else float("nan")


def hd95(predicted: np.ndarray, true: np.ndarray, spacing: Sequence[float]) -> float:
    """95th percentile of the distances from each surface to the other, mm.

    Parameters
    ----------
    predicted, true
        Bool ``(N, H, W)``.
    spacing
        Of the voxels along each axis, mm.

    Returns
    -------
    float
        NaN where both are empty; the diagonal of the volume where one is.

    Raises
    ------
    InputError
        If the shapes differ.
    """
    _check(predicted, true)
    if not predicted.any() and not true.any():
        return float("nan")
    if not predicted.any() or not true.any():
        return float(np.linalg.norm(np.multiply(predicted.shape, spacing)))
    surfaces = [mask & ~binary_erosion(mask) for mask in (predicted, true)]
    away = [distance_transform_edt(~surface, sampling=spacing) for surface in surfaces]
    return float(np.percentile(np.concatenate([away[1][surfaces[0]], away[0][surfaces[1]]]), 95))


def segmentation_table(
    predicted: np.ndarray,
    true: np.ndarray,
    subjects: np.ndarray,
    regions: Mapping[str, tuple[int, ...]],
    pixel_mm: float,
    z_mm: np.ndarray,
) -> pd.DataFrame:
    """Dice and HD95 of each subject and region.

    Parameters
    ----------
    predicted, true
        Labels ``(N, H, W)``, the slices of a subject from below upwards.
    subjects
        Of the N slices.
    regions
        The values that make up each region, see `REGIONS`.
    pixel_mm
        Side of a pixel.
    z_mm
        Height of each slice.

    Returns
    -------
    pandas.DataFrame
        ``subject, metric, value`` with the metrics ``dice_REGION`` and ``hd95_REGION``; a subject has no row where the
        region is in neither.
    """
    rows = []
    for subject in pd.unique(np.asarray(subjects)):
        own = np.flatnonzero(np.asarray(subjects) == subject)
        apart = float(np.diff(np.sort(z_mm[own])).min()) if len(own) > 1 else pixel_mm
        for name, values in regions.items():
            masks = [np.isin(labels[own], values) for labels in (predicted, true)]
            if masks[0].any() or masks[1].any():
                rows.append((subject, f"dice_{name}", dice(*masks)))
                rows.append((subject, f"hd95_{name}", hd95(*masks, (apart, pixel_mm, pixel_mm))))
    return pd.DataFrame(rows, columns=["subject", "metric", "value"])


def _check(predicted: np.ndarray, true: np.ndarray) -> None:
    if predicted.shape != true.shape:
        raise InputError(f"Masks must be of one shape, got {predicted.shape} and {true.shape}.")
