"""From the volumes of a subject to the slices of a stack in image units [0, 1].

Explained in the chapter "The data".
"""

from collections.abc import Iterable, Mapping

import numpy as np

from a2a.common.errors import InputError
from a2a.data.phantom.acquisition import ACQUISITIONS
from a2a.data.phantom.config import PRESETS
from a2a.data.phantom.subject import Subject
from a2a.data.volumes.normalisation import Normalisation
from a2a.forward.stack import Modality, StackSpec

CT_WINDOW = (-1000.0, 1600.0)  # HU
ADC_WINDOW = (0.0, 3.2)  # 1e-3 mm^2/s
PET_PERCENTILE = 99.9
SLICE_RANGE = (-24.0, 64.0)  # mm; the transverse slices with most of the brain


def stack_spec(pet_scale: float, preset: str = "any2all") -> StackSpec:
    """Return the stack that a preset fills: names, kinds, units and windows of its modalities.

    Parameters
    ----------
    pet_scale
        SUVR that becomes 1, from `pet_constant`; matters where there is PET.
    preset
        A key of `PRESETS`.
    """
    return StackSpec(tuple(_modality(name, pet_scale) for name in PRESETS[preset].modalities))


def _modality(name: str, pet_scale: float) -> Modality:
    if name == "ADC":
        return Modality(name, "MR", "1e-3 mm^2/s", ADC_WINDOW)
    kind = ACQUISITIONS[name].kind
    about = {"MR": ("a.u.", None), "CT": ("HU", CT_WINDOW), "PET": ("SUVR", (0.0, float(pet_scale)))}
    return Modality(name, kind, *about[kind])


def pet_constant(subjects: Iterable[Subject]) -> float:
    """Return the 99.9th percentile of the SUVR, pooled over the brain voxels of the subjects.

    Use the training set only; subjects may be generated on the fly.

    Raises
    ------
    InputError
        If there are no subjects.
    """
    values = [s.images["PET"][s.brain_mask] for s in subjects]
    if not values:
        raise InputError("The PET constant needs at least one training subject.")
    return float(np.percentile(np.concatenate(values).astype(np.float64), PET_PERCENTILE))


def slice_indices(planes: np.ndarray, n_slices: int) -> np.ndarray:
    """Return indices, int (n_slices,), of planes equally spaced in z between -24 and 64 mm.

    Rounded to the nearest plane where the spacing does not fit the grid.

    Raises
    ------
    InputError
        If fewer than 2 slices or more than there are planes in that range are asked for.
    """
    low, high = SLICE_RANGE
    inside = np.flatnonzero((planes >= low - 1e-6) & (planes <= high + 1e-6))
    if not 2 <= n_slices <= len(inside):
        raise InputError(
            f"n_slices must be between 2 and {len(inside)} (planes from {low:g} to {high:g} mm), got {n_slices}."
        )
    return inside[np.rint(np.linspace(0, len(inside) - 1, n_slices)).astype(int)]


def stack_slices(subject: Subject, n_slices: int, pet_scale: float) -> np.ndarray:
    """Return a subject's slices as stack samples, float32 (n_slices, modalities, H, W) in [0, 1].

    MR is divided by the 99.5th percentile of its whole volume (of the brain where the skull is stripped), CT is
    ``(HU + 1000) / 2600``, ADC / 3.2, PET ``SUVR / pet_scale``, all clipped.

    Parameters
    ----------
    subject
        Channels follow the order of its images.
    n_slices
        As for `slice_indices`.
    pet_scale
        From `pet_constant`.
    """
    return stack_images(subject.images, subject.planes, n_slices, pet_scale)


def stack_images(images: Mapping[str, np.ndarray], planes: np.ndarray, n_slices: int, pet_scale: float) -> np.ndarray:
    """Return slices of volumes as stack samples, as `stack_slices` does.

    Parameters
    ----------
    images
        Modality to float32 (Z, H, W), in physical units; channels follow their order.
    planes
        Heights z in mm, (Z,).
    n_slices, pet_scale
        As for `stack_slices`.
    """
    chosen = slice_indices(planes, n_slices)
    scales = {name: Normalisation.fit(_modality(name, pet_scale), v) for name, v in images.items()}
    return np.stack([scale.forward(images[name][chosen]) for name, scale in scales.items()], axis=1)
