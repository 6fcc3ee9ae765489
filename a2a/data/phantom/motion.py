"""What registration leaves: each modality lies a fraction of a millimetre beside the first.

Explained in the chapter "The data".
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import affine_transform

from a2a.data.phantom.grid import Y_CENTRE, Grid
from a2a.data.phantom.pose import rotation

CENTRE = (0.0, Y_CENTRE, 18.0)  # of the turn, mm


@dataclass(frozen=True)
class Motion:
    """A small rigid motion of the head.

    Parameters
    ----------
    shift
        Along x, y, z in mm.
    turn
        About x, y, z (in this order) through the centre of the head, in degrees.
    """

    shift: tuple[float, float, float]
    turn: tuple[float, float, float]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Motion":
        """Draw SD 0.4 mm along and 0.4 degrees about each axis."""
        shift, turn = rng.normal(0.0, 0.4, 3), rng.normal(0.0, 0.4, 3)
        return cls(tuple(map(float, shift)), tuple(map(float, turn)))

    @property
    def matrix(self) -> np.ndarray:
        """Where a point of the head goes in the world, float64 (4, 4) in mm."""
        centre, matrix = np.array(CENTRE), np.eye(4)
        matrix[:3, :3] = rotation(*np.deg2rad(self.turn))
        matrix[:3, 3] = centre + self.shift - matrix[:3, :3] @ centre
        return matrix

    def apply(self, volume: np.ndarray, grid: Grid) -> np.ndarray:
        """Move what a volume (Z, H, W) shows, by linear interpolation; beyond the edge it is continued."""
        back = np.linalg.inv(grid.affine) @ np.linalg.inv(self.matrix) @ grid.affine
        return affine_transform(volume, back[:3, :3], back[:3, 3], order=1, mode="nearest")
