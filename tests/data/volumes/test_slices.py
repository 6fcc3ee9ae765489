"""The way to the training grid and back: where things land, how values change, what is refused."""

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch

from a2a.common.errors import InputError
from a2a.data.volumes.nifti import Volume
from a2a.data.volumes.normalisation import Normalisation
from a2a.data.volumes.slices import SliceGeometry
from a2a.forward.stack import Modality


def _geometry(
    shape: tuple[int, int, int] = (20, 24, 5),
    size: int = 16,
    start: tuple[float, float] = (2.0, 4.0),
    side: float = 16.0,
    planes: tuple[int, ...] | None = None,
) -> SliceGeometry:
    affine = ((2.0, 0.0, 0.0, -10.0), (0.0, 2.0, 0.0, -20.0), (0.0, 0.0, 3.0, -6.0), (0.0, 0.0, 0.0, 1.0))
    return SliceGeometry(shape, affine, planes or tuple(range(shape[2])), start, (side, side), size)


def _smooth(shape: tuple[int, int, int]) -> np.ndarray:
    i, j, k = np.meshgrid(*(np.linspace(0, np.pi, n) for n in shape), indexing="ij")
    return (np.sin(i) ** 2 * np.sin(j) ** 2 * (0.6 + 0.4 * np.cos(2 * i + j + k))).astype(np.float32)


def test_pixels_that_are_voxels_are_copied_in_radiological_display() -> None:
    volume = np.random.default_rng(1).random((20, 24, 5)).astype(np.float32)
    geometry = _geometry()
    slices = geometry.to_slices(volume)
    np.testing.assert_array_equal(slices, volume[2:18, 4:20][::-1, ::-1].transpose(2, 1, 0))
    back = geometry.to_volume(slices)
    np.testing.assert_array_equal(back[2:18, 4:20], volume[2:18, 4:20])
    outside = np.ones((20, 24), dtype=bool)
    outside[2:18, 4:20] = False
    assert not back[outside].any()


def test_right_is_left_and_anterior_is_up() -> None:
    volume = np.zeros((20, 24, 5), np.float32)
    volume[17, 19, 3] = 1
    slices = _geometry().to_slices(volume)
    assert np.argwhere(slices).tolist() == [[3, 0, 0]]


def test_downsampling_is_antialiased_bilinear_as_in_torch() -> None:
    volume = np.zeros((36, 36, 3), np.float32)
    volume[4:32, 4:32] = np.random.default_rng(2).random((28, 28, 3))
    slices = _geometry((36, 36, 3), size=16, start=(0.0, 0.0), side=36.0).to_slices(volume)
    shown = torch.from_numpy(volume[::-1, ::-1].transpose(2, 1, 0).copy())[None]
    expected = torch.nn.functional.interpolate(shown, size=(16, 16), mode="bilinear", antialias=True)[0]
    np.testing.assert_allclose(slices, expected.numpy(), atol=1e-6)


def test_pixels_lie_where_the_world_says() -> None:
    """A triangle around a centre averages a ramp to its value there, so each pixel must show its own coordinates.

    The triangle is sampled at voxels, which moves a centre by up to a fiftieth of a voxel.
    """
    shape, affine = (40, 50, 4), np.diag([1.5, 1.25, 3.0, 1.0])
    affine[:3, 3] = -31.0, -29.0, -7.0
    geometry = SliceGeometry(shape, tuple(map(tuple, affine)), (0, 1, 2, 3), (7.0, 9.0), (24.0, 28.8), 8)
    index = np.stack(np.meshgrid(*map(np.arange, shape), np.ones(1), indexing="ij"))[..., 0]
    x, y, z = (affine @ index.reshape(4, -1))[:3].reshape(3, *shape)
    pixel = 36.0 / 8
    x_right = affine[0, 3] + 1.5 * (7.0 + 24.0 - 0.5)
    y_front = affine[1, 3] + 1.25 * (9.0 + 28.8 - 0.5)
    steps = (np.arange(8) + 0.5) * pixel
    np.testing.assert_allclose(geometry.to_slices(x), np.broadcast_to(x_right - steps, (4, 8, 8)), atol=0.04)
    np.testing.assert_allclose(geometry.to_slices(y), np.broadcast_to((y_front - steps)[:, None], (4, 8, 8)), atol=0.04)
    np.testing.assert_allclose(geometry.to_slices(z)[:, 4, 4], geometry.z_mm, atol=1e-4)


