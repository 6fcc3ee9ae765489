"""NIfTI files in and out: checked when read, oriented to RAS and back, written atomically.

Explained in the chapter "Your own NIfTI files".
"""

import gzip
import io
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform

from a2a.common.errors import InputError
from a2a.common.files import write_atomically

GRID_TOLERANCE_MM = 0.01
VOXEL_MM = (0.05, 50.0)  # outside of this a header's numbers cannot be millimetres of a patient
_HEADER_ERRORS = (
    nib.filebasedimages.ImageFileError,
    nib.spatialimages.HeaderDataError,
    nib.wrapstruct.WrapStructError,
)
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
    """

    data: np.ndarray
    affine: np.ndarray
    path: Path | None = None

    @property
    def name(self) -> str:
        """The file as messages name it."""
        return "a computed volume" if self.path is None else str(self.path)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size along the three array axes in mm."""
        return tuple(float(s) for s in np.linalg.norm(self.affine[:3, :3], axis=0))


def read_volume(path: Path | str, allow_empty: bool = False) -> Volume:
    """Read a 3-D NIfTI file (``.nii`` or ``.nii.gz``) and refuse what cannot be an image of a patient.

    The whole file is decompressed, so that the checksum at the end of a ``.nii.gz`` is verified too.

    Parameters
    ----------
    path
        The file.
    allow_empty
        Whether all voxels may be zero, as in a label map of a patient without lesions.

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
    image = _parse(path)
    if len(image.shape) != 3 or 0 in image.shape:
        shape = " x ".join(map(str, image.shape))
        raise InputError(f"{path} has {len(image.shape)} dimensions ({shape}); one 3-D volume per file is needed.")
    if image.get_data_dtype().kind not in "iuf":
        raise InputError(f"{path} holds values of type {image.get_data_dtype()}; real numbers are needed.")
    affine = _affine(image, path)
    try:
        data = np.asarray(image.get_fdata(dtype=np.float32))
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} is truncated: its header promises more voxels than it holds.") from error
    if not np.isfinite(data).all():
        bad = int(data.size - np.isfinite(data).sum())
        raise InputError(f"{path} has {bad} voxels that are NaN or infinite; every voxel must be a finite number.")
    if not (allow_empty or data.any()):
        raise InputError(f"{path} is all zero; an image with signal is needed.")
    return Volume(data, affine, path)


def _parse(path: Path) -> nib.Nifti1Image:
    """Decompress and parse the header; the class is chosen by the header size that the file states."""
    if not path.is_file():
        raise InputError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}; a NIfTI file is needed.")
    raw = path.read_bytes()
    try:
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} is truncated or corrupt ({error}); copy or download it again.") from error
    sizes = {int.from_bytes(raw[:4], order) for order in ("little", "big")}
    kind = nib.Nifti2Image if 540 in sizes else nib.Nifti1Image
    try:
        with _silent():
            header = kind.header_class.from_fileobj(io.BytesIO(raw), check=False)
            _require_one_file(header, path)
            _require_voxel_size(header, path)
            return kind.from_bytes(_with_offset(header, raw, path))
    except InputError:
        raise
    except (*_HEADER_ERRORS, OSError, ValueError) as error:
        raise InputError(f"{path} is no NIfTI file or its header is damaged; a .nii or .nii.gz is needed.") from error


@contextmanager
def _silent() -> Iterator[None]:
    """Keep nibabel from printing what it repairs in a header; what matters is refused in a sentence."""
    logger = nib.imageglobals.logger
    before, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before


def _require_one_file(header: nib.Nifti1Header, path: Path) -> None:
    """Refuse one half of a pair of header and image."""
    if path.suffix.lower() in (".hdr", ".img") or bytes(header["magic"]).rstrip(b"\0") in (b"ni1", b"ni2"):
        raise InputError(f"{path} is one half of a pair (.hdr and .img); convert the two to one .nii or .nii.gz.")


def _require_voxel_size(header: nib.Nifti1Header, path: Path) -> None:
    """Refuse a qform without voxel size, of which nibabel would make 1 mm."""
    sides = np.asarray(header["pixdim"][1:4], dtype=np.float64)
    if int(header["sform_code"]) == 0 and int(header["qform_code"]) != 0 and not (np.abs(sides) > 0).all():
        found = " x ".join(f"{side:g}" for side in sides)
        raise InputError(f"{path} has a voxel size of {found} in pixdim, so it is unknown; correct it in its header.")


def _with_offset(header: nib.Nifti1Header, raw: bytes, path: Path) -> bytes:
    """The file with the offset of its voxels, where its header says 0 and its length says the only one possible."""
    single = header.single_vox_offset
    if float(header["vox_offset"]) != 0:
        return raw
    expected = single + int(np.prod(header.get_data_shape(), dtype=np.int64)) * header.get_data_dtype().itemsize
    if len(raw) != expected:
        raise InputError(
            f"{path} says in its header that voxels begin at byte 0 (vox_offset), and it does not have the "
            f"{expected} bytes with which they would begin at {single}; correct vox_offset."
        )
    header["vox_offset"] = single
    return header.binaryblock + raw[len(header.binaryblock) :]


def _affine(image: nib.Nifti1Image, path: Path) -> np.ndarray:
    """Return the affine; without sform and qform left and right would be a guess."""
    header = image.header
    if int(header["sform_code"]) == 0 and int(header["qform_code"]) == 0:
        raise InputError(f"{path} has neither sform nor qform, so left and right are unknown; set one in its header.")
    affine = np.asarray(image.affine, dtype=np.float64)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise InputError(f"{path} has a singular affine; its sform or qform must map voxels to millimetres.")
    _require_one_place(image, affine, path)
    unit, sides = header.get_xyzt_units()[0], np.linalg.norm(affine[:3, :3], axis=0)
    if unit not in ("mm", "unknown"):
        raise InputError(f"{path} measures its voxels in {unit}; its header must say millimetres and mean it.")
    if sides.min() < VOXEL_MM[0] or sides.max() > VOXEL_MM[1]:
        size = " x ".join(f"{side:g}" for side in sides)
        raise InputError(f"{path} has voxels of {size} mm, no patient's; correct the unit or the affine in its header.")
    return affine


def _require_one_place(image: nib.Nifti1Image, affine: np.ndarray, path: Path) -> None:
    """Refuse a sform and a qform that contradict each other.

    Both may be there and differ if their codes do: one says where the scanner saw the patient, the other lies in an
    atlas. But no space has left and right the other way round.
    """
    codes = int(image.header["sform_code"]), int(image.header["qform_code"])
    if 0 in codes:
        return
    try:
        with _silent():
            other = np.asarray(image.header.get_qform(), dtype=np.float64)
    except _HEADER_ERRORS:
        return  # no quaternion, so it says nothing
    grids = (Volume(np.broadcast_to(np.float32(0), image.shape), a) for a in (affine, other))
    apart, mirrored = _corner_distance(*grids), np.linalg.det(affine[:3, :3]) * np.linalg.det(other[:3, :3]) < 0
    voxel = float(np.linalg.norm(affine[:3, :3], axis=0).min())
    if mirrored or (codes[0] == codes[1] and apart > voxel / 2):
        what = "left and right are unknown" if mirrored else "its place is unknown"
        raise InputError(
            f"{path}: its sform and its qform contradict each other by up to {apart:.3g} mm, so {what}; correct one of "
            "them or set its code to 0."
        )


def to_ras(volume: Volume) -> Volume:
    """Flip and permute the axes so that they run to the right, anterior and superior; no voxel is interpolated.

    For oblique scans the nearest axes are taken. `from_ras` is the exact inverse.
    """
    found = io_orientation(volume.affine)
    data = np.ascontiguousarray(apply_orientation(volume.data, found))
    return Volume(data, volume.affine @ inv_ornt_aff(found, volume.data.shape), volume.path)


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
    return Volume(result, like.affine, None)


def require_same_grid(volumes: Iterable[Volume]) -> None:
    """Refuse volumes whose voxels do not coincide.

    Shapes must agree and the corners of the grids must lie within 0.01 mm of each other.

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
        distance = _corner_distance(first, other)
        if distance > GRID_TOLERANCE_MM:
            raise InputError(
                f"{other.name} has another affine than {first.name}: the grids lie up to {distance:.3g} mm apart; "
                "register and resample the images to one grid first."
            )


