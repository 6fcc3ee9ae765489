"""k-space that is undersampled along both axes, as of a 3-D scan, brought to the prior's grid.

The conventions are those of `a2a.data.kspace.grid`. No axis is a complete readout, so no image is known along either:
all samples stay at the frequencies that they have (`a2a.forward.operators.PlaneSense`).
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from a2a.common.errors import InputError
from a2a.data.kspace.frame import Grid, framed
from a2a.data.kspace.grid import covered_pixels, ramp, sampled_frequencies
from a2a.data.kspace.scan import ScannerKSpace
from a2a.forward.measured import KSpacePlane


@dataclass(frozen=True, eq=False)
class PlacedPlane:
    """What was placed: k-space with maps that see nothing outside of its field of view, and where it lies.

    Parameters
    ----------
    kspace
        On the grid, without maps of its own: one coil each that sees everything.
    covered
        Boolean ``(N, H, W)``: pixels inside the scan's field of view.
    affine
        (row, column, slice) to RAS millimetres, ``(4, 4)``.
    order
        Which slice of the scan became which, ``(N,)``.
    """

    kspace: KSpacePlane
    covered: np.ndarray
    affine: np.ndarray | None
    order: np.ndarray

    def with_maps(self, maps: np.ndarray) -> KSpacePlane:
        """The measurement with coil maps, complex ``(coils, H, W)`` or ``(N, coils, H, W)``."""
        if not self.covered.all():
            maps = maps * (self.covered[:, None] if maps.ndim == 4 else self.covered.any(axis=0))
        return replace(self.kspace, maps=torch.from_numpy(np.ascontiguousarray(maps)))


def plane_to_grid(scan: ScannerKSpace, mask: np.ndarray, grid: Grid) -> PlacedPlane:
    """Bring k-space with two phase encodings to the prior's grid.

    Parameters
    ----------
    scan
        X and Y are both phase encodings.
    mask
        Boolean ``(X, Y)``.
    grid
        Where to.

    Raises
    ------
    InputError
        If slices, directions or field of view do not fit, or the noise level is not known.
    """
    if scan.noise_std is None:
        raise InputError("its noise level is unknown; add noise_std.")
    frame = framed(scan.axes, scan.directions, scan.centres, len(scan.data), grid)
    pixel, size = grid.field_of_view_mm / grid.size, grid.size
    turned = frame.letters[1] in "LR"  # Y runs along the columns of the grid
    data, noise, covered, each = scan.data[frame.order], scan.noise_std, [], []
    for axis, along in enumerate((0, 1) if turned else (1, 0)):
        length, fov, offsets = scan.data.shape[2 + axis], scan.field_of_view_mm[axis], frame.offsets[:, along]
        k, held = sampled_frequencies(length, fov, frame.signs[axis], pixel)
        factor = fov / (pixel * np.sqrt(length * size))
        data = ramp(np.compress(held, data, axis=2 + axis), k[held] / pixel, offsets, 2 + axis) * np.float32(factor)
        mask, noise = np.compress(held, mask, axis=axis), noise * factor
        covered.append(covered_pixels(size, pixel, fov, offsets))
        each.append(torch.from_numpy(k[held]))
    if not mask.any():
        raise InputError("none of its samples lie within the frequencies of the prior's grid.")
    if not turned:
        data, mask, covered, each = data.swapaxes(2, 3), mask.T, covered[::-1], each[::-1]
    seen = covered[0][:, :, None] & covered[1][:, None, :]
    if seen.mean() < 0.5:
        raise InputError(
            f"its field of view covers {seen.mean():.0%} of the window of {grid.field_of_view_mm:g} mm that is "
            "completed; its header places it elsewhere than the given images."
        )
    everything = torch.ones(data.shape[1], size, size, dtype=torch.complex64)
    arrays = (torch.from_numpy(np.ascontiguousarray(a)) for a in (data * mask, mask))
    return PlacedPlane(KSpacePlane(*arrays, *each, everything, float(noise)), seen, frame.affine, frame.order)
