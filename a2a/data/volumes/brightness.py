"""How bright the voxels of a modality are, so that images unlike those that weights learnt from are noticed.

A scale that fits one number (a median, a percentile) makes every contrast alike in that number. How the other
percentiles lie tells T2 from T1, and a scan of another kind from those of training.
"""

from collections.abc import Sequence

import numpy as np

LEVELS = (10, 25, 50, 75, 90)
"""The percentiles."""
UNLIKE = 0.15
"""From which distance on images count as unlike; of three heads of two scanners each has at most .08 from the others,
T2 taken for another contrast .2 and more."""
_SLICES = 256
_SHOWN = 0.1


def brightness(images: np.ndarray) -> list[float]:
    """Return the percentiles `LEVELS` of the voxels above a tenth of the range, of one modality; empty if none is.

    Parameters
    ----------
    images
        ``(N, H, W)`` in image units; of many slices 256 that are spread over all are looked at, NaN are left out.
    """
    chosen = np.unique(np.linspace(0, len(images) - 1, min(_SLICES, len(images))).round().astype(int))
    seen = np.asarray(images[chosen], dtype=np.float32)
    seen = seen[seen > _SHOWN]  # the air around a whole head is noise
    return [round(float(level), 3) for level in np.percentile(seen, LEVELS)] if seen.size else []


def distance(found: Sequence[float], usual: Sequence[float]) -> float:
    """Return the mean difference of percentiles as a share of the usual median.

    Parameters
    ----------
    found, usual
        As `brightness` returns them.
    """
    return float(np.abs(np.subtract(found, usual)).mean() / usual[LEVELS.index(50)])
