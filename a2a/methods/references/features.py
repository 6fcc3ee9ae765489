"""What the boosted trees see of a pixel: its neighbourhood in each given modality, the slice, and the place."""

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter, uniform_filter

MEANS = (3, 5, 9, 17)
EXTREMA = (3, 7)
QUARTILES = (25, 50, 75)
_FOREGROUND = 0.05
_PLANE = (-2, -1)


def local_features(given: np.ndarray, planes: np.ndarray) -> np.ndarray:
    """Describe every pixel.

    Parameters
    ----------
    given
        Given modalities, shape (N, k, H, W), image units.
    planes
        Position of each slice along z in mm, shape (N,).

    Returns
    -------
    numpy.ndarray
        float32 (N, H, W, F) with, for each modality, the value, means over squares of 3, 5, 9 and 17 pixels,
        minima and maxima over squares of 3 and 7, and the quartiles of the slice above 0.05; then row, column
        (each from 0 to 1) and z.
    """
    images = np.asarray(given, np.float32)
    count, _, height, width = images.shape
    maps = [images]
    maps += [uniform_filter(images, size, mode="nearest", axes=_PLANE) for size in MEANS]
    maps += [
        extremum(images, size, mode="nearest", axes=_PLANE)
        for size in EXTREMA
        for extremum in (minimum_filter, maximum_filter)
    ]
    foreground = np.where(images > _FOREGROUND, images, np.nan)
    empty = ~(images > _FOREGROUND).any(axis=_PLANE, keepdims=True)
    quartiles = np.nanpercentile(np.where(empty, 0.0, foreground), QUARTILES, axis=_PLANE)
    maps += [np.broadcast_to(q[..., None, None], images.shape) for q in quartiles.astype(np.float32)]
    shape = (count, 1, height, width)
    row, column = np.linspace(0, 1, height)[:, None], np.linspace(0, 1, width)[None, :]
    maps += [np.broadcast_to(place, shape) for place in (row, column, np.reshape(planes, (-1, 1, 1, 1)))]
    return np.moveaxis(np.concatenate(maps, axis=1, dtype=np.float32), 1, -1)
