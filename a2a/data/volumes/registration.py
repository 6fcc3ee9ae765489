"""Bringing the series of one head onto one grid: rigid registration with ANTsPy, and one interpolation.

Explained in the chapter "From a scanner's files to a slice store".
"""

import os
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

import numpy as np
from scipy.ndimage import affine_transform
from scipy.spatial.transform import Rotation

from a2a.common.errors import InputError
from a2a.data.volumes.nifti import Volume

FINEST_MM = (
    1.0  # registration sees copies whose voxels are at least this large; finer ones cost time and change nothing
)
BINS = 64
_SEED = 1
_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # ITK's world has x to the left and y to the back


@dataclass(frozen=True)
class Alignment:
    """How one series was brought onto the grid of the reference.

    Parameters
    ----------
    matrix
        ``float64 (4, 4)``: from a point of the reference to the same tissue in the series, both in RAS+ millimetres.
    information_before, information_after
        Mutual information with the reference in nats, with the scanner's own coordinates and with `matrix`.
    """

    matrix: np.ndarray
    information_before: float
    information_after: float

    def to_dict(self) -> dict:
        """JSON form for the manifest; angle and shift say what the matrix does at the origin of the world."""
        angle = np.degrees(Rotation.from_matrix(self.matrix[:3, :3]).magnitude())
        return {
            "matrix": np.round(self.matrix, 6).tolist(),
            "angle_deg": round(float(angle), 3),
            "shift_mm": round(float(np.linalg.norm(self.matrix[:3, 3])), 3),
            "mutual_information_before": round(self.information_before, 4),
            "mutual_information_after": round(self.information_after, 4),
        }


def antspy_version() -> str | None:
    """Version of the installed ANTsPy; None without it."""
    try:
        return version("antspyx")
    except PackageNotFoundError:
        return None


def align(reference: Volume, moving: Volume) -> Alignment:
    """Register a series of the same head rigidly to the reference.

    Mattes' mutual information over four resolutions, by `ants.registration`, from whichever start fits better: the
    scanner's coordinates, or centres of mass on each other. One thread and a fixed seed make it repeatable on one
    machine.

    Raises
    ------
    InputError
        If ANTsPy is not installed, or finds no transform.
    """
    before = _information(reference, moving, np.eye(4))
    centred = np.eye(4)
    centred[:3, 3] = _centre_of_mass(moving) - _centre_of_mass(reference)
    start = "Identity" if before >= _information(reference, moving, centred) else None
    matrix = _registered(reference, moving, start)
    return Alignment(matrix, before, _information(reference, moving, matrix))


