"""Coil sensitivity maps of measured k-space: from a file, or estimated from its fully sampled centre by ESPIRiT.

Explained in the chapter "Your own NIfTI files".
"""

from pathlib import Path

import numpy as np
import sigpy.mri

from a2a.common.errors import InputError
from a2a.common.progress import progress
from a2a.data.kspace.arrays import read_array
from a2a.data.kspace.grid import centred, transform

KERNEL = 6
LARGEST, SMALLEST = 24, 12
_THRESHOLD, _ITERATIONS = 0.02, 60


def read_maps(path: Path, name: str) -> np.ndarray:
    """Read maps on the prior's grid from ``.npy``: complex ``(coils, H, W)`` or ``(slices, coils, H, W)``.

    Their phase must be that of the image as it is measured, less the image's own, which is taken as real.

    Raises
    ------
    InputError
        If the file is missing, damaged, or holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; coil maps of {name} are a .npy file.")
    maps = read_array(path)
    if not np.iscomplexobj(maps) or maps.ndim not in (3, 4):
        wanted = "one complex array (coils, H, W) or (slices, coils, H, W)"
        raise InputError(f"{path}: coil maps of {name} must be {wanted}.")
    return maps.astype(np.complex64)


def estimated_maps(data: np.ndarray, mask: np.ndarray, name: str) -> np.ndarray:
    """Estimate the maps of each slice by ESPIRiT, with the phase of the image.

    ESPIRiT finds each pixel's coil vector, ``sum_c |s_c|^2 = 1``, but not its phase. The images of this package are
    real, so the phase is chosen as that of the image itself, smoothed: of ``sum_c conj(s_c) x_c`` with x_c from the
    calibration lines under a Hann window. What is measured is then, up to noise, a positive image times these maps.

    Parameters
    ----------
    data
        k-space ``(N, coils, H, W)`` on the prior's grid, zero where not sampled.
    mask
        Boolean ``(H,)`` or ``(H, W)``; its centre must be sampled fully.
    name
        The modality, for messages.

    Returns
    -------
    numpy.ndarray
        complex64 ``(N, coils, H, W)``.

    Raises
    ------
    InputError
        If fewer than 12 central lines are sampled, or a slice is empty.

    References
    ----------
    Uecker et al., Magn. Reson. Med. 71 (2014), implemented in SigPy.
    """
    width = calibration_width(mask, data.shape[2:])
    if width < SMALLEST:
        raise InputError(
            f"{width} central lines are sampled fully, too few to estimate coil maps from (at least {SMALLEST}); "
            f"acquire more or give maps of {name}."
        )
    return np.stack([_of_slice(part, width) for part in progress(data, f"coil maps of {name}")])


def calibration_width(mask: np.ndarray, shape: tuple[int, int]) -> int:
    """Side of the largest central square that is sampled fully, at most 24."""
    sampled = np.broadcast_to(mask.reshape(shape[0], -1), shape)
    for width in range(min(LARGEST, *shape), 0, -1):
        if centred(centred(sampled, width, 0), width, 1).all():
            return width
    return 0


def _of_slice(data: np.ndarray, width: int) -> np.ndarray:
    """Maps ``(coils, H, W)`` of one slice."""
    if not data.any():
        raise InputError("a slice holds nothing but zeros, so it has no coil maps; leave it out.")
    calibration = sigpy.mri.app.EspiritCalib(
        data, width, _THRESHOLD, KERNEL, crop=0.0, max_iter=_ITERATIONS, show_pbar=False
    )
    maps = np.nan_to_num(calibration.run())
    window = np.hanning(width + 2)[1:-1].astype(np.float32)
    centre = centred(centred(data, width, 1), width, 2) * window[:, None] * window
    smooth = centred(centred(centre, data.shape[1], 1), data.shape[2], 2)
    images = transform(transform(smooth, 1, inverse=True), 2, inverse=True)
    image = (maps.conj() * images).sum(axis=0)
    return (maps * np.exp(1j * np.angle(image))).astype(np.complex64)
