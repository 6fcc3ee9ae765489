"""Radiomic features against their definitions, and how the distance reacts to what it should notice."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import kurtosis, skew

from a2a.common.errors import InputError
from a2a.evaluation.frechet import frechet_distance, standardised
from a2a.evaluation.radiomics import FEATURES, radiomic_distance, radiomic_features
from a2a.evaluation.regions import heads


def discs(seed: int, count: int = 40) -> np.ndarray:
    """Textured discs (count, 32, 32) of varying size and brightness on black."""
    rng = np.random.default_rng(seed)
    i, j = np.mgrid[:32, :32]
    radius, level = rng.uniform(9, 14, (count, 1, 1)), rng.uniform(0.4, 0.6, (count, 1, 1))
    texture = gaussian_filter(rng.standard_normal((count, 32, 32)), (0, 1, 1))
    disc = (np.hypot(i - 15.5, j - 15.5) < radius).astype(float)
    return np.clip(disc * (level + 0.25 * texture), 0, 1)


def named(image: np.ndarray) -> dict[str, float]:
    return dict(zip(FEATURES, radiomic_features(image[None], image[None] > 0.05)[0][0], strict=True))


def test_ninety_named_features():
    assert len(FEATURES) == len(set(FEATURES)) == 90
    features, kept = radiomic_features(discs(0, 5))
    assert features.shape == (5, 90) and kept.all() and np.isfinite(features).all()


def test_first_order_features_are_those_of_the_masked_values():
    image = discs(1, 1)[0]
    v, found = image[image > 0.05], named(image)
    p10, p50, p90 = np.percentile(v, (10, 50, 90))
    middle = v[(v >= p10) & (v <= p90)]
    histogram = np.histogram(v, 32, (0, 1))[0] / v.size
    expected = {
        "mean": v.mean(), "sd": v.std(), "skewness": skew(v), "kurtosis": kurtosis(v) + 3, "p50": p50,
        "robust absolute deviation": np.abs(middle - middle.mean()).mean(),
        "energy": (v**2).mean(), "uniformity": (histogram**2).sum(),
    }  # fmt: skip
    for name, value in expected.items():
        assert found[f"original: {name}"] == pytest.approx(value), name


def test_co_occurrence_by_brute_force():
    image = discs(2, 1)[0]
    levels = np.where(image > 0.05, np.minimum(np.floor(32 * image), 31), 0).astype(int)
    counts = np.zeros((32, 32))
    for di, dj in ((0, 1), (1, 0), (1, 1), (1, -1)):
        for i in range(32):
            for j in range(32):
                if 0 <= i + di < 32 and 0 <= j + dj < 32:
                    a, b = levels[i, j], levels[i + di, j + dj]
                    counts[a, b] += 1
                    counts[b, a] += 1
    counts[0, 0] = 0
    p, (a, b), found = counts / counts.sum(), np.mgrid[:32, :32], named(image)
    mean = (a * p).sum()
    positive = p[p > 0]
    expected = {
        "joint mean": mean, "autocorrelation": (a * b * p).sum(), "contrast": ((a - b) ** 2 * p).sum(),
        "correlation": ((a - mean) * (b - mean) * p).sum() / ((a - mean) ** 2 * p).sum(),
        "difference average": (np.abs(a - b) * p).sum(), "joint energy": (p**2).sum(),
        "difference variance": ((a - b) ** 2 * p).sum() - (np.abs(a - b) * p).sum() ** 2,
        "joint entropy": -(positive * np.log2(positive)).sum(),
        "inverse difference moment": (p / (1 + (a - b) ** 2)).sum(), "maximum probability": p.max(),
        "cluster shade": ((a + b - 2 * mean) ** 3 * p).sum(), "cluster prominence": ((a + b - 2 * mean) ** 4 * p).sum(),
    }  # fmt: skip
    for name, value in expected.items():
        assert found[f"original: {name}"] == pytest.approx(value), name


def test_a_flat_disc_has_features_too():
    i, j = np.mgrid[:32, :32]
    found = named((np.hypot(i - 16, j - 16) < 10) * 0.5)
    assert found["original: sd"] == 0 and found["original: skewness"] == 0 and found["original: entropy"] == 0


def test_nearly_empty_slices_are_left_out():
    images = discs(3, 4)
    images[1] = 0
    images[2] = 0
    images[2, :5, :5] = 0.5  # 36 pixels with the one around
    features, kept = radiomic_features(images)
    assert kept.tolist() == [True, False, False, True] and len(features) == 2
    none, kept = radiomic_features(np.zeros((3, 32, 32)))
    assert none.shape == (0, 90) and not kept.any()


def test_mirroring_leaves_the_features_and_order_leaves_the_distance():
    images = discs(4, 10)
    np.testing.assert_allclose(radiomic_features(images[:, :, ::-1])[0], radiomic_features(images)[0], rtol=1e-9)
    assert radiomic_distance(images, images) == pytest.approx(0, abs=1e-8)
    other = discs(5, 12)
    assert radiomic_distance(images, other[::-1]) == pytest.approx(radiomic_distance(images, other), rel=1e-9)


def test_noise_in_the_air_is_no_difference_inside_the_head():
    real, rng = discs(8), np.random.default_rng(0)
    head = heads(real[:, None])
    noisy = real + np.where(head, 0, 0.02 * np.abs(rng.standard_normal(real.shape)))
    (x, _), (y, _) = radiomic_features(real, head), radiomic_features(noisy, head)
    assert frechet_distance(*standardised(x, y)) < 0.05 * radiomic_distance(real, gaussian_filter(real, (0, 0.5, 0.5)))
    assert radiomic_distance(real, noisy) < 0.05 * radiomic_distance(real, gaussian_filter(real, (0, 0.5, 0.5)))


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(InputError, match=r"shape of the images, \(2, 32, 32\)"):
        radiomic_features(discs(0, 2), np.ones((2, 16, 16), bool))


def test_distance_grows_with_blur_noise_and_gain_beyond_the_noise_floor():
    real, other, rng = discs(6, 60), discs(7, 60), np.random.default_rng(0)
    floor = radiomic_distance(real, other)
    blurred = [radiomic_distance(real, gaussian_filter(other, (0, s, s))) for s in (0.4, 0.7, 1.2)]
    noisy = [radiomic_distance(real, other + s * rng.standard_normal(other.shape)) for s in (0.03, 0.1)]
    gained = [radiomic_distance(real, g * other) for g in (0.9, 0.7)]
    for series in (blurred, noisy, gained):
        assert all(a < b for a, b in zip([floor, *series], series, strict=False))
    assert blurred[-1] > 10 * floor


@pytest.mark.parametrize(
    "images, says",
    [
        (np.zeros((32, 32)), r"\(N, H, W\), got \(32, 32\)"),
        (np.full((2, 32, 32), np.nan), "NaN"),
        (np.zeros((5, 32, 32)), "found 0 real and 5 generated"),
        (np.concatenate([np.zeros((5, 32, 32)), discs(0, 1)]), "found 1 real"),
    ],
)
def test_bad_images(images, says):
    with pytest.raises(InputError, match=says):
        radiomic_distance(images, discs(0, 5))
