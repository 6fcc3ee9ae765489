"""How a hospital scans: its field, its protocol, its scanners, and the law by which its images are stored.

Presets scan at `USUAL`; those of other hospitals differ from it as hospitals do, so that models meet the same tissue in
other grey values. Explained in the chapter "The data".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from a2a.data.phantom.acquisition import ACQUISITIONS, Acquisition
from a2a.data.phantom.signal import SEQUENCES, Flair, Relaxation, Sequence, SpinEcho

FLUID = 2500.0
"""T1 in ms above which it is that of water, which hardly depends on the field."""


@dataclass(frozen=True)
class Site:
    """A hospital.

    Parameters
    ----------
    sequences, acquisitions
        Of modalities that are acquired otherwise than in `a2a.data.phantom.signal.SEQUENCES` and
        `a2a.data.phantom.acquisition.ACQUISITIONS`.
    t1
        T1 of tissue, relative to that at 3 T; at 1.5 T about 0.75 (it grows as the cube root of the field).
    gamma
        Exponent of the stored magnitude, relative to the median of white matter; 1 stores it as it is. Maps of
        physical quantities are not touched.
    """

    sequences: Mapping[str, Sequence] = field(default_factory=dict)
    acquisitions: Mapping[str, Acquisition] = field(default_factory=dict)
    t1: float = 1.0
    gamma: float = 1.0

    def acquisition(self, name: str) -> Acquisition:
        """Return how a modality is acquired here."""
        return self.acquisitions.get(name, ACQUISITIONS[name])

    def sequence(self, name: str) -> Sequence:
        """Return the pulse sequence of a modality here, in this field."""
        sequence = self.sequences.get(name, SEQUENCES[name])
        return sequence if self.t1 == 1.0 else lambda tissue: sequence(self._in_field(tissue))

    def _in_field(self, tissue: Relaxation) -> Relaxation:
        t1 = np.asarray(tissue.t1)
        return tissue._replace(t1=np.where(t1 < FLUID, np.float32(self.t1) * t1, t1).astype(t1.dtype))

    def stored(self, image: np.ndarray, white: float) -> np.ndarray:
        """Return the image as it is stored, float32.

        Parameters
        ----------
        image
            Magnitude.
        white
            Median of white matter, which keeps its value.
        """
        if self.gamma == 1.0:
            return image
        return np.float32(white) * (np.abs(image) / np.float32(white)) ** np.float32(self.gamma)


USUAL = Site()
"""3 T, with the protocol of the modules `signal` and `acquisition`."""

OLDER = Site(
    sequences={
        "T1SE": SpinEcho(tr=480.0, te=14.0),
        "T1GD": SpinEcho(tr=480.0, te=14.0),
        "T2": SpinEcho(tr=3800.0, te=85.0, train=130.0),
        "T2FLAIR": Flair(tr=8000.0, ti=2350.0, te=120.0),
        "B0": SpinEcho(tr=4500.0, te=100.0),
        "DWI": SpinEcho(tr=4500.0, te=100.0, b=1000.0),
    },
    acquisitions={
        "T1SE": Acquisition(5, "MR", 5.0, 1.3, snr=22.0),
        "T1GD": Acquisition(6, "MR", 5.0, 1.3, snr=22.0),
        "T2": Acquisition(7, "MR", 5.0, 1.2, snr=25.0),
        "T2FLAIR": Acquisition(1, "MR", 5.0, 1.3, snr=20.0),
        "B0": Acquisition(10, "MR", 5.0, 2.6, snr=24.0, series=11),
        "DWI": Acquisition(11, "MR", 5.0, 2.6, snr=16.0),
    },
    t1=0.75,
    gamma=0.75,
)
"""1.5 T, thick slices, much noise, and images whose dark parts are lifted."""

RESEARCH = Site(
    sequences={
        "T1SE": SpinEcho(tr=750.0, te=7.0),
        "T2": SpinEcho(tr=6500.0, te=120.0, train=80.0),
        "T2FLAIR": Flair(tr=10000.0, ti=2600.0, te=75.0),
    },
    acquisitions={
        "T1SE": Acquisition(5, "MR", 1.0, 0.8, snr=60.0),
        "T2": Acquisition(7, "MR", 2.0, 0.7, snr=65.0),
        "T2FLAIR": Acquisition(1, "MR", 2.0, 0.8, snr=60.0),
    },
    gamma=1.3,
)
"""3 T, thin slices, little noise, heavier weighting, and images whose bright parts are stretched."""
