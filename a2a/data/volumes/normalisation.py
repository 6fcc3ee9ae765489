"""From physical values to image units in [0, 1] and back.

MR has no absolute scale, so each subject is scaled by itself; CT and PET have units and one window for all subjects.
Explained in the chapter "Your own NIfTI files".
"""

import math
from dataclasses import dataclass

import numpy as np

from a2a.common.errors import InputError
from a2a.forward.stack import Modality


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
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.high > self.low):
            raise InputError(f"A normalisation needs finite low < high, got {self.low} and {self.high}.")

    @classmethod
    def fit(cls, modality: Modality, data: np.ndarray, percentile: float = 99.5) -> "Normalisation":
        """Take the modality's window; without one, 0 and the percentile of this subject's positive voxels.

        Negative values (ringing of an earlier interpolation) thus count as background.

        Parameters
        ----------
        modality
            With its window, or None.
        data
            The volume, in the unit of its file.
        percentile
            Of the positive voxels, which becomes 1.

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
        return cls(0.0, float(np.percentile(positive.astype(np.float64), percentile)))

    def forward(self, data: np.ndarray) -> np.ndarray:
        """Physical values to ``float32`` in [0, 1]."""
        scaled = (np.asarray(data, dtype=np.float32) - self.low) / (self.high - self.low)
        return np.clip(scaled, 0.0, 1.0).astype(np.float32)

    def inverse(self, data: np.ndarray) -> np.ndarray:
        """Image units to physical values; exact for what was not clipped."""
        return (self.low + np.asarray(data, dtype=np.float32) * (self.high - self.low)).astype(np.float32)
