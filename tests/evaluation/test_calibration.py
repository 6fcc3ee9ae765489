"""Spread and skill on a Gaussian toy, where truth and samples come from one distribution."""

import numpy as np
import pytest

from a2a.errors import InputError
from a2a.evaluation.calibration import spread_skill
from a2a.stack import StackSpec

SPEC = StackSpec.of("T1", "T2FLAIR")


@pytest.mark.parametrize("samples", [2, 5, 20])
def test_calibrated_samples_have_ratio_one(samples):
    rng = np.random.default_rng(samples)
    mean = rng.uniform(0.3, 0.7, (4, 2, 64, 64))
    scale = np.array([0.05, 0.2]).reshape(1, 2, 1, 1)
    truth = mean + scale * rng.standard_normal(mean.shape)
    drawn = mean + scale * rng.standard_normal((samples, *mean.shape))
    table = spread_skill(truth, drawn, SPEC)
    np.testing.assert_allclose(table["ratio"], 1.0, rtol=0.02)
    np.testing.assert_allclose(table["skill"], scale.ravel() * np.sqrt(1 + 1 / samples), rtol=0.02)


def test_overconfident_samples_are_seen_and_clean_modalities_have_no_ratio():
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((2, 2, 32, 32))
    drawn = 0.5 * rng.standard_normal((10, 2, 2, 32, 32))
    drawn[:, :, 1] = truth[:, 1]
    table = spread_skill(truth, drawn, SPEC)
    assert table["ratio"][0] == pytest.approx(0.5, abs=0.05)
    assert table["spread"][1] == pytest.approx(0.0, abs=1e-12) and np.isnan(table["ratio"][1])


@pytest.mark.parametrize(
    ("target", "samples", "message"),
    [
        (np.zeros((2, 2, 4, 4)), np.zeros((1, 2, 2, 4, 4)), "at least two samples"),
        (np.zeros((2, 2, 4, 4)), np.zeros((3, 2, 2, 4, 5)), "needs a target"),
        (np.zeros((2, 3, 4, 4)), np.zeros((3, 2, 3, 4, 4)), "needs a target"),
        (np.zeros((2, 2, 4, 4)), np.full((3, 2, 2, 4, 4), np.nan), "NaN"),
    ],
)
def test_bad_input(target, samples, message):
    with pytest.raises(InputError, match=message):
        spread_skill(target, samples, SPEC)
