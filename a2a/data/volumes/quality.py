"""Figures per subject that tell a strange scan from a usual one."""

from collections.abc import Mapping

import numpy as np

from a2a.data.volumes.aligned import AlignedSeries
from a2a.data.volumes.registration import mutual_information


def quality(
    series: AlignedSeries, scaled: Mapping[str, np.ndarray], foreground: np.ndarray | None, reference: str
) -> dict[str, dict]:
    """Describe each series of a scan by a few numbers.

    ``mean`` and ``deviation`` are of the foreground in image units, ``clipped`` the part of it above the range,
    ``negative`` the part of all voxels below zero in the file, ``information`` the mutual information with the
    reference in nats; ``contrast_to_noise`` is the foreground's deviation over the noise of fine detail (Laplacian,
    Immerkaer 1996).

    Parameters
    ----------
    series
        The scan.
    scaled
        ``(X, Y, Z)`` per series in image units.
    foreground
        ``bool (X, Y, Z)``; None for everything.
    reference
        Name of the reference.
    """
    inside = np.ones(scaled[reference].shape, bool) if foreground is None or not foreground.any() else foreground
    figures = {}
    for name, data in scaled.items():
        original, values = series.originals[name], data[inside]
        figures[name] = {
            "shape": list(original.data.shape),
            "voxel_mm": [round(side, 4) for side in original.spacing],
            "mean": round(float(values.mean()), 4),
            "deviation": round(float(values.std()), 4),
            "clipped": round(float((values >= 1).mean()), 5),
            "negative": round(float((original.data < 0).mean()), 5),
            "contrast_to_noise": round(float(values.std() / max(noise_level(data, inside), 1e-6)), 2),
            "information": round(mutual_information(scaled[reference][inside], values), 4),
        }
    return figures


def noise_level(data: np.ndarray, inside: np.ndarray) -> float:
    """Standard deviation of the noise by Immerkaer's method, in the planes of an image.

    The difference of two Laplacians cancels structure; noise of deviation s gives mean absolute values of 6 s sqrt(2 /
    pi).

    Parameters
    ----------
    data
        ``(X, Y, Z)``.
    inside
        ``bool (X, Y, Z)``, where to look; voxels at the edge of a plane are left out.
    """
    rows = data[:-2] - 2 * data[1:-1] + data[2:]
    both = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    found = np.abs(both[inside[1:-1, 1:-1]])
    return float(found.mean() / 6 * np.sqrt(np.pi / 2)) if found.size else 0.0
