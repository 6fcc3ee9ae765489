"""Conjugate gradients: each system for itself, and an honest report of how it ended."""

import pytest
import torch

from a2a.common.rng import generator
from a2a.forward.operators import CartesianSense, cg
from a2a.forward.undersampling import birdcage_maps


def systems(*conditions, size=6):
    """One random symmetric system (size^2 unknowns) for each condition number, as a map and its matrices."""
    matrices = []
    for i, condition in enumerate(conditions):
        basis = torch.linalg.qr(torch.randn(size**2, size**2, generator=generator(i), dtype=torch.float64)).Q
        values = torch.logspace(0, -1, size**2, dtype=torch.float64) ** torch.tensor(condition).log10()
        matrices.append((basis * values) @ basis.T)
    matrices = torch.stack(matrices)
    return lambda x: (matrices[: len(x)] @ x.flatten(1)[:, :, None]).reshape(x.shape), matrices


def right_hand_sides(count, size=6):
    return torch.randn(count, size, size, generator=generator(99), dtype=torch.float64)


def test_solves_each_system():
    apply, matrices = systems(1.0, 10.0, 1e3)
    rhs = right_hand_sides(3)
    result = cg(apply, rhs, torch.zeros_like(rhs), 1e-12, 300)
    expected = torch.linalg.solve(matrices, rhs.flatten(1)).reshape(rhs.shape)
    torch.testing.assert_close(result.x, expected, rtol=1e-7, atol=1e-7)
    assert bool(result.converged.all()) and float(result.residual.max()) < 1e-12
    assert int(result.iterations[0]) == 1 < int(result.iterations[1]) < int(result.iterations[2])


def test_an_easy_system_is_left_alone_while_a_hard_one_goes_on():
    apply, _ = systems(10.0, 1e3)
    rhs = right_hand_sides(2)
    together = cg(apply, rhs, torch.zeros_like(rhs), 1e-6, 300)
    alone = cg(apply, rhs[:1], torch.zeros_like(rhs[:1]), 1e-6, 300)
    assert int(together.iterations[0]) == int(alone.iterations[0]) < int(together.iterations[1])
    torch.testing.assert_close(together.x[0], alone.x[0], rtol=1e-14, atol=1e-14)


def test_the_cap_is_reported():
    apply, _ = systems(1.0, 1e3)
    rhs = right_hand_sides(2)
    result = cg(apply, rhs, torch.zeros_like(rhs), 1e-10, 3)
    assert result.converged.tolist() == [True, False]
    assert result.iterations.tolist() == [1, 3] and float(result.residual[1]) > 1e-10


def test_nothing_to_do():
    apply, _ = systems(10.0)
    zero = torch.zeros(1, 6, 6, dtype=torch.float64)
    result = cg(apply, zero, zero, 1e-10, 50)
    assert torch.equal(result.x, zero) and result.iterations.tolist() == [0] and bool(result.converged)


def test_stops_where_the_curvature_is_not_positive():
    rhs = right_hand_sides(1)
    evaluated = []

    def negative(x):
        evaluated.append(x)
        return -x

    result = cg(negative, rhs, torch.zeros_like(rhs), 1e-10, 50)
    assert torch.equal(result.x, torch.zeros_like(rhs)) and not bool(result.converged)
    assert len(evaluated) == 2


def test_the_operator_warns_how_far_it_came():
    mask = torch.rand(16, 16, generator=generator(0)) < 0.2
    operator = CartesianSense(mask, birdcage_maps(4, 16, 16), iterations=2)
    z = torch.rand(1, 16, 16)
    with pytest.warns(RuntimeWarning, match=r"after 2 iterations at relative residual \d"):
        operator.prox(z, operator.adjoint(operator.forward(z.flip(1))), 1e-4)
