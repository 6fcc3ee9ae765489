"""From physical values to image units in [0, 1] and back.

MR has no absolute scale, so each subject is scaled by itself; CT and PET have units and one window for all subjects.
Explained in the chapter "Your own NIfTI files".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from a2a.common.errors import InputError
from a2a.data.volumes.nifti import Volume
from a2a.forward.stack import LARGEST, Modality

NEGATIVE, OUTSIDE, BONE_HU = 0.05, 0.5, 300.0
"""Largest share of negative voxels of an MR image, of the middle of an image outside its window, and what is bone."""
AIR_HU, NO_AIR_HU = -900.0, -300.0
"""A window that goes down to the first shows air; an image above the second everywhere has none."""
_MARGIN, _RINGING = 0.05, 0.01


@dataclass(frozen=True)
class Normalisation:
    """Linear map of physical values to image units, ``clip((x - low) / (high - low), 0, 1)``.

    Parameters
    ----------
    low, high
        Physical values that become 0 and 1.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (-LARGEST <= self.low < self.high <= LARGEST and self.high - self.low >= 1 / LARGEST):
            raise InputError(f"A normalisation needs finite low < high, got {self.low} and {self.high}.")

    @classmethod
    def fit(
        cls, modality: Modality, data: np.ndarray, percentile: float = 99.5, becomes: float = 1.0
    ) -> "Normalisation":
        """Take the modality's window; without one, 0 and what a percentile of this subject's positive voxels says.

        Negative values (ringing of an earlier interpolation) thus count as background.

        Parameters
        ----------
        modality
            With its window, or None.
        data
            The volume, in the unit of its file.
        percentile, becomes
            Of the positive voxels, and the image units that it becomes; see `statistic`.

        Raises
        ------
        InputError
            If there is no window and no positive voxel.
        """
        if modality.window is not None:
            return cls(*map(float, modality.window))
        positive = data[data > 0]
        if positive.size == 0:
            raise InputError(f"{modality.name} has no positive voxel, so it cannot be scaled by a percentile.")
        return cls(0.0, float(np.percentile(positive.astype(np.float64), percentile)) / becomes)

    def forward(self, data: np.ndarray) -> np.ndarray:
        """Physical values to ``float32`` in [0, 1]."""
        scaled = (np.asarray(data, dtype=np.float32) - self.low) / (self.high - self.low)
        return np.clip(scaled, 0.0, 1.0).astype(np.float32)

    def inverse(self, data: np.ndarray) -> np.ndarray:
        """Image units to physical values; exact for what was not clipped."""
        return (self.low + np.asarray(data, dtype=np.float32) * (self.high - self.low)).astype(np.float32)


def statistic(how: Mapping[str, Any], name: str) -> tuple[float, float]:
    """Return which percentile of a subject's positive voxels sets the scale of a modality, and what it becomes.

    Parameters
    ----------
    how
        ``preprocessing`` of a store or of weights: the ``percentile`` that becomes 1, and the ``medians`` of those
        modalities whose median becomes something else.
    name
        Of the modality.
    """
    medians = how.get("medians") or {}
    return (50.0, float(medians[name])) if name in medians else (float(how["percentile"]), 1.0)


def require_plausible(volume: Volume, modality: Modality, scale: Normalisation) -> None:
    """Refuse values that cannot be what the modality's unit says: z-scored MR, CT as HU + 1024, PET in Bq/ml.

    An MR image may have 5 % negative voxels, ringing left out. Of an image with a window, half of the middle (the
    middle half along each axis) may lie outside; of CT, half may be bone.

    Parameters
    ----------
    volume
        The image, in the unit of its file.
    modality
        With its kind and window.
    scale
        What becomes 0 and 1.

    Raises
    ------
    InputError
        Naming the file, the share and the remedy.
    """
    data, unit = volume.data, modality.unit
    if modality.window is None:
        seen = np.abs(data) > _RINGING * scale.high
        share = np.count_nonzero(seen & (data < 0)) / max(np.count_nonzero(seen), 1)
        if share > NEGATIVE:
            what = f"of its voxels are negative, as those of no {modality.name} are"
            raise InputError(f"{volume.name}: {share:.0%} {what}; give the image as it was, not z-scored.")
        return
    middle = data[tuple(slice(n // 4, n - n // 4) for n in data.shape)]
    margin = _MARGIN * (scale.high - scale.low)
    if modality.kind == "CT" and unit == "HU" and scale.low <= AIR_HU and (lowest := float(data.min())) > NO_AIR_HU:
        raise InputError(
            f"{volume.name}: its lowest value is {lowest:g}, but air is -1000 HU; give {modality.name} in HU with the "
            "air around the head."
        )
    bone = BONE_HU if modality.kind == "CT" and unit == "HU" else np.inf
    for edge, outside, word in (
        (scale.high, middle > scale.high + margin, "above"),
        (scale.low, middle < scale.low - margin, "below"),
        (bone, middle > bone, "above"),
    ):
        if (share := float(outside.mean())) > OUTSIDE:
            remedy = "it may be HU + 1024, so subtract 1024" if edge == bone else f"bring it to {unit} first"
            where = f"{word} {edge:g} {unit}, where no {modality.name} is"
            raise InputError(f"{volume.name}: {share:.0%} of the middle of the image lies {where}; {remedy}.")
