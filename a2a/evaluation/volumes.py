"""How good a completed volume of a real head is: as it is, after the best affine map, in the brain and in its lesions.

A wrong scale of a whole volume and a wrong picture are different faults; the affine map tells them apart. Explained in
the chapter "Your own NIfTI files".
"""

from collections.abc import Mapping

import numpy as np
from scipy.ndimage import binary_dilation

from a2a.common.errors import InputError
from a2a.evaluation.metrics import IDENTICAL_DB

FINE = 1 / 6  # cycles a pixel above which structures count as fine, a third of the highest
RING = 3  # pixels around a lesion that it is compared with


def best_affine(estimate: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """Return slope and offset of the map of an estimate that comes closest to the truth.

    Parameters
    ----------
    estimate, truth
        Volumes of one shape, image units.
    mask
        Where it is measured, bool, of the same shape.

    Raises
    ------
    InputError
        If the shapes differ or the mask is empty.
    """
    if not estimate.shape == truth.shape == mask.shape or not mask.any():
        shapes = f"{estimate.shape} and {truth.shape}"
        raise InputError(f"An affine map needs volumes of one shape, got {shapes}, and a mask that is not empty.")
    x, y = (volume[mask].astype(np.float64) for volume in (estimate, truth))
    slope = np.cov(x, y, bias=True)[0, 1] / max(x.var(), 1e-12)
    return float(slope), float(y.mean() - slope * x.mean())


def volume_measures(
    estimate: np.ndarray, truth: np.ndarray, brain: np.ndarray, lesions: np.ndarray | None = None
) -> Mapping[str, float]:
    """Compare a completed volume with the true one.

    Parameters
    ----------
    estimate, truth
        ``(N, H, W)``, slices from below upwards, image units; clipped to [0, 1].
    brain
        Where the head is, bool ``(N, H, W)``.
    lesions
        Where the lesions are, bool ``(N, H, W)``; None where nobody marked them.

    Returns
    -------
    Mapping
        ``psnr`` over whole slices, ``psnr_affine`` after the best affine map of the brain, ``psnr_brain``, and where
        there are lesions ``psnr_lesions`` and ``lesion_contrast`` (lesions over what surrounds them, as a share of the
        true one); ``fine`` (energy of fine structures) and ``jump`` (of the brain's mean between neighbouring slices),
        as shares of the true ones, NaN where those are 0.

    Raises
    ------
    InputError
        If the shapes differ, or there is no brain.
    """
    x, y = (np.clip(np.asarray(volume, np.float64), 0, 1) for volume in (estimate, truth))
    slope, offset = best_affine(x, y, brain)
    mapped = np.where(brain, np.clip(slope * x + offset, 0, 1), x)
    found = {
        "psnr": _psnr(x, y),
        "psnr_affine": _psnr(mapped, y),
        "psnr_brain": _psnr(x[brain], y[brain]),
        "fine": _share(fine_energy(x), fine_energy(y)),
        "jump": _share(jump(x, brain), jump(y, brain)),
    }
    if lesions is not None and lesions.any():
        found["psnr_lesions"] = _psnr(x[lesions], y[lesions])
        found["lesion_contrast"] = _share(contrast(x, lesions, brain), contrast(y, lesions, brain))
    return found


def fine_energy(volume: np.ndarray) -> float:
    """Energy of structures above `FINE` cycles a pixel in the slices of a volume ``(N, H, W)``.

    Parameters
    ----------
    volume
        Image units.
    """
    down, across = (np.fft.fftfreq(side) for side in volume.shape[1:])
    fine = np.hypot(down[:, None], across) > FINE
    return float((np.abs(np.fft.fft2(volume, norm="ortho")) ** 2)[:, fine].sum())


def jump(volume: np.ndarray, brain: np.ndarray) -> float:
    """Mean absolute difference between neighbouring slices of their mean over the brain.

    Parameters
    ----------
    volume
        ``(N, H, W)``, image units.
    brain
        Where the head is, bool ``(N, H, W)``; a pair of slices is compared where both show it.
    """
    both = brain[1:] & brain[:-1]
    pairs = [(a[m].mean(), b[m].mean()) for a, b, m in zip(volume[1:], volume[:-1], both, strict=True) if m.any()]
    return float(np.mean([abs(a - b) for a, b in pairs])) if pairs else float("nan")


def contrast(volume: np.ndarray, lesions: np.ndarray, brain: np.ndarray) -> float:
    """Mean of lesions over the mean of what lies within `RING` pixels around them.

    Parameters
    ----------
    volume
        ``(N, H, W)``, image units.
    lesions, brain
        Bool ``(N, H, W)``.
    """
    square = np.ones((1, 2 * RING + 1, 2 * RING + 1), bool)
    around = binary_dilation(lesions, square) & ~lesions & brain
    return float(volume[lesions].mean() / volume[around].mean())


def _share(found: float, true: float) -> float:
    return found / true if true else float("nan")


def _psnr(x: np.ndarray, y: np.ndarray) -> float:
    error = float(np.mean((x - y) ** 2))
    return min(-10 * np.log10(error), IDENTICAL_DB) if error > 0 else IDENTICAL_DB
