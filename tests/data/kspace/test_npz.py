"""k-space in npz files: what is written is read, and everything else is refused with the file's name."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from a2a.common.errors import InputError
from a2a.common.rng import generator
from a2a.data.kspace.file import read_kspace
from a2a.data.kspace.frame import Grid
from a2a.data.kspace.npz import KSpaceFile, write_kspace
from a2a.data.volumes.normalisation import Normalisation
from a2a.forward.undersampling import Undersampling
from a2a.patient.read import simulate_kspace

SHAPE = (3, 16, 16)
GRID = Grid(3, 16, 192.0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A k-space file of three slices."""
    image = torch.rand(SHAPE, generator=generator(1))
    content = KSpaceFile(simulate_kspace(image, Undersampling(coils=4)), Normalisation(-5.0, 95.0))
    write_kspace(tmp_path / "y.npz", content)
    return tmp_path / "y.npz"


@pytest.fixture
def change(file: Path) -> Callable[..., Path]:
    """Write the file again with fields changed, or left out where the change is None."""

    def written(**changes: Callable | None) -> Path:
        with np.load(file) as content:
            values = dict(content)
        for field, how in changes.items():
            value = values.pop(field)
            if how is not None:
                values[field] = how(value)
        np.savez(file, **values)
        return file

    return written


@pytest.mark.parametrize("pattern", ["equispaced", "random", "poisson"])
@pytest.mark.parametrize("scale", [None, Normalisation(0.0, 300.0)])
def test_round_trip_bit_for_bit(tmp_path, pattern, scale):
    image = torch.rand(SHAPE, generator=generator(2))
    kspace = simulate_kspace(image, Undersampling(acceleration=2, coils=4, noise_std=0.013, pattern=pattern))
    write_kspace(tmp_path / "y.npz", KSpaceFile(kspace, scale))
    again = read_kspace(tmp_path / "y.npz", "T1", GRID)
    assert torch.equal(again.kspace.data, kspace.data) and torch.equal(again.kspace.maps, kspace.maps)
    assert torch.equal(again.kspace.mask, kspace.mask) and again.kspace.noise_std == kspace.noise_std
    assert again.scale == scale


def test_any_number_of_slices_where_none_is_asked_for(file):
    assert len(read_kspace(file, "T1", Grid(None, 16, 192.0)).kspace.data) == 3


def test_a_mask_of_zeros_and_ones_and_other_precisions_are_read(change):
    path = change(mask=np.uint8, kspace=np.complex128, maps=np.complex128, noise_std=np.float32)
    assert read_kspace(path, "T1", GRID).kspace.data.dtype == torch.complex64


def test_the_scale_of_the_maps_does_not_count_as_that_of_the_image(change):
    content = read_kspace(change(maps=lambda v: 50 * v, kspace=lambda v: 50 * v), "T1", GRID)
    assert float(content.kspace.maps.abs().max()) > 10


@pytest.mark.parametrize("field", ["kspace", "mask"])
def test_a_missing_field_is_named(change, field):
    with pytest.raises(InputError, match=f"y.npz: lacks {field}; k-space of T1 needs kspace, mask"):
        read_kspace(change(**{field: None}), "T1", GRID)


def test_maps_cannot_be_found_in_few_lines(change):
    with pytest.raises(InputError, match="y.npz: . central lines are sampled fully, too few to estimate coil maps"):
        read_kspace(change(maps=None), "T1", GRID)


def test_a_missing_noise_level_is_that_of_the_rim(change):
    noise = torch.complex(*torch.randn(2, 3, 4, 16, 16, generator=generator(3)))
    path = change(noise_std=None, kspace=lambda v: v + 0.3 * noise.numpy() * (np.abs(v) > 0))
    assert 0.25 < read_kspace(path, "T1", GRID).kspace.noise_std < 0.45


@pytest.mark.parametrize(
    ("field", "how", "message"),
    [
        ("kspace", lambda v: v[:2], r"k-space of T1 has shape \(2, 4, 16, 16\); needed is \(3, coils, 16, 16\)"),
        ("kspace", lambda v: v[..., :8], r"has shape \(3, 4, 16, 8\); needed"),
        ("kspace", lambda v: v[:, 0], r"has shape \(3, 16, 16\); needed"),
        ("kspace", lambda v: np.float32(0), r"has shape \(\); needed"),
        (
            "kspace",
            lambda v: v[:, :2],
            r"complex64 \(3, 2, 16, 16\); expected complex \(B, 4, 16, 16\) to fit its maps",
        ),
        ("kspace", np.real, "is torch.float32"),
        ("kspace", lambda v: v * np.nan, "values that are not finite"),
        ("kspace", lambda v: 900 * v, r"largest value of about \d.*; scale it so that the image lies in \[0, 1\]"),
        ("kspace", lambda v: 1e-4 * v, r"largest value of about \d.*; scale it so that the image lies in \[0, 1\]"),
        ("kspace", lambda v: 0 * v, "k-space of T1 holds nothing but zeros"),
        ("mask", lambda v: v[:8], r"mask has shape \(8,\); expected \(16,\) or \(16, 16\)"),
        ("mask", lambda v: ~v & v, "mask samples nothing"),
        ("mask", lambda v: v * 0.5, "mask must hold only 0 and 1"),
        ("maps", lambda v: v[0], r"maps must be complex \(coils, H, W\)"),
        ("noise_std", lambda v: -v, "noise_std of T1 is -0.01; it must be finite, and 0 or positive"),
        ("noise_std", lambda v: v * np.nan, "noise_std of T1 is nan"),
        ("noise_std", lambda v: np.array([v, v]), "noise_std must be one real number"),
        ("noise_std", lambda v: v + 1j, "noise_std must be one real number"),
        ("range", lambda v: v[:1], "range must be two numbers"),
        ("range", lambda v: v[::-1], "finite low < high"),
    ],
)
def test_bad_fields_are_refused(change, field, how, message):
    with pytest.raises(InputError, match=message) as refused:
        read_kspace(change(**{field: how}), "T1", GRID)
    assert str(refused.value).startswith(str(change())) and "\n" not in str(refused.value)


def test_damaged_files_are_refused(file, tmp_path):
    whole = file.read_bytes()
    middle = len(whole) // 2
    damaged = whole[:middle] + bytes(b ^ 255 for b in whole[middle : middle + 200]) + whole[middle + 200 :]
    for content in (whole[:-300], whole[:100], b"", b"not a file of NumPy", damaged):
        (tmp_path / "bad.npz").write_bytes(content)
        with pytest.raises(InputError, match=r"bad.npz: damaged"):
            read_kspace(tmp_path / "bad.npz", "T1", GRID)
    with pytest.raises(InputError, match="gone.npz: no such file"):
        read_kspace(tmp_path / "gone.npz", "T1", GRID)


def test_objects_are_never_unpickled(change):
    with pytest.raises(InputError, match=r"y.npz: kspace is of type object; needed are numbers"):
        read_kspace(change(kspace=lambda v: np.array([{"a": v}], dtype=object)), "T1", GRID)
