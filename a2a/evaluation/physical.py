"""Errors in physical units, by tissue: CT in Hounsfield units, PET in SUVR.

In the window of CT soft tissue is a narrow band, and PSNR is decided by bone and air. Explained in the
chapter "Figure 4".
"""

import numpy as np
import pandas as pd

from a2a.evaluation.regions import FEWEST
from a2a.forward.stack import StackSpec

PARTS = {
    "HU": {"": (-np.inf, np.inf), "_soft": (-100.0, 100.0), "_bone": (200.0, np.inf)},
    "SUVR": {"": (-np.inf, np.inf)},
}
"""Parts of the head by what the target is there, for each unit."""


def physical_table(
    target: np.ndarray, prediction: np.ndarray, head: np.ndarray, subjects: np.ndarray, spec: StackSpec
) -> pd.DataFrame:
    """Mean absolute error and mean error of each subject in Hounsfield units and in SUVR.

    Parameters
    ----------
    target, prediction
        Stacks of slices ``(N, n, H, W)``, image units; the prediction is clipped to [0, 1].
    head
        Bool ``(N, H, W)``, where to look.
    subjects
        Of the N slices.
    spec
        The n modalities.

    Returns
    -------
    pandas.DataFrame
        ``subject, modality, metric, value``. Of CT ``mae_hu`` and ``bias_hu`` over the head, and the same with the ends
        ``_soft`` (target between -100 and 100 HU) and ``_bone`` (above 200 HU); of PET ``mae_suvr`` and ``bias_suvr``.
        Parts of fewer than `a2a.evaluation.regions.FEWEST` pixels have no rows.
    """
    rows = []
    for channel, modality in enumerate(spec.modalities):
        if modality.window is None or modality.unit not in PARTS:
            continue
        low, high = modality.window
        x, y = (low + (high - low) * image[:, channel].astype(np.float64) for image in (target, prediction.clip(0, 1)))
        parts = {end: head & (x >= least) & (x <= most) for end, (least, most) in PARTS[modality.unit].items()}
        for subject in pd.unique(np.asarray(subjects)):
            own = np.asarray(subjects) == subject
            for end, part in parts.items():
                error = (y - x)[own][part[own]]
                if len(error) >= FEWEST:
                    unit = f"{modality.unit.lower()}{end}"
                    rows.append((subject, modality.name, f"mae_{unit}", np.abs(error).mean()))
                    rows.append((subject, modality.name, f"bias_{unit}", error.mean()))
    return pd.DataFrame(rows, columns=["subject", "modality", "metric", "value"])
