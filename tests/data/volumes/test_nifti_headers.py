"""Headers that contradict themselves or leave something open, and what is written for a sheared grid."""

import gzip
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from a2a.common.errors import InputError
from a2a.data.volumes.nifti import read_volume, write_volume

DATA = np.random.default_rng(0).random((6, 7, 5)).astype(np.float32)
AFFINE = np.array([[3.0, 0, 0, -10], [0, 3.0, 0, -20], [0, 0, 4.0, 5], [0, 0, 0, 1]])
MIRRORED = np.diag([-1.0, 1, 1, 1]) @ AFFINE


def written(path: Path, sform: np.ndarray | None, qform: np.ndarray | None, codes: tuple[int, int] = (1, 1)) -> Path:
    image = nib.Nifti1Image(DATA, None)
    image.set_sform(sform, codes[0] if sform is not None else 0)
    image.set_qform(qform, codes[1] if qform is not None else 0)
    path.write_bytes(image.to_bytes())
    return path


def patched(path: Path, offset: int, value: float) -> Path:
    raw = bytearray(path.read_bytes())
    struct.pack_into("<f", raw, offset, value)
    path.write_bytes(bytes(raw))
    return path


def moved(mm: float) -> np.ndarray:
    other = AFFINE.copy()
    other[1, 3] += mm
    return other


@pytest.mark.parametrize("codes", [(1, 1), (4, 1)])
def test_left_and_right_are_unknown_where_sform_and_qform_mirror_each_other(tmp_path, codes):
    with pytest.raises(InputError, match=r"a.nii: its sform and its qform contradict .* left and right are unknown"):
        read_volume(written(tmp_path / "a.nii", AFFINE, MIRRORED, codes))


def test_two_places_of_one_code_contradict_and_of_two_codes_do_not(tmp_path):
    with pytest.raises(InputError, match=r"contradict each other by up to 2 mm, so its place is unknown"):
        read_volume(written(tmp_path / "a.nii", AFFINE, moved(2.0)))
    for qform, codes in ((moved(40.0), (4, 1)), (moved(0.01), (1, 1)), (None, (1, 0))):
        np.testing.assert_allclose(read_volume(written(tmp_path / "a.nii", AFFINE, qform, codes)).affine, AFFINE)


@pytest.mark.parametrize("pixdim", [0.0, float("nan")])
def test_a_qform_without_voxel_size_is_refused_and_nothing_else_is_printed(tmp_path, capfd, pixdim):
    path = patched(written(tmp_path / "q.nii", None, AFFINE), 80, pixdim)
    with pytest.raises(InputError, match="has a voxel size of .* x 3 x 4 in pixdim, so it is unknown"):
        read_volume(path)
    read_volume(patched(written(tmp_path / "s.nii", AFFINE, None), 80, 0.0))  # the sform says it
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("packed", [False, True])
def test_an_offset_of_zero_is_what_the_length_of_the_file_says(tmp_path, packed):
    path = patched(written(tmp_path / "a.nii", AFFINE, AFFINE), 108, 0.0)
    if packed:
        path = path.rename(tmp_path / "a.nii.gz")
        path.write_bytes(gzip.compress(path.read_bytes()))
    np.testing.assert_array_equal(read_volume(path).data, DATA)


def test_an_offset_of_zero_in_a_file_of_another_length_is_refused(tmp_path):
    path = patched(written(tmp_path / "a.nii", AFFINE, AFFINE), 108, 0.0)
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(InputError, match=r"voxels begin at byte 0 \(vox_offset\)"):
        read_volume(path)


def test_half_of_a_pair_is_called_that(tmp_path):
    nib.Nifti1Pair(DATA, AFFINE).to_filename(tmp_path / "a.img")
    (tmp_path / "b.nii").write_bytes((tmp_path / "a.hdr").read_bytes())
    for name in ("a.hdr", "b.nii"):
        with pytest.raises(InputError, match=f"{name} is one half of a pair"):
            read_volume(tmp_path / name)


def test_a_sheared_grid_is_written_without_a_quaternion_that_would_contradict_it(tmp_path):
    sheared = AFFINE.copy()
    sheared[0, 1] = 1.0
    write_volume(tmp_path / "a.nii", DATA, sheared)
    header = nib.load(tmp_path / "a.nii").header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 0)
    np.testing.assert_allclose(read_volume(tmp_path / "a.nii").affine, sheared)
