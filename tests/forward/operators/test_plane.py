"""Samples of a plane off the grid: against sums written out, `CartesianSense` on the grid, and dense systems."""

import pytest
import torch

from a2a.common.errors import InputError
from a2a.common.rng import generator, spawn
from a2a.forward.measured import KSpacePlane
from a2a.forward.operators import CartesianSense, PerItem, PlaneSense
from a2a.forward.undersampling import birdcage_maps

H, W = 10, 12
ROWS = torch.tensor([-0.47, -0.31, -0.07, 0.0, 0.06, 0.33], dtype=torch.float64)
COLUMNS = torch.tensor([-0.4, -0.21, 0.0, 0.02, 0.13, 0.3, 0.41], dtype=torch.float64)
MASK = torch.rand(6, 7, generator=generator(1)) < 0.6
MAPS = birdcage_maps(3, H, W).to(torch.complex128)
PLANE = PlaneSense(MASK, ROWS, COLUMNS, MAPS)


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=generator(5), dtype=torch.float64)


def dense(a: PlaneSense) -> torch.Tensor:
    """Every column of A, real parts above imaginary ones."""
    each = a.forward(torch.eye(H * W, dtype=torch.float64).reshape(-1, H, W)).flatten(1)
    return torch.view_as_real(each).flatten(1).T


def test_a_sample_is_the_sum_over_pixels_with_the_phase_of_its_frequencies():
    x, row, column = random(1, H, W), torch.arange(H) - H // 2, torch.arange(W) - W // 2
    for r, c in MASK.nonzero()[:4].tolist():
        wave = -2j * torch.pi * (ROWS[r] * row[:, None] + COLUMNS[c] * column)
        expected = (MAPS * x * torch.exp(wave)).sum(dim=(1, 2)) / (H * W) ** 0.5
        torch.testing.assert_close(PLANE.forward(x)[0, :, r, c], expected)
    assert not PLANE.forward(x)[:, :, ~MASK].any()


def test_the_adjoint_is_that_of_the_real_inner_product():
    x, y = random(2, H, W), torch.complex(random(2, 3, 6, 7), random(2, 3, 6, 7).flip(0))
    left = (PLANE.forward(x).conj() * y).real.sum()
    torch.testing.assert_close(left, (x * PLANE.adjoint(y)).sum(), rtol=1e-12, atol=0)


def test_trace_solution_and_count_are_those_of_the_dense_system():
    a, z, b = dense(PLANE), random(1, H, W), random(1, H, W)
    assert PLANE.trace(H, W) == pytest.approx(float(a.square().sum()), rel=1e-12)
    wanted = torch.linalg.solve(a.T @ a + 0.3 * torch.eye(H * W), (b + 0.3 * z).flatten()).reshape(1, H, W)
    torch.testing.assert_close(PLANE.prox(z, b, 0.3), wanted, rtol=1e-5, atol=1e-6)
    assert PLANE.measurements(H, W) == 2 * 3 * int(MASK.sum())


def test_on_the_frequencies_of_the_grid_it_is_cartesian_sampling():
    mask = torch.rand(H, W, generator=generator(2)) < 0.5
    rows, columns = ((torch.arange(n) - n // 2).double() / n for n in (H, W))
    a, b, x = PlaneSense(mask, rows, columns, MAPS), CartesianSense(mask, MAPS), random(2, H, W)
    torch.testing.assert_close(a.forward(x), b.forward(x))
    torch.testing.assert_close(a.prox(x, 2 * x, 0.3), b.prox(x, 2 * x, 0.3))


def test_noise_is_added_where_something_is_sampled_and_maps_may_be_of_each_slice():
    nothing = torch.zeros(2, 3, 6, 7, dtype=torch.complex128)
    noisy = PLANE.noisy(nothing, 0.1, spawn(0, 2))
    assert not noisy[:, :, ~MASK].any() and noisy[:, :, MASK].abs().min() > 0
    data = PLANE.forward(random(2, H, W))
    kspace = KSpacePlane(data, MASK, ROWS, COLUMNS, torch.stack([MAPS, MAPS.conj().resolve_conj()]), 0.1)
    operator, kept = kspace.measurement("T1")
    assert isinstance(operator, PerItem) and torch.equal(kept, data)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mask": MASK[:5]}, r"mask must be boolean \(6, 7\)"),
        ({"mask": MASK.double()}, "mask must be boolean"),
        ({"mask": torch.zeros(6, 7, dtype=torch.bool)}, "mask samples nothing"),
        ({"rows": ROWS.float()}, "rows must be float64 frequencies"),
        ({"columns": 2 * COLUMNS}, "columns must be float64 frequencies between -0.5 and 0.5"),
        ({"maps": MAPS.real}, "maps must be complex"),
        ({"maps": MAPS / 0}, "maps has values that are not finite"),
    ],
)
def test_what_does_not_fit_is_refused(change, words):
    parts = {"mask": MASK, "rows": ROWS, "columns": COLUMNS, "maps": MAPS}
    with pytest.raises(InputError, match=words):
        PlaneSense(**parts | change)


def test_other_images_and_data_are_refused():
    with pytest.raises(InputError, match="needed are float32 or float64"):
        PLANE.forward(random(1, H, H))
    with pytest.raises(InputError, match="needed is complex"):
        PLANE.adjoint(random(1, 3, 6, 7))
