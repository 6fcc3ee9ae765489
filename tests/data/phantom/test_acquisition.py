"""Scanner effects against their statistics, and normalisation to image units."""

from dataclasses import replace

import numpy as np
import pytest

from a2a.common.errors import InputError
from a2a.data.phantom import PhantomConfig, generate_subject, pet_constant, slice_indices, stack_slices, stack_spec
from a2a.data.phantom.acquisition import (
    ACQUISITIONS,
    FWHM,
    ct_noise,
    pet_filter,
    pet_noise,
    point_spread,
    pool,
    rician,
    sensitivity,
)
from a2a.data.phantom.grid import Grid
from a2a.data.phantom.mixing import susceptibility_loss
from a2a.data.phantom.tissue import INDEX

FINE = Grid(128, 1.0, 0.0, 24.0)


@pytest.fixture(scope="module")
def subject():
    return generate_subject(PhantomConfig(keep_clean=True, keep_fractions=True), 1)


def rng(seed: int = 3) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", ["T2FLAIR", "T2star", "CT", "PET"])
def test_point_spread_has_the_stated_width(name):
    volume = np.zeros(FINE.shape, np.float32)
    volume[12, 64, 64] = 1.0
    spread = point_spread(volume, FINE, ACQUISITIONS[name])
    assert spread.sum() == pytest.approx(1.0, rel=1e-4)
    heights = np.arange(24) - 12
    deviation = np.sqrt((spread.sum(axis=(1, 2)) * heights**2).sum())
    assert deviation * FWHM == pytest.approx(ACQUISITIONS[name].through, rel=0.03)


def test_pool_averages_blocks():
    image = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    np.testing.assert_array_equal(pool(image, 2), [[[2.5, 4.5], [10.5, 12.5]]])
    assert pool(image, 4) is image


def test_rician_noise_has_the_moments_of_its_distribution():
    zero = rician(np.zeros(200_000, np.float32), 0.5, rng())
    assert zero.mean() == pytest.approx(0.5 * np.sqrt(np.pi / 2), rel=0.01)
    bright = rician(np.full(200_000, 10.0, np.float32), 0.5, rng())
    assert bright.std() == pytest.approx(0.5, rel=0.01)
    assert (bright.astype(float) ** 2).mean() == pytest.approx(100 + 2 * 0.25, rel=0.002)


def test_mr_noise_follows_the_white_matter_signal(subject):
    white = subject.fractions[INDEX["wm"]] > 0.95
    for name, snr in (("T1", 45), ("T2FLAIR", 40), ("T2star", 40)):
        clean, noisy = subject.clean[name], subject.images[name]
        assert (noisy - clean)[white].std() == pytest.approx(np.median(clean[white]) / snr, rel=0.06)


def test_ct_noise_is_smooth_and_has_4_hu():
    noise = ct_noise(Grid(128, 4.0, 0.0, 40.0), rng())
    assert noise.std(dtype=float) == pytest.approx(4.0, rel=1e-4)
    neighbours = np.corrcoef(noise[:, :, :-1].ravel(), noise[:, :, 1:].ravel())[0, 1]
    kernel = np.exp(-0.5 * (1.75 * np.arange(-5, 6)) ** 2)
    assert neighbours == pytest.approx((kernel[1:] * kernel[:-1]).sum() / (kernel**2).sum(), abs=0.02)


def test_pet_noise_is_unbiased_and_about_5_percent():
    grid = Grid(128, 2.0, 0.0, 40.0)
    flat = np.full(grid.shape, 1.1, np.float32)
    counts = pet_noise(flat, grid, rng())
    assert counts.mean() == pytest.approx(1.1, rel=0.002)
    assert counts.var() == pytest.approx(1.1 / (40 * 1.75**2 * 2 / 8), rel=0.02)
    assert 0.03 < pet_filter(counts, grid).std() / 1.1 < 0.07
    assert not pet_noise(np.zeros(grid.shape, np.float32), grid, rng()).any()


def test_bias_is_shared_smooth_and_independent_of_the_grid():
    grid, coarse = Grid(128, 4.0, -40.0, 76.0), Grid(64, 4.0, -40.0, 76.0)
    first, second = (np.log(sensitivity(grid, rng(1), rng(own))) for own in (2, 3))
    other = np.log(sensitivity(grid, rng(9), rng(2)))
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > np.corrcoef(first.ravel(), other.ravel())[0, 1]
    assert np.abs(np.diff(first, axis=2)).max() < 0.02
    np.testing.assert_allclose(pool(np.exp(first), 64), sensitivity(coarse, rng(1), rng(2)), rtol=1e-3)
    logs = [np.log(sensitivity(coarse, rng(100 + i), rng(500 + i))) for i in range(60)]
    assert np.mean([v[14, 32, 2] - v[14, 32, 32] for v in logs]) == pytest.approx(0.05 * 1.5 * 0.9**2, abs=0.06)


def test_bleeds_bloom():
    grid = Grid(128, 2.0, 0.0, 20.0)
    nothing, bleed = np.zeros(grid.shape, np.float32), np.zeros(grid.shape, np.float32)
    bleed[5, 64, 64] = 1.0
    np.testing.assert_array_equal(susceptibility_loss(grid, nothing, nothing, nothing), 1.0)
    loss = susceptibility_loss(grid, nothing, bleed, nothing)
    assert loss[5, 64, 64] < loss[5, 64, 66] < 0.95 < loss[5, 64, 80] <= 1.0


@pytest.mark.parametrize(("count", "expected"), [(12, range(-24, 65, 8)), (23, range(-24, 65, 4)), (2, (-24, 64))])
def test_slices_are_equally_spaced(count, expected):
    planes = np.arange(-40.0, 76.0, 4.0)
    assert planes[slice_indices(planes, count)].tolist() == list(expected)


@pytest.mark.parametrize("count", [0, 1, 24])
def test_impossible_numbers_of_slices_are_refused(count):
    with pytest.raises(InputError, match="n_slices must be between 2 and 23"):
        slice_indices(np.arange(-40.0, 76.0, 4.0), count)


def test_stack_is_in_image_units(subject):
    stack = stack_slices(subject, 12, 2.5)
    assert stack.shape == (12, 5, 64, 64)
    assert stack.dtype == np.float32
    assert stack.min() >= 0
    assert stack.max() <= 1
    spec = stack_spec(2.5)
    assert spec.names == tuple(subject.images)
    chosen = slice_indices(subject.planes, 12)
    for name in ("CT", "PET"):
        low, high = spec[name].window
        inside = (subject.images[name][chosen] > low) & (subject.images[name][chosen] < high)
        back = low + stack[:, spec.index(name)] * (high - low)
        np.testing.assert_allclose(back[inside], subject.images[name][chosen][inside], atol=1e-3)
    scale = np.percentile(subject.images["T1"], 99.5)
    np.testing.assert_allclose(stack[:, 0], np.minimum(subject.images["T1"][chosen] / scale, 1), rtol=1e-5)


def test_stack_ignores_the_gain_of_mr(subject):
    louder = replace(subject, images=subject.images | {"T2star": 3 * subject.images["T2star"]})
    np.testing.assert_allclose(stack_slices(louder, 4, 2.5), stack_slices(subject, 4, 2.5), atol=1e-6)


def test_pet_constant_pools_the_brain(subject):
    voxels = subject.images["PET"][subject.brain_mask]
    constant = pet_constant(iter([subject]))
    assert (voxels > constant).sum() == int(0.001 * (voxels.size - 1)) + 1
    assert 1.5 < constant < 3.5
    with pytest.raises(InputError, match="at least one training subject"):
        pet_constant([])
