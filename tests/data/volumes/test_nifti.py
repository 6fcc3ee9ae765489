"""NIfTI in and out: orientation, refusal of damaged files, atomic writing."""

import gzip
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from a2a.common.errors import InputError
from a2a.data.volumes.nifti import (
    Volume,
    from_ras,
    read_volume,
    require_same_grid,
    require_upright,
    to_ras,
    write_volume,
)

AFFINE = np.array([[2.0, 0, 0, -10], [0, 3.0, 0, -20], [0, 0, 4.0, 5], [0, 0, 0, 1]])
DATA = np.random.default_rng(0).random((4, 5, 6)).astype(np.float32)


def _world(volume: Volume, index: tuple[int, int, int]) -> np.ndarray:
    return (volume.affine @ [*index, 1])[:3]


@pytest.mark.parametrize("codes", ["RAS", "LAS", "LPS", "RPI", "PSR", "SAL"])
def test_orientation_to_ras_and_exactly_back(codes: str, tmp_path: Path, write_scan: Callable) -> None:
    stored = read_volume(write_scan(tmp_path / "scan.nii.gz", DATA, codes, AFFINE))
    assert "".join(nib.aff2axcodes(stored.affine)) == codes
    ras = to_ras(stored)
    np.testing.assert_array_equal(ras.data, DATA)
    np.testing.assert_allclose(ras.affine, AFFINE, atol=1e-5)
    back = from_ras(ras.data, stored)
    np.testing.assert_array_equal(back.data, stored.data)
    np.testing.assert_array_equal(back.affine, stored.affine)


def test_to_ras_agrees_with_nibabel_on_an_oblique_scan(tmp_path: Path) -> None:
    turn = nib.eulerangles.euler2mat(0.2, -0.1, 0.3)
    affine = nib.affines.from_matvec(turn @ np.diag([-1.0, 2.0, -3.0]), [4.0, -5.0, 6.0])
    image = nib.Nifti1Image(DATA, affine)
    nib.save(image, tmp_path / "oblique.nii")
    ours, theirs = to_ras(read_volume(tmp_path / "oblique.nii")), nib.as_closest_canonical(image)
    np.testing.assert_array_equal(ours.data, theirs.get_fdata(dtype=np.float32))
    np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-5)
    np.testing.assert_allclose(ours.spacing, (1.0, 2.0, 3.0), atol=1e-6)


def test_slope_and_intercept_are_applied(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4))
    image.header.set_slope_inter(0.5, -3.0)
    nib.save(image, tmp_path / "scaled.nii.gz")
    stored = np.asarray(nib.load(tmp_path / "scaled.nii.gz").dataobj.get_unscaled())
    np.testing.assert_array_equal(read_volume(tmp_path / "scaled.nii.gz").data, 0.5 * stored - 3.0)


def test_nifti_2_is_read(tmp_path: Path) -> None:
    nib.save(nib.Nifti2Image(DATA, AFFINE), tmp_path / "two.nii.gz")
    np.testing.assert_array_equal(read_volume(tmp_path / "two.nii.gz").data, DATA)


def test_from_ras_refuses_another_grid() -> None:
    with pytest.raises(InputError, match="do not lie on the grid"):
        from_ras(np.zeros((4, 5, 7), np.float32), Volume(DATA, AFFINE))


def _save(path: Path, data: np.ndarray = DATA, affine: np.ndarray | None = AFFINE) -> bytes:
    nib.save(nib.Nifti1Image(data, affine), path)
    return path.read_bytes()


def _truncated_gz(path: Path) -> None:
    path.write_bytes(_save(path)[:-40])


def _truncated_nii(path: Path) -> None:
    path.write_bytes(gzip.compress(gzip.decompress(_save(path))[:-40]))


def _flipped_bit(path: Path) -> None:
    raw = bytearray(_save(path))
    raw[-6] ^= 1
    path.write_bytes(bytes(raw))


def _no_orientation(path: Path) -> None:
    image = nib.Nifti1Image(DATA, AFFINE)
    image.set_sform(None, code=0)
    image.set_qform(None, code=0)
    nib.save(image, path)


