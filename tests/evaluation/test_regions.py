"""Fidelity inside a region: pooled over a subject's pixels, and silent where there are too few."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from a2a.common.errors import InputError
from a2a.evaluation.regions import FEWEST, heads, region_table
from a2a.forward.stack import StackSpec

SPEC = StackSpec.of("T1", "T2")


def test_only_errors_inside_count_and_slices_of_a_subject_are_pooled():
    target = np.full((3, 2, 16, 16), 0.5)
    prediction, region = target.copy(), np.zeros((3, 16, 16), bool)
    region[0, :2], region[1, 0, :8], region[2, :2, :12] = True, True, True  # 32 and 8 pixels of a, 24 of b
    prediction[0, 0, :2], prediction[1, 0, 0], prediction[1, 0, 5] = 0.6, 0.1, 1.0
    prediction[2, 1, :2] = 3.0  # clipped to 1
    table = region_table(target, prediction, {"lesion": region}, np.array(["a", "a", "b"]), SPEC)
    found = table.set_index(["subject", "modality", "metric"]).value
    assert found["a", "T1", "mae_lesion"] == pytest.approx((32 * 0.1 + 8 * 0.4) / 40)
    assert found["a", "T1", "psnr_lesion"] == pytest.approx(-10 * np.log10((32 * 0.01 + 8 * 0.16) / 40))
    assert found["a", "T2", "psnr_lesion"] == 100 and found["b", "T2", "mae_lesion"] == pytest.approx(0.5)


def test_similarity_inside_is_the_mean_of_the_map_of_whole_slices():
    rng = np.random.default_rng(0)
    x, y = rng.random((2, 1, 1, 32, 32))
    region = np.zeros((1, 32, 32), bool)
    region[0, 10:20, 8:22] = True
    (found,) = (
        region_table(x, y, {"brain": region}, np.array(["a"]), StackSpec.of("T1")).query("metric == 'ssim_brain'").value
    )
    options = {"data_range": 1.0, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    _, whole = structural_similarity(x[0, 0], y[0, 0], full=True, **options)
    assert found == pytest.approx(whole[region[0]].mean(), abs=1e-9)


def test_a_subject_with_hardly_any_of_the_region_has_no_rows():
    region = np.zeros((2, 16, 16), bool)
    region[0].flat[:FEWEST], region[1].flat[: FEWEST - 1] = True, True
    images = np.zeros((2, 2, 16, 16))
    assert set(region_table(images, images, {"lesion": region}, np.array(["a", "b"]), SPEC).subject) == {"a"}


def test_shapes_must_fit():
    with pytest.raises(InputError, match=r"a mask \(N, H, W\), got"):
        images = np.zeros((2, 2, 16, 16))
        region_table(images, images, {"x": images.astype(bool)}, np.array([1, 2]), SPEC)


def test_a_head_is_what_is_bright_with_its_holes_and_a_pixel_around():
    i, j = np.mgrid[:32, :32]
    away = np.hypot(i - 15, j - 15)
    bone, brain = (away > 8) & (away < 10), away < 6
    stacks = np.stack([0.3 * brain, 0.9 * bone])[None] + 0.02  # the air of every image is noisy
    stacks[0, 0, 1, 1] = 1.0  # a speck
    stacks[0, 1, 30] = np.nan
    (found,) = heads(stacks)
    assert found[away < 10].all() and not found[away > 11.5].any()
    assert not heads(np.zeros((1, 2, 32, 32))).any()
