"""Fréchet and kernel distances against worked numbers, closed forms, invariances, and torchmetrics."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from a2a.common.errors import InputError
from a2a.evaluation.frechet import frechet_distance, frechet_of_moments, kernel_distance, standardised


@pytest.fixture(scope="module")
def sets() -> tuple[np.ndarray, np.ndarray]:
    """Correlated features (60, 5) and (45, 5) of two distributions."""
    rng = np.random.default_rng(0)
    mix = rng.standard_normal((5, 5))
    return rng.standard_normal((60, 5)) @ mix, 0.7 * rng.standard_normal((45, 5)) @ mix + 0.3


def test_worked_numbers():
    first, second = ((0, 0), np.diag([1, 4])), ((1, -1), [[2, 0.5], [0.5, 1]])
    assert frechet_of_moments(*first, *second) == pytest.approx(3.279434, abs=5e-7)
    corners = [(0, 0), (1, 0), (0, 1), (1, 1)], [(0.5, 0.5), (1.5, 0.5), (0.5, 1.5)]
    assert kernel_distance(*corners) == pytest.approx(-0.989583, abs=5e-7)


def test_commuting_covariances_have_a_closed_form():
    a, b, shift = np.array([1.0, 4.0, 9.0]), np.array([4.0, 1.0, 16.0]), np.array([1.0, 2.0, 2.0])
    expected = 9.0 + np.square(np.sqrt(a) - np.sqrt(b)).sum()
    assert frechet_of_moments(np.zeros(3), np.diag(a), shift, np.diag(b)) == pytest.approx(expected, rel=1e-12)


def test_features_equal_moments_and_the_matrix_root(sets):
    x, y = sets
    moments = [m for a in sets for m in (a.mean(axis=0), np.cov(a.T))]
    assert frechet_distance(x, y) == pytest.approx(frechet_of_moments(*moments), rel=1e-10)
    mean_x, cov_x, mean_y, cov_y = moments
    root = np.trace(sqrtm(cov_x @ cov_y).real)
    plain = np.square(mean_x - mean_y).sum() + np.trace(cov_x) + np.trace(cov_y) - 2 * root
    assert frechet_distance(x, y) == pytest.approx(plain, rel=1e-8)


def test_agrees_with_torchmetrics(sets):
    import torch

    from a2a.common._torchvision import ensure_torchvision

    ensure_torchvision()
    from torchmetrics.image.fid import _compute_fid

    moments = [torch.from_numpy(m) for a in sets for m in (a.mean(axis=0), np.cov(a.T))]
    assert frechet_distance(*sets) == pytest.approx(float(_compute_fid(*moments)), rel=1e-8)


@pytest.mark.parametrize("rows", [20, 300])
def test_equal_sets_have_distance_zero_even_with_fewer_rows_than_features(rows):
    x = np.random.default_rng(1).standard_normal((rows, 90))
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-8)
    assert frechet_distance(x, x[::-1]) == pytest.approx(0, abs=1e-8)


def test_invariances(sets):
    x, y = sets
    value = frechet_distance(x, y)
    rotation = np.linalg.qr(np.random.default_rng(2).standard_normal((5, 5)))[0]
    assert frechet_distance(y, x) == pytest.approx(value, rel=1e-10)
    assert frechet_distance(x[::-1], y) == pytest.approx(value, rel=1e-10)
    assert frechet_distance(x @ rotation + 3, y @ rotation + 3) == pytest.approx(value, rel=1e-10)
    assert frechet_distance(2 * x, 2 * y) == pytest.approx(4 * value, rel=1e-10)


def test_a_shift_counts_squared(sets):
    x, _ = sets
    assert frechet_distance(x, x + np.array([3, 0, 4, 0, 0])) == pytest.approx(25, rel=1e-10)


def test_kernel_distance_is_the_plain_double_sum(sets):
    x, y = sets[0][:6], sets[1][:5]

    def k(u, v):
        return (u @ v / 5 + 1) ** 3

    within = [sum(k(u, v) for i, u in enumerate(a) for j, v in enumerate(a) if i != j) for a in (x, y)]
    between = np.mean([k(u, v) for u in x for v in y])
    assert kernel_distance(x, y) == pytest.approx(within[0] / 30 + within[1] / 20 - 2 * between, rel=1e-12)


def test_kernel_distance_is_unbiased_where_the_frechet_distance_is_not():
    rng = np.random.default_rng(3)
    pool = rng.standard_normal((400, 8))
    orders = [rng.permutation(400) for _ in range(60)]
    kernel, frechet = (
        np.array([distance(pool[order[:40]], pool[order[40:80]]) for order in orders])
        for distance in (kernel_distance, frechet_distance)
    )
    assert abs(kernel.mean()) < 3 * kernel.std(ddof=1) / np.sqrt(60)
    assert frechet.min() > 0 and frechet.mean() > 10 * frechet.std(ddof=1) / np.sqrt(60)


def test_standardised_uses_the_reference_and_drops_constants():
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((50, 3)) * (1, 5, 1) + 2, rng.standard_normal((20, 3))
    x[:, 2] = 7.0
    a, b = standardised(x, y)
    assert a.shape == (50, 2) and b.shape == (20, 2)
    np.testing.assert_allclose(a.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(a.std(axis=0), 1, rtol=1e-12)
    np.testing.assert_allclose(b, (y[:, :2] - x[:, :2].mean(0)) / x[:, :2].std(0))
    with pytest.raises(InputError, match="constant"):
        standardised(np.ones((5, 3)))


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
@pytest.mark.parametrize(
    "x, y, says",
    [
        (np.zeros((5, 3)), np.zeros((5, 4)), r"\(5, 3\) and \(5, 4\)"),
        (np.zeros((1, 3)), np.zeros((5, 3)), "N >= 2"),
        (np.zeros(3), np.zeros((5, 3)), "features"),
        (np.full((5, 3), np.nan), np.zeros((5, 3)), "NaN"),
        (np.zeros((5, 0)), np.zeros((5, 0)), "features"),
    ],
)
def test_bad_features(distance, x, y, says):
    with pytest.raises(InputError, match=says):
        distance(x, y)


@pytest.mark.parametrize(
    "covariance, says",
    [
        (np.array([[1.0, 0.5], [0.1, 1.0]]), "symmetric"),
        (np.diag([1.0, -0.5]), "negative eigenvalue -0.5"),
        (np.diag([1.0, np.nan]), "finite"),
        (np.eye(3), r"\(3, 3\)"),
    ],
)
def test_bad_moments(covariance, says):
    with pytest.raises(InputError, match=says):
        frechet_of_moments(np.zeros(2), covariance, np.zeros(2), np.eye(2))