def resample(
    moving: Volume, like: Volume, matrix: np.ndarray | None = None, order: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Interpolate a volume once, on the grid of another.

    Parameters
    ----------
    moving
        What is interpolated.
    like
        Volume whose grid is taken.
    matrix
        ``(4, 4)`` from the world of `like` to that of `moving`; the identity by default.
    order
        1 for images (linear: no overshoot), 0 for labels (nearest).

    Returns
    -------
    tuple of numpy.ndarray
        ``float32 (X, Y, Z)``, outside `moving` zero or, where it has values below zero (air in CT), its lowest; and
        whether each voxel lies inside `moving`.
    """
    to_moving = np.linalg.inv(moving.affine) @ (np.eye(4) if matrix is None else matrix) @ like.affine
    inside = np.ones(like.data.shape, dtype=bool)
    i, j, k = np.ogrid[tuple(slice(n) for n in like.data.shape)]
    for row, n in zip(to_moving[:3], moving.data.shape, strict=True):
        place = row[0] * i + row[1] * j + row[2] * k + row[3]
        inside &= (place >= -0.5) & (place <= n - 0.5)
    data = affine_transform(
        moving.data, to_moving[:3, :3], to_moving[:3, 3], like.data.shape, np.float32, order=order, mode="nearest"
    )
    return np.where(inside, data, np.float32(min(0.0, moving.data.min()))), inside


def mutual_information(first: np.ndarray, second: np.ndarray) -> float:
    """Mutual information of two images in nats, from a joint histogram of 64 x 64 bins between robust extremes.

    Parameters
    ----------
    first, second
        Values of the same voxels, any shape.
    """
    binned = []
    for values in (first, second):
        low, high = np.percentile(values, (0.5, 99.5))
        scaled = (np.clip(values, low, high) - low) / (high - low if high > low else 1)
        binned.append(np.minimum((scaled * BINS).astype(int), BINS - 1).ravel())
    joint = np.bincount(binned[0] * BINS + binned[1], minlength=BINS * BINS).reshape(BINS, BINS) / binned[0].size
    apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    full = joint > 0
    return float((joint[full] * np.log(joint[full] / apart[full])).sum())


def _information(reference: Volume, moving: Volume, matrix: np.ndarray) -> float:
    """Mutual information where both fields of view overlap; 0 if hardly anything does."""
    data, inside = resample(moving, reference, matrix)
    if inside.mean() < 0.1:
        return 0.0
    return mutual_information(reference.data[inside], data[inside])


def _centre_of_mass(volume: Volume) -> np.ndarray:
    """Centre of the positive signal in world millimetres."""
    weights = np.clip(volume.data, 0, None).astype(np.float64)
    axes = [weights.sum(axis=tuple(a for a in range(3) if a != axis)) for axis in range(3)]
    centre = [float((np.arange(len(w)) * w).sum() / max(w.sum(), 1e-12)) for w in axes]
    return (volume.affine @ [*centre, 1.0])[:3]


def _registered(reference: Volume, moving: Volume, start: str | None) -> np.ndarray:
    """Rigid matrix from the reference's world to that of `moving`, both RAS."""
    ants = _antspy()
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = ants.registration(
                _to_ants(ants, _coarser(reference)),
                _to_ants(ants, _coarser(moving)),
                type_of_transform="Rigid",
                initial_transform=start,
                outprefix=str(Path(folder) / "rigid"),
                singleprecision=False,
            )
            transform = ants.read_transform(found["fwdtransforms"][0])
        except RuntimeError as error:
            raise InputError(
                f"{moving.name} could not be registered to {reference.name}; are both of one head?"
            ) from error
    linear, centre = np.reshape(transform.parameters[:9], (3, 3)), np.asarray(transform.fixed_parameters)
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = transform.parameters[9:] + centre - linear @ centre
    return _LPS @ matrix @ _LPS


@cache
def _antspy() -> ModuleType:
    """ANTsPy with one thread and a fixed seed; the number of threads is read when it first computes."""
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"
    try:
        import ants
        from ants.config import set_ants_deterministic
    except ModuleNotFoundError:
        raise InputError(
            "The images of one subject lie on different grids and must be registered, which needs ANTsPy: "
            "pip install antspyx, or the project with its extra [register]."
        ) from None
    set_ants_deterministic(False, seed_value=_SEED)  # True would refuse this transform; the seed counts either way
    return ants


def _to_ants(ants: ModuleType, volume: Volume) -> object:
    """The volume as ANTsPy holds it, in ITK's world."""
    affine = _LPS @ volume.affine
    spacing = list(volume.spacing)
    return ants.from_numpy(volume.data, list(affine[:3, 3]), spacing, affine[:3, :3] / spacing)


def _coarser(volume: Volume) -> Volume:
    """Average pairs of voxels along each axis until none is finer than `FINEST_MM`."""
    data, affine = volume.data, volume.affine.copy()
    for axis in range(3):
        while np.linalg.norm(affine[:3, axis]) < FINEST_MM and data.shape[axis] >= 2:
            pairs = np.moveaxis(data, axis, 0)[: data.shape[axis] // 2 * 2]
            data = np.moveaxis(pairs.reshape(-1, 2, *pairs.shape[1:]).mean(axis=1, dtype=np.float32), 0, axis)
            affine[:3, 3] += affine[:3, axis] / 2
            affine[:3, axis] *= 2
    return Volume(np.ascontiguousarray(data), affine, volume.path)
