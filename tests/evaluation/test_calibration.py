"""Calibration on Gaussian toys, where truth and samples come from one distribution, and on worked numbers."""

import numpy as np
import pytest
import torch

from a2a.common.errors import InputError
from a2a.evaluation.calibration import Recalibration, coverage, fair_crps, spread_skill
from a2a.forward.stack import StackSpec

SPEC = StackSpec.of("T1", "T2FLAIR")
LEVELS = (0.5, 0.8, 0.9)


def toy(samples: int, seed: int, stretch: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Truth and samples around a mean that varies with the pixel; samples `stretch` times as wide as they should be."""
    rng = np.random.default_rng(seed)
    mean = rng.uniform(0.3, 0.7, (4, 2, 64, 64))
    scale = np.array([0.05, 0.2]).reshape(1, 2, 1, 1) * np.linspace(0.2, 1.8, 64)
    truth = mean + scale * rng.standard_normal(mean.shape)
    return truth, mean + stretch * scale * rng.standard_normal((samples, *mean.shape))


@pytest.mark.parametrize("samples", [2, 5, 20])
def test_calibrated_samples_have_ratio_one(samples):
    table = spread_skill(*toy(samples, samples), SPEC)
    np.testing.assert_allclose(table["ratio"], 1.0, rtol=0.02)
    assert (table["correlation"] > (0.1, 0.15, 0.25)[[2, 5, 20].index(samples)]).all()


def test_overconfident_samples_are_seen_and_clean_modalities_have_no_ratio():
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((2, 2, 32, 32))
    drawn = 0.5 * rng.standard_normal((10, 2, 2, 32, 32))
    drawn[:, :, 1] = truth[:, 1]
    table = spread_skill(truth, drawn, SPEC)
    assert table["ratio"][0] == pytest.approx(0.5, abs=0.05)
    assert table["spread"][1] == pytest.approx(0.0, abs=1e-12)
    assert np.isnan(table["ratio"][1]) and np.isnan(table["correlation"][1])


@pytest.mark.parametrize("samples", [5, 8, 19])
def test_calibrated_samples_cover_what_they_promise(samples):
    table = coverage(*toy(samples, samples), SPEC, LEVELS)
    np.testing.assert_allclose(table["covered"], table["nominal"], atol=0.01)
    if samples == 19:
        np.testing.assert_allclose(table["nominal"], table["level"], atol=1e-12)


def test_coverage_sees_overconfidence_and_underconfidence():
    narrow, wide = (coverage(*toy(19, 0, stretch), SPEC, LEVELS) for stretch in (0.5, 2.0))
    assert (narrow["covered"] < narrow["nominal"] - 0.15).all()
    assert (wide["covered"] > wide["nominal"] + 0.05).all()


def test_crps_of_the_worked_example():
    drawn = np.array([0.1, 0.4, 0.2, 0.7, 0.5]).reshape(5, 1, 1, 1, 1)
    table = fair_crps(np.full((1, 1, 1, 1), 0.35), drawn, StackSpec.of("T1"))
    assert table["crps"][0] == pytest.approx(0.04) and table["mae"][0] == pytest.approx(0.03)


def test_crps_of_equal_samples_is_the_absolute_error_and_an_honest_spread_scores_best():
    truth, _ = toy(2, 0)
    alike = fair_crps(truth, np.repeat(truth[None] + 0.1, 6, axis=0), SPEC)
    np.testing.assert_allclose(alike["crps"], 0.1)
    scores = [fair_crps(*toy(19, 0, stretch), SPEC)["crps"] for stretch in (0.5, 1.0, 2.0)]
    assert (scores[1] < scores[0]).all() and (scores[1] < scores[2]).all()


@pytest.mark.parametrize("stretch", [0.4, 2.5])
def test_recalibration_learned_on_some_slices_serves_others(stretch):
    fitted = Recalibration.fitted(*toy(8, 0, stretch), SPEC)
    truth, drawn = toy(8, 1, stretch)
    mended = fitted.apply(torch.from_numpy(drawn))
    np.testing.assert_allclose(mended.mean(0), drawn.mean(0), atol=1e-12)
    before, after = (np.abs(spread_skill(truth, s, SPEC)["ratio"] - 1) for s in (drawn, mended))
    assert (after < 0.02).all() and (before > 0.3).all()


def test_what_was_given_needs_no_recalibration():
    truth, drawn = toy(4, 0)
    drawn[:, :, 0] = truth[:, 0]
    assert Recalibration.fitted(truth, drawn, SPEC).factors[0] == 1.0


def test_only_the_region_counts():
    truth, drawn = toy(6, 0)
    region = np.zeros((4, 64, 64), bool)
    region[:, :, :32] = True
    spoilt = truth.copy()
    spoilt[..., 32:] = 100.0
    for measure in (spread_skill, fair_crps, coverage):
        inside, same = (measure(t, drawn, SPEC, region=region) for t in (truth, spoilt))
        assert inside.equals(same) and not inside.equals(measure(truth, drawn, SPEC))


@pytest.mark.parametrize(
    ("target", "samples", "message"),
    [
        (np.zeros((2, 2, 4, 4)), np.zeros((0, 2, 2, 4, 4)), "needs [12] or more samples .* got 0"),
        (np.zeros((2, 2, 4, 4)), np.zeros((3, 2, 2, 4, 5)), "needs a target"),
        (np.zeros((2, 3, 4, 4)), np.zeros((3, 2, 3, 4, 4)), "needs a target"),
        (np.zeros((2, 2, 4, 4)), np.full((3, 2, 2, 4, 4), np.nan), "NaN"),
    ],
)
@pytest.mark.parametrize("measure", [spread_skill, coverage, fair_crps])
def test_bad_input(measure, target, samples, message):
    with pytest.raises(InputError, match=message):
        measure(target, samples, SPEC)


def test_bad_levels_regions_and_factors():
    truth, drawn = toy(3, 0)
    with pytest.raises(InputError, match="level 1.5 must lie between 0 and 1"):
        coverage(truth, drawn, SPEC, levels=(0.5, 1.5))
    with pytest.raises(InputError, match="region must be"):
        spread_skill(truth, drawn, SPEC, region=np.zeros((4, 64, 64), bool))
    with pytest.raises(InputError, match="has 1 factors"):
        Recalibration((1.0,)).apply(torch.from_numpy(drawn))


def test_one_answer_is_scored_by_its_mean_absolute_error():
    truth, drawn = toy(1, 0)
    score = fair_crps(truth, drawn, SPEC)
    assert score["crps"].tolist() == pytest.approx(score["mae"].tolist(), rel=1e-12)
    for measure in (spread_skill, coverage):
        with pytest.raises(InputError, match="needs 2 or more samples .* got 1"):
            measure(truth, drawn, SPEC)
