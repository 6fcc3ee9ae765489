"""NIfTI files in and out: checked when read, oriented to RAS and back, written atomically.

Explained in the chapter "Your own NIfTI files".
"""

import gzip
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform
from scipy import ndimage

from a2a.common.errors import InputError
from a2a.common.files import write_atomically
from a2a.data.volumes.nifti_file import parsed
from a2a.data.volumes.nifti_header import corner_distance, require_one_place

GRID_TOLERANCE_MM = 0.05  # tools round affines
SHEAR, STEEPEST = 1e-3, 20  # cosine between axes, and degrees against transverse planes
VOXEL_MM = (0.05, 50.0)  # outside of this a header's numbers cannot be millimetres of a patient
_RAS = np.array([[0, 1], [1, 1], [2, 1]], dtype=float)


@dataclass(frozen=True)
class Volume:
    """One 3-D image and where it lies in the patient.

    Parameters
    ----------
    data
        ``float32 (X, Y, Z)`` in the units of the file.
    affine
        ``float64 (4, 4)``, voxel index to RAS+ millimetres.
    path
        The file it was read from; None for computed volumes. Error messages name it.
    code
        NIfTI's number of the space of `affine`: 1 the scanner's, 2 another scan's, 3 and 4 an atlas's.
    stored
        Type in which the file holds its values, if they are whole numbers without a slope; else single precision.
    """

    data: np.ndarray
    affine: np.ndarray
    path: Path | None = None
    code: int = 1
    stored: str = "float32"

    @property
    def name(self) -> str:
        """The file as messages name it."""
        return "a computed volume" if self.path is None else str(self.path)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size along the three array axes in mm."""
        return tuple(float(s) for s in np.linalg.norm(self.affine[:3, :3], axis=0))


def read_volume(path: Path | str, allow_empty: bool = False, channel: int | None = None) -> Volume:
    """Read a 3-D NIfTI file (``.nii`` or ``.nii.gz``) and refuse what cannot be an image of a patient.

    The whole file is decompressed, so that the checksum at the end of a ``.nii.gz`` is verified too. Trailing axes of
    length 1 are dropped; NaN around what the image shows, as some tools mark the background, becomes its lowest value,
    or 0 if that is positive.

    Parameters
    ----------
    path
        The file.
    allow_empty
        Whether all voxels may be zero, as in a label map of a patient without lesions.
    channel
        Which volume of a 4-D file, counted from 0; None for a file with one volume.

    Returns
    -------
    Volume
        Scaled by the header's slope and intercept, in the orientation of the file.

    Raises
    ------
    InputError
        If the file is missing, truncated, corrupt or no NIfTI, not 3-D, not of real numbers, holds NaN or infinity
        or only zeros, does not say where its voxels lie or says it twice and differently, or measures them in another
        unit. The message names the file.
    """
    path = Path(path)
    image = parsed(path)
    sides = _sides(image.shape, path, channel)
    if image.get_data_dtype().kind not in "iuf":
        raise InputError(f"{path} holds values of type {image.get_data_dtype()}; real numbers are needed.")
    affine = _affine(image, path)
    try:
        data = np.asarray(image.get_fdata(dtype=np.float32)).reshape(sides)
    except (OSError, ValueError, EOFError, OverflowError) as error:
        raise InputError(f"{path} is truncated: its header promises more voxels than it holds.") from error
    if channel is not None:
        data = data[..., channel]
    data = _without_nan_around(data)
    if not np.isfinite(data).all():
        bad = int(data.size - np.isfinite(data).sum())
        raise InputError(f"{path} has {bad} voxels that are NaN or infinite; every voxel must be a finite number.")
    if not (allow_empty or data.any()):
        raise InputError(f"{path} is all zero; an image with signal is needed.")
    header = image.header
    code = int(header["sform_code"]) or int(header["qform_code"])
    plain = image.get_data_dtype().kind in "iu" and image.dataobj.slope == 1 and image.dataobj.inter == 0
    return Volume(data, affine, path, code, image.get_data_dtype().name if plain else "float32")


def _without_nan_around(data: np.ndarray) -> np.ndarray:
    """Replace NaN that reaches the border of the volume through NaN alone; what it encloses stays."""
    unknown = np.isnan(data)
    if not unknown.any() or unknown.all():
        return data
    around = unknown & ~ndimage.binary_fill_holes(~unknown)
    return np.where(around, min(float(np.nanmin(data)), 0.0), data).astype(np.float32)


def _sides(shape: tuple[int, ...], path: Path, channel: int | None) -> tuple[int, ...]:
    """Shape without trailing axes of length 1: three axes, or four of a file of which one volume is wanted."""
    wanted = 3 if channel is None else 4
    sides = tuple(shape)
    while len(sides) > wanted and sides[-1] == 1:
        sides = sides[:-1]
    said = " x ".join(map(str, shape))
    if channel is not None and (len(sides) != 4 or 0 in sides or channel >= sides[3]):
        raise InputError(f"{path} has the shape {said}; a 4-D file with a volume {channel}, counted from 0, is needed.")
    if len(sides) != wanted or 0 in sides:
        raise InputError(f"{path} has {len(shape)} dimensions ({said}); one 3-D volume per file is needed.")
    return sides


def _affine(image: nib.Nifti1Image, path: Path) -> np.ndarray:
    """Return the affine; without sform and qform left and right would be a guess."""
    header = image.header
    if int(header["sform_code"]) == 0 and int(header["qform_code"]) == 0:
        raise InputError(f"{path} has neither sform nor qform, so left and right are unknown; set one in its header.")
    affine = np.asarray(image.affine, dtype=np.float64)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise InputError(f"{path} has a singular affine; its sform or qform must map voxels to millimetres.")
    require_one_place(image, affine, path)
    unit, sides = header.get_xyzt_units()[0], np.linalg.norm(affine[:3, :3], axis=0)
    if unit not in ("mm", "unknown"):
        raise InputError(f"{path} measures its voxels in {unit}; its header must say millimetres and mean it.")
    if sides.min() < VOXEL_MM[0] or sides.max() > VOXEL_MM[1]:
        size = " x ".join(f"{side:g}" for side in sides)
        raise InputError(f"{path} has voxels of {size} mm, no patient's; correct the unit or the affine in its header.")
    return affine


def to_ras(volume: Volume) -> Volume:
    """Flip and permute the axes so that they run to the right, anterior and superior; no voxel is interpolated.

    For oblique scans the nearest axes are taken. `from_ras` is the exact inverse.
    """
    found = io_orientation(volume.affine)
    data = np.ascontiguousarray(apply_orientation(volume.data, found))
    return Volume(data, volume.affine @ inv_ornt_aff(found, volume.data.shape), volume.path)


def require_upright(volume: Volume) -> None:
    """Refuse a grid that is sheared, or whose planes are turned by more than 20 degrees against the patient's.

    Parameters
    ----------
    volume
        In RAS order, see `to_ras`.

    Raises
    ------
    InputError
        Naming the file and the angle.
    """
    axes = volume.affine[:3, :3] / np.linalg.norm(volume.affine[:3, :3], axis=0)
    if np.abs(axes.T @ axes - np.eye(3)).max() > SHEAR:
        raise InputError(f"{volume.name} has a sheared affine, its axes are not at right angles; resample it first.")
    normal = np.cross(axes[:, 0], axes[:, 1])
    angle = float(np.degrees(np.arccos(np.clip(normal[2], -1, 1))))
    if angle > STEEPEST:
        raise InputError(
            f"{volume.name}: its planes are turned by {angle:.0f} degrees against transverse ones, and slices are cut "
            f"along its grid; resample it to a grid within {STEEPEST} degrees of the patient's axes first."
        )


def from_ras(data: np.ndarray, like: Volume) -> Volume:
    """Bring RAS data back to the axes, the direction and the affine of the volume it came from.

    Parameters
    ----------
    data
        ``(X, Y, Z)`` on the grid of ``to_ras(like)``.
    like
        The volume as it was read.

    Raises
    ------
    InputError
        If the shape is not that of ``to_ras(like)``.
    """
    back = ornt_transform(_RAS, io_orientation(like.affine))
    result = np.ascontiguousarray(apply_orientation(data, back))
    if result.shape != like.data.shape:
        raise InputError(f"Data of shape {data.shape} do not lie on the grid of {like.name} ({like.data.shape}).")
    return Volume(result, like.affine, None, like.code)


def require_same_grid(volumes: Iterable[Volume]) -> None:
    """Refuse volumes whose voxels do not coincide.

    Shapes must agree and the corners of the grids must lie within 0.05 mm of each other.

    Raises
    ------
    InputError
        Names the first file, the one that differs, and the difference.
    """
    volumes = list(volumes)
    first = volumes[0]
    for other in volumes[1:]:
        if other.data.shape != first.data.shape:
            raise InputError(
                f"{other.name} has shape {other.data.shape} but {first.name} has {first.data.shape}; "
                "register and resample the images to one grid first."
            )
        distance = corner_distance(first.data.shape, first.affine, other.affine)
        if distance > GRID_TOLERANCE_MM:
            raise InputError(
                f"{other.name} has another affine than {first.name}: the grids lie up to {distance:.3g} mm apart; "
                "register and resample the images to one grid first."
            )


def on_one_grid(a: Volume, b: Volume) -> bool:
    """Whether the voxels of two volumes coincide: equal shapes, corners within 0.05 mm."""
    return a.data.shape == b.data.shape and corner_distance(a.data.shape, a.affine, b.affine) <= GRID_TOLERANCE_MM


def write_volume(
    path: Path | str, data: np.ndarray, affine: np.ndarray, code: int = 1, stored: str = "float32"
) -> None:
    """Write NIfTI in millimetres, under a temporary name and then renamed.

    sform and qform are equal; for a sheared affine, which a quaternion cannot say, only the sform is set. Equal input
    gives equal bytes (the compressed stream carries no time).

    Parameters
    ----------
    path
        Ends in ``.nii`` or ``.nii.gz``.
    data
        ``(X, Y, Z)``, or ``(X, Y, Z, S)`` for several images on one grid.
    affine
        Voxels to world coordinates, mm, ``(4, 4)``.
    code, stored
        See `Volume`; data that are not whole are written at single precision whatever is asked for.

    Raises
    ------
    InputError
        If the name does not end in ``.nii`` or ``.nii.gz``, or the data are not 3-D or 4-D.
    """
    path = Path(path)
    if not path.name.endswith((".nii", ".nii.gz")):
        raise InputError(f"{path} must end in .nii or .nii.gz.")
    if np.ndim(data) not in (3, 4):
        raise InputError(f"{path}: data to write must be 3-D or 4-D, not of shape {np.shape(data)}.")
    values = np.asarray(data, dtype=np.float32)
    with np.errstate(invalid="ignore"):
        whole = values.astype(stored)
    values = whole if np.array_equal(whole, values) else values
    image = nib.Nifti1Image(values, np.asarray(affine, dtype=np.float64), dtype=values.dtype)
    image.set_sform(affine, code=code)
    image.set_qform(affine, code=code)
    if not np.allclose(image.get_qform(), affine, rtol=1e-4, atol=1e-3):
        image.set_qform(None, code=0)
    image.header.set_xyzt_units("mm")
    raw = image.to_bytes()
    packed = gzip.compress(raw, compresslevel=6, mtime=0) if path.name.endswith(".gz") else raw
    write_atomically(path, lambda temporary: temporary.write_bytes(packed))
