"""Which voxels of a subject's images are the patient, and which planes every series has seen.

Explained in the chapter "From a scanner's files to a slice store".
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

from a2a.common.errors import InputError
from a2a.data.volumes.nifti import Volume

SEEN = 0.99


def find_head(volume: Volume) -> np.ndarray:
    """Mask of the head: the largest piece above a third of Otsu's threshold, without holes in its planes.

    Otsu's threshold parts fat and white matter from the rest; a third of the way to it from the darkest voxel still
    lies well above the noise of air.

    Returns
    -------
    numpy.ndarray
        ``bool (X, Y, Z)``. It says where the head is; it is no brain mask.

    Raises
    ------
    InputError
        If nothing stands out.
    """
    darkest = volume.data.min()
    bright = ndimage.binary_opening(volume.data > darkest + (threshold_otsu(volume.data) - darkest) / 3, iterations=1)
    pieces, count = ndimage.label(bright)
    if count == 0:
        raise InputError(f"{volume.name} shows no head: nothing stands out from its background.")
    head = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    return np.stack([ndimage.binary_fill_holes(head[:, :, k]) for k in range(head.shape[2])], axis=2)


def skull_stripped(volumes: Sequence[Volume]) -> np.ndarray:
    """Mask of the brain in skull-stripped images: where any of them is positive."""
    return np.any([v.data > 0 for v in volumes], axis=0)


def known_background(volumes: Sequence[Volume]) -> np.ndarray:
    """Mask of what skull stripping left out: where every image is exactly 0, but for holes in a plane of the brain.

    Parameters
    ----------
    volumes
        Images of one subject on one grid, as they were read; NaN is background, too.

    Returns
    -------
    numpy.ndarray
        ``bool (X, Y, Z)``; hardly a voxel of it is set where an image shows a whole head with the noise of air.
    """
    shown = np.any([np.nan_to_num(v.data) != 0 for v in volumes], axis=0)
    return ~np.stack([ndimage.binary_fill_holes(shown[:, :, k]) for k in range(shown.shape[2])], axis=2)


def drop_unseen_planes(foreground: np.ndarray, seen: Sequence[np.ndarray]) -> tuple[np.ndarray, int]:
    """Empty the planes of a mask that some series did not see.

    A series with fewer or tilted planes covers only part of the reference; a plane counts as seen if at least 99 % of
    its foreground lies inside the field of view of every series.

    Parameters
    ----------
    foreground
        ``bool (X, Y, Z)``.
    seen
        Per series whether each voxel lies in its field of view.

    Returns
    -------
    tuple
        The mask without those planes, and how many were emptied.
    """
    size = foreground.sum(axis=(0, 1))
    complete = np.ones(foreground.shape[2], dtype=bool)
    for inside in seen:
        complete &= (foreground & inside).sum(axis=(0, 1)) >= SEEN * size
    return foreground & complete, int((~complete & (size > 0)).sum())
