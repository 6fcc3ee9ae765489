"""Regressions against least squares by hand, brute-force features, and functions they must (not) be able to learn."""

import numpy as np
import pytest

from a2a.common.errors import InputError
from a2a.methods.references import BoostedTrees, LinearRegression, TreesConfig
from a2a.methods.references.features import local_features

SMALL = TreesConfig(pixels=6000, iterations=40, leaves=15)


@pytest.fixture(scope="module")
def given() -> np.ndarray:
    """Noise smoothed a little, float32 (70, 2, 16, 20) in [0, 1]: more slices than one chunk."""
    noise = np.random.default_rng(0).uniform(size=(70, 2, 17, 21))
    return ((noise[..., 1:, 1:] + noise[..., :-1, :-1]) / 2).astype(np.float32)


PLANES = np.linspace(-20, 60, 70)


def test_linear_regression_is_least_squares_over_all_pixels(given):
    target = np.clip(given[:, :1] ** 2 - 0.3 * given[:, 1:], 0, 1)
    model = LinearRegression.fit(given, target)
    x = np.column_stack([given[:, 0].ravel(), given[:, 1].ravel(), np.ones(given[:, 0].size)]).astype(float)
    expected = np.linalg.lstsq(x, target.ravel().astype(float), rcond=None)[0]
    np.testing.assert_allclose(model.weights[:, 0], expected, rtol=1e-8)
    predicted = model.predict(given)
    assert predicted.dtype == np.float32 and predicted.min() >= 0
    np.testing.assert_allclose(predicted.ravel(), np.clip(x @ expected, 0, 1), atol=1e-6)


def test_linear_regression_of_several_targets_and_a_modality_that_says_nothing(given):
    blank = np.concatenate([given, np.zeros_like(given[:, :1])], axis=1)
    targets = np.stack([0.2 + 0.5 * given[:, 0], 0.9 - 0.6 * given[:, 1]], axis=1)
    np.testing.assert_allclose(LinearRegression.fit(blank, targets).predict(blank), targets, atol=1e-6)


def test_regressions_read_half_precision_stores(given):
    half = given.astype(np.float16)
    assert np.isfinite(LinearRegression.fit(half, half[:, :1]).predict(half)).all()


def test_local_features_by_brute_force(given):
    features = local_features(given[:3], PLANES[:3])
    assert features.shape == (3, 16, 20, 2 * (1 + 4 + 4 + 3) + 3) and features.dtype == np.float32
    image, pixel = given[1, 1], features[1, 8, 9]
    around = {size: image[8 - size // 2 : 9 + size // 2, 9 - size // 2 : 10 + size // 2] for size in (3, 5, 7, 9)}
    foreground = image[image > 0.05]
    expected = {
        1: image[8, 9],
        3: around[3].mean(),
        5: around[5].mean(),
        7: around[9].mean(),
        11: around[3].min(),
        13: around[3].max(),
        15: around[7].min(),
        17: around[7].max(),
        19: np.percentile(foreground, 25),
        23: np.percentile(foreground, 75),
        24: 8 / 15,
        25: 9 / 19,
        26: PLANES[1],
    }
    for index, value in expected.items():
        assert pixel[index] == pytest.approx(value, rel=1e-5), index


def test_features_of_an_empty_slice_are_finite():
    assert np.isfinite(local_features(np.zeros((1, 1, 8, 8)), np.zeros(1))).all()


def test_trees_learn_what_a_pixel_alone_cannot_tell(given):
    mean = local_features(given, PLANES)[..., 2 * 1]  # the 3 x 3 mean of the first modality
    target = np.stack([mean, 0.5 + 0.01 * np.broadcast_to(PLANES[:, None, None] / 10, mean.shape)], axis=1)
    test = slice(0, 70, 7)
    train = np.setdiff1d(np.arange(70), np.arange(0, 70, 7))
    trees = BoostedTrees.fit(given[train], target[train], PLANES[train], SMALL)
    linear = LinearRegression.fit(given[train], target[train])
    errors = [
        np.square(model - target[test]).mean(axis=(0, 2, 3))
        for model in (trees.predict(given[test], PLANES[test]), linear.predict(given[test]))
    ]
    assert errors[0][0] < errors[1][0] / 5 and errors[0][1] < 1e-5


def test_trees_depend_on_the_seed_alone(given):
    small = TreesConfig(pixels=2000, iterations=5)
    first, second = (BoostedTrees.fit(given, given[:, :1] ** 2, PLANES, small) for _ in range(2))
    other = BoostedTrees.fit(given, given[:, :1] ** 2, PLANES, small.model_copy(update={"seed": 1}))
    predicted = [model.predict(given[:4], PLANES[:4]) for model in (first, second, other)]
    assert np.array_equal(predicted[0], predicted[1]) and not np.array_equal(predicted[0], predicted[2])


def test_prediction_does_not_depend_on_the_batch(given):
    model = BoostedTrees.fit(given, given[:, :1] ** 2, PLANES, TreesConfig(pixels=2000, iterations=5))
    together = model.predict(given, PLANES)
    np.testing.assert_array_equal(together[66:], model.predict(given[66:], PLANES[66:]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g: LinearRegression.fit(g, g[:, :, :8]), "needs given"),
        (lambda g: LinearRegression.fit(g, g[:3]), "needs given"),
        (lambda g: LinearRegression.fit(g[:0], g[:0]), "needs given"),
        (lambda g: LinearRegression.fit(g, g * np.nan), "target images .* NaN"),
        (lambda g: LinearRegression.fit(g, g).predict(g[:, :1]), "fitted on 2 modalities"),
        (lambda g: LinearRegression.fit(g, g).predict(g * np.nan), "NaN"),
        (lambda g: BoostedTrees.fit(g, g, PLANES[:-1], SMALL), "position of each of the 70 slices"),
        (lambda g: BoostedTrees.fit(g, g, PLANES * np.nan, SMALL), "position of each"),
    ],
)
def test_bad_input(given, call, message):
    with pytest.raises(InputError, match=message):
        call(given)
