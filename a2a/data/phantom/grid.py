"""The voxel grid: where the pixels lie in the world, and how images refer to it.

Slices are in radiological display: row 0 anterior, column 0 at the patient's right, slice 0 lowest.
World coordinates are RAS+ in mm: x to the right, y anterior, z superior.
"""

from dataclasses import dataclass

import numpy as np

FIELD_OF_VIEW = 224.0
COARSEST = 128  # pixels per side below which geometry is not evaluated but averaged
Y_CENTRE = -8.0


@dataclass(frozen=True)
class Grid:
    """A stack of square slices.

    Parameters
    ----------
    size
        Pixels per side.
    dz, z_lo, z_hi
        Distance of the planes, first plane and upper limit (exclusive) in mm.
    """

    size: int
    dz: float
    z_lo: float
    z_hi: float

    @property
    def pixel(self) -> float:
        """Side of a pixel in mm."""
        return FIELD_OF_VIEW / self.size

    @property
    def planes(self) -> np.ndarray:
        """Heights z of the slices in mm, float64 (Z,)."""
        return np.arange(self.z_lo, self.z_hi, self.dz, dtype=np.float64)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Z, H, W)."""
        return len(self.planes), self.size, self.size

    @property
    def fine(self) -> "Grid":
        """The grid on which geometry is evaluated: this one, or one of 128 pixels per side."""
        return Grid(max(self.size, COARSEST), self.dz, self.z_lo, self.z_hi)

    @property
    def axes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """World coordinates along the array axes: z (Z,), y (H,), x (W,), in mm."""
        steps = -(np.arange(self.size) - (self.size - 1) / 2.0) * self.pixel
        return self.planes, steps + Y_CENTRE, steps

    @property
    def affine(self) -> np.ndarray:
        """Map from array indices (slice, row, column, 1) to world (x, y, z, 1) in mm, float64 (4, 4)."""
        edge = (self.size - 1) / 2.0 * self.pixel
        return np.array(
            [
                [0.0, 0.0, -self.pixel, edge],
                [0.0, -self.pixel, 0.0, edge + Y_CENTRE],
                [self.dz, 0.0, 0.0, self.z_lo],
                [0.0, 0.0, 0.0, 1.0],
            ]
        )

    def points(self) -> np.ndarray:
        """World coordinates of all voxels, float32 (3, Z*H*W), x first."""
        z, y, x = np.meshgrid(*self.axes, indexing="ij")
        return np.stack([x.ravel(), y.ravel(), z.ravel()]).astype(np.float32)
