"""Percentiles of what is above the air; their distance tells contrasts apart that have the same median."""

import numpy as np
import pytest

from a2a.data.volumes.brightness import LEVELS, UNLIKE, brightness, distance


def contrast(power: float, seed: int = 0) -> np.ndarray:
    """Slices whose voxels have the median 0.5 and a spread of the given power, in air."""
    image = np.random.default_rng(seed).random((9, 24, 24))
    image = 0.5 * (2 * image) ** power
    image[:, :6] = 0.02
    return image.clip(0, 1)


def test_percentiles_are_those_of_the_head():
    image = contrast(0.3)
    np.testing.assert_allclose(brightness(image), np.percentile(image[image > 0.1], LEVELS), atol=1e-3)
    assert brightness(np.zeros((2, 4, 4))) == brightness(np.full((2, 4, 4), np.nan)) == []


def test_the_same_contrast_is_near_and_another_far():
    usual = brightness(contrast(0.3))
    assert distance(brightness(contrast(0.3, 1)), usual) < 0.05 < UNLIKE < distance(brightness(contrast(0.9)), usual)
    assert distance([0.2, 0.3, 0.4, 0.5, 0.6], [0.1, 0.2, 0.5, 0.6, 0.7]) == pytest.approx(0.2)
