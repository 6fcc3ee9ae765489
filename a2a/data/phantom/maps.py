"""What is where: tissue labels, lesion labels and fractions on the grid of the images."""

from dataclasses import dataclass

import numpy as np

from a2a.data.phantom.acquisition import pool
from a2a.data.phantom.anatomy import Anatomy
from a2a.data.phantom.tissue import CLASSES


@dataclass(frozen=True, eq=False)
class Maps:
    """Tissue on the grid of the images.

    Parameters
    ----------
    labels : uint8 (Z, H, W)
        Class with the largest fraction, the first of equals.
    lesion : uint8 (Z, H, W)
        Number of the lesion class that fills more than half of the voxel, else 0.
    white : float32 (Z, H, W)
        Fraction of white matter.
    brain : bool (Z, H, W)
        Inside of the skull without its outer 1.5 mm and the venous sinuses near it.
    fractions : float32 (30, Z, H, W)
        All fractions; None if not kept.
    """

    labels: np.ndarray
    lesion: np.ndarray
    white: np.ndarray
    brain: np.ndarray
    fractions: np.ndarray | None


def tissue_maps(anatomy: Anatomy, size: int, lesions: dict[str, int], keep_fractions: bool) -> Maps:
    """Pool an anatomy to `size` pixels per side, one class at a time so that memory stays small.

    Parameters
    ----------
    anatomy
        The subject.
    size
        Pixels per side of the images.
    lesions
        Classes of the lesion map and their numbers in it.
    keep_fractions
        Whether to keep the fractions of all classes.
    """
    largest = labels = lesion = white = None
    kept = []
    for i, (name, values) in enumerate(zip(CLASSES, anatomy.fractions, strict=True)):
        share = pool(anatomy.volume(values, float(name == "air")), size)
        if i == 0:
            largest, labels, lesion = share.copy(), np.zeros(share.shape, np.uint8), np.zeros(share.shape, np.uint8)
        labels[share > largest] = i
        np.maximum(largest, share, out=largest)
        if name in lesions:
            lesion[share > 0.5] = lesions[name]
        if name == "wm":
            white = share
        if keep_fractions:
            kept.append(share)
    brain = pool(anatomy.brain_mask, size) > 0.5
    return Maps(labels, lesion, white, brain, np.stack(kept) if keep_fractions else None)
