"""The files that another scanner would have written of the same head: other voxels, other axes, a patient who moved.

Explained in the chapter "From a scanner's files to a slice store".
"""

import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, ornt_transform

from a2a.common.errors import InputError
from a2a.data.volumes.nifti import Volume
from a2a.data.volumes.registration import resample


def rescan(
    volume: Volume, voxel_mm: tuple[float, float, float], axes: str = "RAS", movement: np.ndarray | None = None
) -> Volume:
    """Sample a volume again, over the same field of view.

    Parameters
    ----------
    volume
        In RAS order, not oblique.
    voxel_mm
        Voxel size along x, y and z of the patient.
    axes
        Where the array's axes run to, such as ``LPS``.
    movement
        ``float64 (4, 4)``, rigid: where a point of the head lies now, in RAS+ millimetres; the identity by default.
        It is the matrix that `a2a.data.volumes.registration.align` should find.

    Returns
    -------
    Volume
        Linearly interpolated; what was outside the field of view has the lowest value of the volume.

    Raises
    ------
    InputError
        If the axes are no permutation of left/right, posterior/anterior and inferior/superior, or a voxel size is not
        positive.
    """
    if sorted(axes.translate(str.maketrans("LPI", "RAS"))) != ["A", "R", "S"]:
        raise InputError(f"axes must name left or right, posterior or anterior, inferior or superior, not {axes!r}.")
    if min(voxel_mm) <= 0:
        raise InputError(f"voxel_mm must be positive, got {voxel_mm}.")
    shape = tuple(
        int(round(n * old / new)) for n, old, new in zip(volume.data.shape, volume.spacing, voxel_mm, strict=True)
    )
    affine = np.diag([*voxel_mm, 1.0])
    middle = (volume.affine @ [*((n - 1) / 2 for n in volume.data.shape), 1.0])[:3]
    affine[:3, 3] = middle - affine[:3, :3] @ ((np.asarray(shape) - 1) / 2)
    back = None if movement is None else np.linalg.inv(movement)
    data, inside = resample(volume, Volume(np.zeros(shape, np.float32), affine), back)
    data[~inside] = volume.data.min()
    turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(axes))
    return Volume(np.ascontiguousarray(apply_orientation(data, turn)), affine @ inv_ornt_aff(turn, shape))