def _singular(path: Path) -> None:
    image = nib.Nifti1Image(DATA, AFFINE)
    image.header["srow_z"] = 0
    image.header["vox_offset"] = 352
    path.write_bytes(gzip.compress(image.header.binaryblock + bytes(4) + DATA.tobytes("F")))


BAD = {
    "missing": (lambda path: None, "does not exist"),
    "folder": (lambda path: path.mkdir(), "is a folder"),
    "empty": (lambda path: path.write_bytes(b""), "is no NIfTI file"),
    "text": (lambda path: path.write_text("hello " * 200), "is no NIfTI file"),
    "truncated gzip": (_truncated_gz, "truncated or corrupt"),
    "truncated data": (_truncated_nii, "truncated"),
    "flipped bit": (_flipped_bit, "truncated or corrupt"),
    "4-D": (lambda path: _save(path, np.ones((4, 5, 6, 2), np.float32)), "4 dimensions .4 x 5 x 6 x 2."),
    "2-D": (lambda path: _save(path, np.ones((4, 5), np.float32)), "2 dimensions"),
    "all zero": (lambda path: _save(path, np.zeros((4, 5, 6), np.float32)), "all zero"),
    "NaN": (lambda path: _save(path, np.where(DATA > 0.9, np.nan, DATA)), "NaN or infinite"),
    "infinite": (lambda path: _save(path, np.where(DATA > 0.9, np.inf, DATA)), "NaN or infinite"),
    "complex": (lambda path: _save(path, DATA.astype(np.complex64)), "real numbers"),
    "no orientation": (_no_orientation, "left and right are unknown"),
    "singular affine": (_singular, "singular affine"),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_files_are_refused_by_name(fault: str, tmp_path: Path) -> None:
    make, words = BAD[fault]
    path = tmp_path / "scan.nii.gz"
    make(path)
    with pytest.raises(InputError, match=words) as caught:
        read_volume(path)
    assert str(path) in str(caught.value)


def test_nan_around_the_head_is_background_and_nan_inside_it_is_refused(tmp_path: Path) -> None:
    inside = np.full((7, 8, 6), np.nan, np.float32)
    inside[2:5, 2:6, 1:5] = 3.0
    _save(tmp_path / "a.nii.gz", inside)
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii.gz").data, np.nan_to_num(inside))
    inside[2, 2, 2] = -1000  # as air in CT
    _save(tmp_path / "b.nii.gz", inside)
    assert read_volume(tmp_path / "b.nii.gz").data[0, 0, 0] == -1000
    inside[3, 4, 3] = np.nan
    _save(tmp_path / "c.nii.gz", inside)
    with pytest.raises(InputError, match="c.nii.gz has 1 voxels that are NaN or infinite"):
        read_volume(tmp_path / "c.nii.gz")


def test_grids_that_are_sheared_or_steep_are_refused() -> None:
    steep, sheared = np.eye(4), np.eye(4)
    steep[:3, :3] = Rotation.from_euler("x", 25, degrees=True).as_matrix()
    sheared[0, 1] = 0.1
    require_upright(Volume(DATA, AFFINE))
    with pytest.raises(InputError, match="s.nii: its planes are turned by 25 degrees against transverse ones"):
        require_upright(Volume(DATA, steep, Path("s.nii")))
    with pytest.raises(InputError, match="s.nii has a sheared affine"):
        require_upright(Volume(DATA, sheared, Path("s.nii")))


def test_space_and_type_of_whole_numbers_come_back(tmp_path: Path) -> None:
    image = nib.Nifti1Image((1000 * DATA).astype(np.int16), AFFINE)
    image.set_sform(AFFINE, code=4)
    nib.save(image, tmp_path / "in.nii.gz")
    volume = read_volume(tmp_path / "in.nii.gz")
    assert (volume.code, volume.stored) == (4, "int16")
    write_volume(tmp_path / "out.nii.gz", volume.data, volume.affine, volume.code, volume.stored)
    again = nib.load(tmp_path / "out.nii.gz")
    assert again.get_data_dtype() == np.int16 and int(again.header["sform_code"]) == 4
    np.testing.assert_array_equal(np.asarray(again.dataobj), np.asarray(image.dataobj))
    write_volume(tmp_path / "half.nii.gz", volume.data + 0.5, volume.affine, 1, "int16")
    np.testing.assert_array_equal(nib.load(tmp_path / "half.nii.gz").get_fdata(), volume.data + 0.5)


def test_trailing_axes_of_length_1_and_one_volume_of_several(tmp_path: Path) -> None:
    _save(tmp_path / "one.nii.gz", DATA[..., None, None])
    np.testing.assert_array_equal(read_volume(tmp_path / "one.nii.gz").data, DATA)
    _save(tmp_path / "two.nii.gz", np.stack([DATA, 2 * DATA], axis=-1))
    np.testing.assert_array_equal(read_volume(tmp_path / "two.nii.gz", channel=1).data, 2 * DATA)
    with pytest.raises(InputError, match=r"two.nii.gz has the shape .*; a 4-D file with a volume 2, counted"):
        read_volume(tmp_path / "two.nii.gz", channel=2)


def test_same_grid_names_both_files_and_the_difference() -> None:
    first = Volume(DATA, AFFINE, Path("a.nii"))
    moved = AFFINE.copy()
    moved[0, 3] += 1.5
    require_same_grid([first, Volume(DATA, AFFINE + 1e-5, Path("b.nii"))])
    with pytest.raises(InputError, match=r"b.nii has another affine than a.nii.*1.5 mm"):
        require_same_grid([first, first, Volume(DATA, moved, Path("b.nii"))])
    with pytest.raises(InputError, match=r"b.nii has shape \(4, 5, 5\) but a.nii has \(4, 5, 6\)"):
        require_same_grid([first, Volume(DATA[..., 1:], AFFINE, Path("b.nii"))])


def test_a_small_rotation_counts_at_the_far_corner() -> None:
    turned = AFFINE.copy()
    turned[0, 1] += 0.02
    with pytest.raises(InputError, match="0.08 mm"):
        require_same_grid([Volume(DATA, AFFINE), Volume(DATA, turned)])


@pytest.mark.parametrize("name", ["out.nii", "out.nii.gz"])
def test_written_volume_comes_back_with_equal_forms(name: str, tmp_path: Path) -> None:
    affine = AFFINE @ np.diag([-1.0, 1, 1, 1])
    path = tmp_path / "new" / name
    write_volume(path, DATA.astype(np.float64), affine)
    image = nib.load(path)
    assert image.get_data_dtype() == np.float32 and image.header.get_xyzt_units()[0] == "mm"
    assert image.header["sform_code"] == image.header["qform_code"] == 1
    np.testing.assert_allclose(image.get_sform(), image.get_qform(), atol=1e-5)
    back = read_volume(path)
    np.testing.assert_array_equal(back.data, DATA)
    np.testing.assert_allclose(_world(back, (1, 2, 3)), _world(Volume(DATA, affine), (1, 2, 3)), atol=1e-5)
    assert [p.name for p in path.parent.iterdir()] == [name]


def test_equal_volumes_are_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.nii.gz", "b.nii.gz"):
        write_volume(tmp_path / name, DATA, AFFINE)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_write_refuses_what_is_no_volume(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must end in .nii"):
        write_volume(tmp_path / "out.img", DATA, AFFINE)
    with pytest.raises(InputError, match="3-D"):
        write_volume(tmp_path / "out.nii", DATA[None, None], AFFINE)
    assert list(tmp_path.iterdir()) == []


def test_a_qform_that_is_no_rotation_says_nothing_beside_a_sform(tmp_path):
    image = nib.Nifti1Image(np.ones((4, 5, 6), np.float32), np.diag([2.0, 2, 3, 1]))
    image.set_qform(np.diag([2.0, 2, 3, 1]), 1)
    nib.save(image, tmp_path / "a.nii")
    raw = bytearray((tmp_path / "a.nii").read_bytes())
    raw[256:260] = np.float32(352).tobytes()  # the first number of the quaternion
    (tmp_path / "a.nii").write_bytes(raw)
    assert np.allclose(read_volume(tmp_path / "a.nii").affine, np.diag([2.0, 2, 3, 1]))
