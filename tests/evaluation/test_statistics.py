"""Statistics against worked numbers, brute force, SciPy's own answers and their invariances."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from a2a.common.errors import InputError
from a2a.evaluation.statistics import (
    between_repeats,
    hodges_lehmann,
    holm,
    mean_interval,
    page_trend,
    per_subject,
    rank_biserial,
    signed_rank,
    verdict,
)

WORKED = (0.3, 0.1, 0.25, -0.05, 0.4, 0.2, 0.15)


def test_worked_numbers():
    assert signed_rank(WORKED) == pytest.approx((1.0, 0.03125))
    assert rank_biserial(WORKED) == pytest.approx(26 / 28)
    np.testing.assert_allclose(holm([0.01, 0.02, 0.03, 0.04]), [0.04, 0.06, 0.06, 0.06])


def test_signed_rank_is_the_exact_permutation_test():
    ranks = rankdata(np.abs(WORKED))
    sums = [sum(r for r, sign in zip(ranks, signs, strict=True) if sign) for signs in product((0, 1), repeat=7)]
    extreme = np.mean([min(s, 28 - s) <= 1 for s in sums])
    assert signed_rank(WORKED)[1] == pytest.approx(extreme)


def test_smallest_possible_p():
    assert signed_rank(np.arange(1, 6))[1] == pytest.approx(2 / 2**5)
    assert signed_rank(np.arange(1, 22))[1] == pytest.approx(2 / 2**21)


def test_zeros_are_ranked_as_pratt_has_it():
    d = [0.0, 0.0, 1.0, 2.0, -3.0, 4.0, 5.0, 6.0]
    assert rank_biserial(d) == pytest.approx((3 + 4 + 6 + 7 + 8 - 5) / (3 + 4 + 5 + 6 + 7 + 8))
    assert signed_rank(d)[0] == 5.0
    assert signed_rank(np.zeros(9)) == (0.0, 1.0)
    assert rank_biserial(np.zeros(9)) == 0.0


def test_effect_sizes_turn_with_the_sign():
    d = np.random.default_rng(0).standard_normal(15) + 0.4
    assert rank_biserial(-d) == pytest.approx(-rank_biserial(d))
    assert hodges_lehmann(-d) == pytest.approx(-hodges_lehmann(d))
    assert hodges_lehmann(d + 5) == pytest.approx(hodges_lehmann(d) + 5)
    assert rank_biserial(np.abs(d)) == 1.0


def test_hodges_lehmann_by_hand_and_against_an_outlier():
    assert hodges_lehmann([1.0, 2.0, 6.0]) == 2.75  # of 1, 1.5, 2, 3.5, 4, 6
    assert hodges_lehmann([1.0, 1.1, 1.2, 1.3, 1000.0]) < 2


@pytest.mark.parametrize("subjects", [3, 8])
def test_the_interval_covers_the_mean_as_often_as_it_says(subjects):
    draws = np.random.default_rng(0).standard_normal((4000, subjects)) + 1
    inside = np.mean([low < 1 < high for low, high in map(mean_interval, draws)])
    assert inside == pytest.approx(0.95, abs=0.01)


def test_the_interval_by_hand_and_its_edges():
    low, high = mean_interval([1.0, 2.0, 3.0, 4.0], 0.9)  # t = 2.3534 with 3 degrees of freedom, s = 1.2910
    assert (low, high) == pytest.approx((2.5 - 1.5191, 2.5 + 1.5191), abs=1e-4)
    assert mean_interval([0.5, 0.5, 0.5]) == (0.5, 0.5)
    assert np.isnan(mean_interval([0.5])).all()


def test_holm_keeps_order_ties_and_tests_not_made():
    np.testing.assert_allclose(holm([0.04, 0.01, 0.03, 0.02]), [0.06, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(holm([np.nan, 0.01, 0.04]), [np.nan, 0.02, 0.04])
    np.testing.assert_allclose(holm([0.5, 0.9]), [1.0, 1.0])
    np.testing.assert_allclose(holm([0.02]), [0.02])
    assert np.isnan(holm([np.nan])).all()


def test_page_trend_sees_an_order():
    rng = np.random.default_rng(0)
    rising = np.arange(4) + 0.8 * rng.standard_normal((12, 4))
    assert page_trend(rising)[1] < 1e-4
    assert page_trend(rising[:, ::-1])[1] > 0.99
    assert page_trend(np.tile([1.0, 2.0, 3.0], (5, 1)))[0] == 5 * 14


@pytest.mark.parametrize(
    "low, high, margin, says",
    [
        (0.1, 0.3, 0.0, "supported"),
        (-0.3, -0.1, 0.0, "contradicted"),
        (-0.1, 0.3, 0.0, "undecided"),
        (-0.1, 0.3, 0.25, "supported"),
        (-0.4, -0.3, 0.25, "contradicted"),
        (-0.3, 0.1, 0.25, "undecided"),
        (0.0, 0.0, 0.0, "undecided"),
        (np.nan, np.nan, 0.0, "undecided"),
    ],
)
def test_verdicts(low, high, margin, says):
    assert verdict(low, high, margin) == says


def long(values: dict[tuple[str, int], float]) -> pd.DataFrame:
    rows = [(subject, "T1", "psnr", seed, value) for (subject, seed), value in values.items()]
    return pd.DataFrame(rows, columns=["subject", "modality", "metric", "seed", "value"])


def test_repeats_are_averaged_within_the_subject_first():
    table = long({("a", 0): 1.0, ("b", 0): 3.0, ("a", 1): 2.0, ("b", 1): 6.0})
    found = per_subject(table, ["seed"])
    assert list(found) == ["subject", "modality", "metric", "value"]
    assert dict(zip(found["subject"], found["value"], strict=True)) == {"a": 1.5, "b": 4.5}
    spread = between_repeats(table, ["seed"])
    assert spread.iloc[0][["modality", "repeats"]].tolist() == ["T1", 2]
    assert spread["sd"][0] == pytest.approx(np.std([2.0, 4.0], ddof=1))


def test_averages_feed_the_summary():
    from a2a.evaluation.metrics import summary

    table = long({(s, seed): float(i + seed) for i, s in enumerate("abcdef") for seed in (0, 2)})
    with pytest.raises(InputError, match="subject"):
        summary(table.drop(columns="seed"))
    found = summary(per_subject(table, ["seed"]))
    assert found["mean"][0] == pytest.approx(3.5) and found["subjects"][0] == 6


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: signed_rank([]), "one number for each subject"),
        (lambda: signed_rank([[1.0, 2.0]]), "one number for each subject"),
        (lambda: rank_biserial([1.0, np.nan]), "NaN"),
        (lambda: hodges_lehmann([np.inf]), "infinite"),
        (lambda: mean_interval([1.0, 2.0], confidence=95), "between 0 and 1, got 95"),
        (lambda: holm([0.1, 1.2]), "between 0 and 1"),
        (lambda: page_trend(np.zeros((5, 2))), "3 or more conditions"),
        (lambda: page_trend(np.full((5, 3), np.nan)), "NaN"),
        (lambda: verdict(1.0, 0.0), "low <= high"),
        (lambda: verdict(0.0, 1.0, -0.1), "margin >= 0"),
        (lambda: per_subject(long({("a", 0): 1.0}), ["sample"]), "column 'sample'"),
        (lambda: per_subject(long({("a", 0): np.nan}), ["seed"]), "NaN"),
        (lambda: per_subject(long({("a", 0): 1.0, ("a", 1): 1.0, ("b", 0): 1.0}), ["seed"]), "1 repeats and others 2"),
        (lambda: between_repeats(long({("a", 0): np.nan}), ["seed"]), "NaN"),
    ],
)
def test_bad_input(call, says):
    with pytest.raises(InputError, match=says):
        call()
