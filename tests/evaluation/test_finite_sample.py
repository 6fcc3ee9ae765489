"""The bias of finite samples, its extrapolation, the noise floor, and intervals without replacement."""

import numpy as np
import pandas as pd
import pytest

from a2a.common.errors import InputError
from a2a.evaluation.finite_sample import distance_over_count, extrapolated, noise_floor, subsampled
from a2a.evaluation.frechet import frechet_distance, kernel_distance

D = 10


def normal(seed: int, n: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, D)) + shift


@pytest.mark.parametrize("n", [100, 1000])
def test_the_bias_of_whitened_features_is_as_stated(n):
    rng = np.random.default_rng(n)
    products = [n * frechet_distance(*rng.standard_normal((2, n, 64))) for _ in range(10)]
    assert 2140 < np.mean(products) < 2270  # about 64^2 / 2 + 2 * 64 = 2176


def test_distance_falls_with_the_number_of_images_and_the_limit_is_the_truth():
    curve = distance_over_count(normal(0, 20_000), normal(1, 600), seed=1)
    means = curve.groupby("n")["value"].mean()
    assert len(means) == 15 and means.index[0] == 120 and means.index[-1] == 600
    assert (curve["n"] == 600).sum() == 1 and (curve["n"] == 120).sum() == 10
    limit, slope = extrapolated(curve)
    assert means.iloc[0] > 3 * means.iloc[-1] > 0.1  # all bias: the distributions are one
    assert abs(limit) < 0.3 * means.iloc[-1]
    assert slope == pytest.approx(D**2 / 4 + D, rel=0.3)


def test_the_line_through_two_points_is_exact():
    assert extrapolated(pd.DataFrame({"n": [10, 20], "value": [3.0, 2.0]})) == pytest.approx((1.0, 20.0))


def test_the_same_seed_gives_the_same_curve_and_inputs_are_kept():
    real, generated = normal(0, 50), normal(1, 40)
    before = generated.copy()
    first, second = (distance_over_count(real, generated, [10, 40], draws=3) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)
    np.testing.assert_array_equal(generated, before)
    other = distance_over_count(real, generated, [10, 40], draws=3, seed=1)
    assert not np.allclose(first["value"][:3], other["value"][:3])
    assert first["value"].iloc[-1] == pytest.approx(other["value"].iloc[-1])  # all images: no choice


def test_noise_floor_is_where_a_perfect_model_lies():
    real, others = normal(0, 200), normal(1, 2000)
    floor = noise_floor(real, others, 100, draws=40)
    perfect, wrong = frechet_distance(real, normal(2, 100)), frechet_distance(real, normal(2, 100, shift=0.5))
    assert floor.shape == (40,) and floor.min() > 0
    assert floor.min() < perfect < floor.max() < wrong


def test_subsampling_has_the_spread_of_repeated_experiments():
    values = [frechet_distance(normal(2 * s, 200), normal(2 * s + 1, 200, shift=0.5)) for s in range(100)]
    found = subsampled(normal(0, 200), {"a": normal(1, 200, shift=0.5)}, list(range(200)), draws=300).iloc[0]
    assert found["value"] == pytest.approx(values[0])
    assert 0.75 < found["sd"] / np.std(values, ddof=1) < 1.35
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * found["sd"])


def test_resampling_with_replacement_would_inflate_the_distance():
    rng, x, y = np.random.default_rng(0), normal(0, 60), normal(1, 60)
    resampled = [frechet_distance(x[rng.choice(60, 60)], y[rng.choice(60, 60)]) for _ in range(50)]
    assert min(resampled) > frechet_distance(x, y)


def test_pairing_over_subjects_narrows_the_difference():
    subjects = np.repeat(np.arange(40), 5)
    rng = np.random.default_rng(0)
    real = normal(0, 200) + np.repeat(rng.standard_normal((40, D)), 5, axis=0)
    methods = {"a": real + 0.3, "b": real + 0.3 + 0.05 * rng.standard_normal(real.shape)}
    paired = subsampled(real, methods, subjects, {"a": subjects, "b": subjects}).set_index("method")
    assert list(paired.index) == ["a", "b", "a - b"]
    assert paired.loc["a - b", "value"] == pytest.approx(paired.loc["a", "value"] - paired.loc["b", "value"])
    assert paired.loc["a", "value"] == pytest.approx(D * 0.09, rel=1e-6)
    assert paired.loc["a", "sd"] < 1e-6  # the same subjects on both sides: only the shift is left
    mixed = subsampled(real, methods, subjects).set_index("method")
    assert mixed.loc["a", "sd"] > 0.05


def test_other_distances():
    curve = distance_over_count(normal(0, 300), normal(1, 300), [50, 300], draws=40, distance=kernel_distance)
    small = curve[curve["n"] == 50]["value"]
    assert abs(small.mean()) < 4 * small.std() / np.sqrt(40) + 0.05


@pytest.mark.parametrize(
    "counts, draws, says",
    [([1], 5, "size 1 must lie between 2 and 40"), ([41], 5, "size 41"), ([10], 0, "draws must be at least 1")],
)
def test_bad_sizes(counts, draws, says):
    with pytest.raises(InputError, match=says):
        distance_over_count(normal(0, 50), normal(1, 40), counts, draws)


def test_bad_curves_floors_and_groups():
    with pytest.raises(InputError, match="two sizes"):
        extrapolated(pd.DataFrame({"n": [10, 10], "value": [1.0, 2.0]}))
    with pytest.raises(InputError, match="at least 60 other real images, got 50"):
        noise_floor(normal(0, 50), normal(1, 50), 60)
    real, ids = normal(0, 10), list(range(10))
    with pytest.raises(InputError, match="10 rows and 9 subjects"):
        subsampled(real, {"a": real}, ids[:9])
    with pytest.raises(InputError, match="subject 99, which the real images lack"):
        subsampled(real, {"a": real}, ids, {"a": [99, *ids[1:]]})
    with pytest.raises(InputError, match="four subjects"):
        subsampled(real, {"a": real}, [0] * 5 + [1] * 5)
    with pytest.raises(InputError, match="no method 'b'"):
        subsampled(real, {"a": real}, ids, {"b": ids})