def test_a_round_head_stays_round_in_flat_voxels() -> None:
    affine = np.diag([4.0, 2.0, 5.0, 1.0])
    i, j = np.meshgrid((np.arange(48) - 23.5) * 4, (np.arange(96) - 47.5) * 2, indexing="ij")
    disc = np.repeat((i**2 + j**2 < 60**2)[..., None], 4, axis=2).astype(np.float32)
    geometry = SliceGeometry.fit([Volume(disc, affine)], size=48, field_of_view_mm=192.0)
    picture = geometry.to_slices(disc)[0]
    np.testing.assert_allclose(picture.sum(axis=0), picture.sum(axis=1), atol=1.5)
    assert abs(picture.sum() * 16 - np.pi * 60**2) < 0.01 * np.pi * 60**2


@pytest.mark.parametrize("size", [8, 12, 16, 40])
def test_values_stay_in_range_both_ways(size: int) -> None:
    volume = np.random.default_rng(3).integers(0, 2, (20, 24, 5)).astype(np.float32)
    slices = _geometry(size=size).to_slices(volume)
    back = _geometry(size=size).to_volume(slices)
    for values in (slices, back):
        assert values.dtype == np.float32 and values.min() >= 0 and values.max() <= 1 + 1e-6


@pytest.mark.parametrize(("size", "tolerance"), [(24, 0.03), (32, 0.02), (48, 1e-6), (96, 0.01)])
def test_round_trip_of_a_smooth_volume(size: int, tolerance: float) -> None:
    volume = _smooth((40, 44, 6))
    geometry = _geometry((40, 44, 6), size, (-4.0, -2.0), 48.0)
    assert np.abs(geometry.to_volume(geometry.to_slices(volume)) - volume).max() < tolerance


def test_window_beyond_the_volume_is_padded_with_zeros() -> None:
    slices = _geometry((10, 12, 2), 20, (-5.0, -4.0), 20.0, planes=(0, 1)).to_slices(np.ones((10, 12, 2), np.float32))
    assert slices[:, 4:16, 5:15].min() == 1 and slices.sum() == 2 * 120


def test_planes_between_are_interpolated_and_given_ones_kept() -> None:
    geometry = _geometry((16, 16, 12), 16, (0.0, 0.0), planes=(2, 3, 6, 10))
    z = np.broadcast_to(np.arange(12, dtype=np.float32), (16, 16, 12))
    back = geometry.to_volume(geometry.to_slices(z))
    np.testing.assert_allclose(back[:, :, 2:11], z[:, :, 2:11], atol=1e-5)
    assert not back[:, :, :2].any() and not back[:, :, 11:].any()


def test_a_single_plane_goes_both_ways() -> None:
    geometry = _geometry((16, 16, 3), 16, (0.0, 0.0), planes=(1,))
    volume = np.random.default_rng(4).random((16, 16, 3)).astype(np.float32)
    np.testing.assert_array_equal(geometry.to_volume(geometry.to_slices(volume))[..., 1], volume[..., 1])


