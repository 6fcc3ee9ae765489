"""Proxies of sharpness and aliasing: exact values where there are any, order and insensitivity elsewhere."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from a2a.common.errors import InputError
from a2a.evaluation.metrics import summary
from a2a.evaluation.sharpness import aliasing, high_frequency_energy, mean_gradient, sharpness_table
from a2a.forward.stack import StackSpec

SPEC = StackSpec.of("T1", "CT")


@pytest.fixture(scope="module")
def head() -> np.ndarray:
    """A textured disc (64, 64)."""
    rng = np.random.default_rng(0)
    i, j = np.mgrid[:64, :64]
    texture = gaussian_filter(rng.standard_normal((64, 64)), 1)
    return np.clip((np.hypot(i - 31, (j - 31) * 1.2) < 24) * (0.5 + 0.5 * texture), 0, 1)


def test_waves_below_and_above_half_nyquist():
    i = np.mgrid[:64, :64][0]
    low, high = (0.5 + 0.4 * np.cos(2 * np.pi * f * i) for f in (0.1, 0.4))
    window = np.outer(*[np.hanning(66)[1:-1]] * 2)
    energy = np.square(0.4 * window * np.cos(2 * np.pi * 0.4 * i)).mean()
    assert high_frequency_energy(high) == pytest.approx(energy, rel=1e-4)
    assert high_frequency_energy(low) < 1e-6 * energy


def test_gradient_of_a_ramp():
    i, j = np.mgrid[:32, :32]
    assert mean_gradient(0.1 + 0.003 * i + 0.004 * j) == pytest.approx(0.005)


@pytest.mark.parametrize("measure", [high_frequency_energy, mean_gradient])
def test_blur_lowers_and_noise_raises(measure, head):
    rng = np.random.default_rng(1)
    blurred = [measure(gaussian_filter(head, s), head) for s in (0.0, 0.4, 0.8, 1.5)]
    noisy = [measure(head + s * rng.standard_normal(head.shape), head) for s in (0.0, 0.05, 0.1)]
    assert blurred == sorted(blurred, reverse=True) and blurred[-1] < 0.7 * blurred[0]
    assert noisy == sorted(noisy) and noisy[-1] > 1.1 * noisy[0]


@pytest.mark.parametrize("measure", [high_frequency_energy, mean_gradient])
def test_only_the_box_counts(measure, head):
    framed = np.pad(head, 20)
    assert measure(framed) == pytest.approx(measure(head), rel=1e-12)
    outside = framed.copy()
    outside[0, 0] = 1.0  # far from the target's box
    assert measure(outside, framed) == pytest.approx(measure(framed), rel=1e-12)


def test_boxes_that_are_too_small_are_not_applicable():
    images = np.zeros((2, 32, 32))
    images[1, 3:9, 3:30] = 0.5
    assert np.isnan(high_frequency_energy(images)).all() and np.isnan(mean_gradient(images)).all()


def test_a_folded_copy_is_found_wherever_it_lies_and_whatever_its_sign(head):
    for shift, sign in ((16, 1), (32, -1), (48, 1)):
        assert aliasing(head, head + sign * 0.05 * np.roll(head, shift, axis=0), 4) == pytest.approx(1, abs=1e-6)
    turned = head.T + 0.05 * np.roll(head.T, 16, axis=1)
    assert aliasing(head.T, turned, 4, axis=-1) == pytest.approx(1, abs=1e-6)
    assert aliasing(head.T, turned, 4) < 0.6


def test_what_is_no_aliasing_is_not_taken_for_it(head):
    noise = head + 0.05 * np.random.default_rng(2).standard_normal(head.shape)
    assert aliasing(head, head, 4) == 0
    assert aliasing(head, 0.9 * head + 0.02, 4) < 1e-6
    assert aliasing(head, noise, 4) < 0.06
    assert aliasing(head, gaussian_filter(head, 1.0), 4) < 0.2
    weak, strong = (aliasing(head, noise + a * np.roll(head, 16, axis=0), 4) for a in (0.05, 0.2))
    assert 0.06 < weak < strong < 1


def test_a_real_undersampled_image_has_aliasing(head):
    kept = np.zeros(64)
    kept[::4] = 4
    zero_filled = np.fft.ifft(np.fft.fft(head, axis=0) * kept[:, None], axis=0).real
    assert aliasing(head, zero_filled, 4) > 0.5


def test_a_constant_target_is_not_applicable():
    assert np.isnan(aliasing(np.full((8, 8), 0.5), np.random.default_rng(0).uniform(size=(8, 8)), 4))


def test_table_has_the_rows_of_subject_table_and_feeds_the_summary(head):
    target = np.stack([np.stack([head, 0.8 * head])] * 6)
    prediction = gaussian_filter(target, (0, 0, 0.7, 0.7))
    ids = list("aabbcc")
    table = sharpness_table(target, prediction, ids, SPEC, acceleration=4)
    assert list(table) == ["subject", "modality", "metric", "value"] and len(table) == 3 * 2 * 3
    means = summary(table).set_index(["modality", "metric"])["mean"]
    assert means["T1", "hfr"] < means["T1", "gradient"] < 1
    assert means["T1", "hfr"] == pytest.approx(means["CT", "hfr"])  # a ratio: the gain cancels
    same = sharpness_table(target, target, ids, SPEC)
    assert set(same["metric"]) == {"hfr", "gradient"} and np.allclose(same["value"], 1)
    tensors = sharpness_table(torch.from_numpy(target), torch.from_numpy(prediction), ids, SPEC, 4)
    np.testing.assert_allclose(tensors["value"], table["value"])


def test_empty_slices_do_not_count_and_empty_subjects_have_no_row(head):
    target = np.stack([np.stack([head, head]), np.zeros((2, 64, 64)), np.zeros((2, 64, 64))])
    table = sharpness_table(target, target, ["a", "a", "b"], SPEC, 4)
    assert set(table["subject"]) == {"a"} and set(table[table["metric"] == "hfr"]["value"]) == {1.0}


def test_other_heads_of_the_same_sharpness_score_one_wherever_they_lie():
    noise = gaussian_filter(np.random.default_rng(0).standard_normal((24, 1, 64, 64)), (0, 0, 1, 1))
    i, j = np.mgrid[:64, :64]
    here, there = np.hypot(i - 20, j - 20) < 14, np.hypot(i - 42, j - 42) < 18
    target, prediction = (
        (0.5 + noise[part]).clip(0.1, 1) * where for part, where in ((slice(12), here), (slice(12, 24), there))
    )
    ids, spec = ["a"] * 12, StackSpec.of("T1")
    own = sharpness_table(target, prediction, ids, spec, paired=False).set_index("metric")["value"]
    assert own["hfr"] == pytest.approx(1, abs=0.25)
    laid_on_the_other = sharpness_table(target, prediction, ids, spec).set_index("metric")["value"]
    assert not 0.75 < laid_on_the_other["hfr"] < 1.25


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda x: aliasing(x, x[:-1], 4), "one shape"),
        (lambda x: aliasing(x, x, 1), "at least 2"),
        (lambda x: aliasing(x, x, 5), "divide the 64 pixels, got 5"),
        (lambda x: aliasing(x, x, 4, axis=0), "axis must be -2"),
        (lambda x: aliasing(x, x * np.nan, 4), "prediction has NaN"),
        (lambda x: mean_gradient(x, x[:-1]), "shape of the images"),
        (lambda x: mean_gradient(np.zeros(5)), r"\(..., H, W\)"),
        (lambda x: sharpness_table(x, x, ["a"], SPEC), "N subjects"),
        (lambda x: sharpness_table(x[None, None], x[None, None], ["a"], SPEC), r"\(N, 2, H, W\)"),
    ],
)
def test_bad_input(call, says, head):
    with pytest.raises(InputError, match=says):
        call(head)