def on_one_grid(a: Volume, b: Volume) -> bool:
    """Whether the voxels of two volumes coincide: equal shapes, corners within 0.01 mm."""
    return a.data.shape == b.data.shape and _corner_distance(a, b) <= GRID_TOLERANCE_MM


def _corner_distance(a: Volume, b: Volume) -> float:
    """Largest distance in mm between equal corners of two grids of the same shape."""
    corners = np.array([[*c, 1] for c in product(*((0, n - 1) for n in a.data.shape))], dtype=float)
    return float(np.linalg.norm((corners @ (a.affine - b.affine).T)[:, :3], axis=1).max())


def write_volume(path: Path | str, data: np.ndarray, affine: np.ndarray) -> None:
    """Write ``float32`` NIfTI in millimetres, under a temporary name and then renamed.

    sform and qform are equal; for a sheared affine, which a quaternion cannot say, only the sform is set. Equal input
    gives equal bytes (the compressed stream carries no time).

    Parameters
    ----------
    path
        Ends in ``.nii`` or ``.nii.gz``.
    data
        ``(X, Y, Z)``.
    affine
        Voxels to world coordinates, mm, ``(4, 4)``.

    Raises
    ------
    InputError
        If the name does not end in ``.nii`` or ``.nii.gz``, or the data are not 3-D.
    """
    path = Path(path)
    if not path.name.endswith((".nii", ".nii.gz")):
        raise InputError(f"{path} must end in .nii or .nii.gz.")
    if np.ndim(data) != 3:
        raise InputError(f"{path}: data to write must be 3-D, not of shape {np.shape(data)}.")
    image = nib.Nifti1Image(np.asarray(data, dtype=np.float32), np.asarray(affine, dtype=np.float64))
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    if not np.allclose(image.get_qform(), affine, rtol=1e-4, atol=1e-3):
        image.set_qform(None, code=0)
    image.header.set_xyzt_units("mm")
    raw = image.to_bytes()
    packed = gzip.compress(raw, compresslevel=6, mtime=0) if path.name.endswith(".gz") else raw
    write_atomically(path, lambda temporary: temporary.write_bytes(packed))