def test_fit_centres_on_the_brain_and_takes_planes_that_show_it(head: Callable) -> None:
    affine = np.diag([8.0, 8.0, 8.0, 1.0])
    data = np.pad(head(0), ((0, 9), (3, 0), (0, 0)))
    geometry = SliceGeometry.fit([Volume(data, affine)], size=24, field_of_view_mm=192.0, brain_fraction=0.2)
    covered = (data > 0).sum(axis=(0, 1)) / 24**2
    assert geometry.planes == tuple(np.flatnonzero(covered >= 0.2)) and 3 < len(geometry.planes) < data.shape[2]
    where = np.argwhere(geometry.to_slices(data) > 0)[:, 1:]
    np.testing.assert_allclose(where.min(axis=0) + where.max(axis=0), 23, atol=1)
    shifted = SliceGeometry.fit([Volume(np.roll(data, (2, -1), (0, 1)), affine)], 24, 192.0, 0.2)
    np.testing.assert_array_equal(shifted.to_slices(np.roll(data, (2, -1), (0, 1))), geometry.to_slices(data))


def test_fit_sees_the_brain_in_any_image(head: Callable) -> None:
    data, affine = head(0), np.diag([8.0, 8.0, 8.0, 1.0])
    lower, upper = data.copy(), data.copy()
    lower[..., 9:], upper[..., :9] = 0, 0
    whole = SliceGeometry.fit([Volume(data, affine)])
    assert SliceGeometry.fit([Volume(lower, affine), Volume(upper, affine)]) == whole
    negative = Volume(np.where(data > 0, data, -5.0).astype(np.float32), affine)
    assert SliceGeometry.fit([negative]) == whole


def test_fit_refuses_what_does_not_fit(head: Callable) -> None:
    affine = np.diag([8.0, 8.0, 8.0, 1.0])
    with pytest.raises(InputError, match="signal spans 128 x 160 mm, more than the field of view of 144 mm"):
        SliceGeometry.fit([Volume(head(0), affine)], field_of_view_mm=144.0)
    with pytest.raises(InputError, match="no plane shows brain in 90%"):
        SliceGeometry.fit([Volume(head(0), affine)], brain_fraction=0.9)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(InputError, match=r"\(20, 24, 4\) does not fit"):
        _geometry().to_slices(np.zeros((20, 24, 4)))
    with pytest.raises(InputError, match=r"\(4, 16, 16\) do not fit"):
        _geometry().to_volume(np.zeros((4, 16, 16)))


def test_geometry_survives_json(head: Callable) -> None:
    geometry = SliceGeometry.fit([Volume(head(0), np.diag([8.0, 8.0, 7.5, 1.0]))], size=20)
    assert SliceGeometry.from_dict(json.loads(json.dumps(geometry.to_dict()))) == geometry


def test_percentile_of_positive_voxels() -> None:
    data = np.concatenate([np.full(5000, -3.0), np.zeros(5000), np.arange(1, 1002)]).astype(np.float32)
    scale = Normalisation.fit(Modality("T1"), data, 99.5)
    assert scale == Normalisation(0.0, 996.0)
    scaled = scale.forward(data)
    assert scaled.dtype == np.float32 and scaled.min() == 0 and scaled.max() == 1
    kept = (data >= 0) & (data <= 996)
    np.testing.assert_allclose(scale.inverse(scaled)[kept], data[kept], atol=1e-3)


def test_window_of_the_modality() -> None:
    scale = Normalisation.fit(Modality("CT", "CT", "HU", (-1000.0, 1600.0)), np.array([0.0]))
    np.testing.assert_allclose(scale.forward(np.array([-2000.0, -1000.0, 300.0, 1600.0, 3000.0])), [0, 0, 0.5, 1, 1])
    np.testing.assert_allclose(scale.inverse(np.array([0.0, 0.5, 1.0])), [-1000, 300, 1600])


def test_scales_that_cannot_be_are_refused() -> None:
    with pytest.raises(InputError, match="T1 has no positive voxel"):
        Normalisation.fit(Modality("T1"), np.array([-1.0, 0.0]))
    for low, high in ((1.0, 1.0), (0.0, np.inf), (np.nan, 1.0)):
        with pytest.raises(InputError, match="finite low < high"):
            Normalisation(low, high)
