"""Lines off the grid: against sums written out, against `CartesianSense` on the grid, and against dense systems."""

import pytest
import torch

from a2a.common.errors import InputError
from a2a.common.rng import generator
from a2a.forward.measured import KSpaceLines
from a2a.forward.observation import Observation
from a2a.forward.operators import CartesianSense, LineSense, PerItem
from a2a.forward.stack import StackSpec
from a2a.forward.undersampling import birdcage_maps

H, W = 10, 12
LINES = torch.tensor([-0.47, -0.31, -0.2, -0.07, 0.0, 0.06, 0.11, 0.33], dtype=torch.float64)
BAND = torch.ones(W, dtype=torch.bool)
BAND[:2] = False


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=generator(5), dtype=torch.float64)


def operator(columns: bool = False, band: torch.Tensor | None = None) -> LineSense:
    maps = birdcage_maps(3, H, W).to(torch.complex128)
    return LineSense(LINES, maps, columns, band if not columns or band is None else band[:H])


CASES = [operator(), operator(True), operator(False, BAND), operator(True, BAND)]
NAMES = ["rows", "columns", "rows, band", "columns, band"]


def dense(a: LineSense) -> torch.Tensor:
    """Every column of A, real parts above imaginary ones."""
    each = a.forward(torch.eye(H * W, dtype=torch.float64).reshape(-1, H, W)).flatten(1)
    return torch.view_as_real(each).flatten(1).T


def test_a_line_is_the_sum_over_pixels_with_the_phase_of_its_frequency():
    a, x = operator(), random(1, H, W)
    row, column = torch.arange(H) - H // 2, torch.arange(W) - W // 2
    for line, k in ((2, 3), (5, -6)):
        wave = -2j * torch.pi * (LINES[line] * row[:, None] + k / W * column)
        expected = (a.maps * x * torch.exp(wave)).sum(dim=(1, 2)) / (H * W) ** 0.5
        torch.testing.assert_close(a.forward(x)[0, :, line, k + W // 2], expected)


@pytest.mark.parametrize("height", [10, 11])
def test_on_the_frequencies_of_the_grid_it_is_cartesian_sampling(height):
    mask = torch.zeros(height, dtype=torch.bool)
    mask[[0, 2, 4, 5, 6, 9]] = True
    maps = birdcage_maps(3, height, W).to(torch.complex128)
    lines = (mask.nonzero().flatten() - height // 2).double() / height
    a, b, x = LineSense(lines, maps), CartesianSense(mask, maps), random(2, height, W)
    torch.testing.assert_close(a.forward(x), b.forward(x)[:, :, mask])
    torch.testing.assert_close(a.normal(x), b.normal(x))
    torch.testing.assert_close(a.prox(x, 2 * x, 0.3), b.prox(x, 2 * x, 0.3))
    assert a.measurements(height, W) == b.measurements(height, W)
    assert a.trace(height, W) == pytest.approx(b.trace(height, W))


@pytest.mark.parametrize("a", CASES, ids=NAMES)
def test_adjoint_trace_and_numbers_are_those_of_the_matrix(a):
    matrix, x = dense(a), random(2, H, W)
    y = a.forward(random(2, H, W) + 1)
    assert y.shape == (2, 3, len(LINES), H if a.columns else W)
    inner = (torch.view_as_real(a.forward(x)) * torch.view_as_real(y)).sum()
    assert float((a.adjoint(y) * x).sum()) == pytest.approx(float(inner))
    torch.testing.assert_close(a.normal(x).flatten(1), x.flatten(1) @ matrix.T @ matrix)
    assert a.trace(H, W) == pytest.approx(float(matrix.square().sum()))
    assert a.measurements(H, W) == 2 * 3 * len(LINES) * int((a.forward(x) != 0)[0, 0, 4].sum())


@pytest.mark.parametrize("a", CASES, ids=NAMES)
@pytest.mark.parametrize("lam", [0.05, 3.0])
def test_prox_and_misfit_are_those_of_the_dense_system(a, lam):
    matrix, z = dense(a), random(2, H, W)
    y = a.forward(random(2, H, W).roll(1)) + 0.1
    b = a.adjoint(a.sampled(y))
    near = a.data_fidelity(b)(z)
    system = matrix.T @ matrix + lam * torch.eye(H * W, dtype=torch.float64)
    expected = torch.linalg.solve(system, (b + lam * z).flatten(1).T).T.reshape(2, H, W)
    torch.testing.assert_close(near.solve(lam), expected, atol=1e-9, rtol=1e-9)
    energy = torch.view_as_real(a.sampled(y)).square().sum(dim=(1, 2, 3, 4))
    residual = torch.view_as_real(a.sampled(y) - a.forward(z)).square().sum(dim=(1, 2, 3, 4))
    torch.testing.assert_close(near.misfit() + energy, residual)


def test_an_observation_knows_the_size_of_its_images_from_the_operator():
    data = torch.randn(2, 3, len(LINES), W, dtype=torch.complex64, generator=generator(1))
    maps = birdcage_maps(3, H, W)
    kspace = KSpaceLines(data, LINES, torch.stack([maps, maps.conj().resolve_conj()]), 0.1)
    observed = Observation.build(StackSpec.of("T1", "T2"), {"T2": torch.zeros(2, H, W)}, {"T1": kspace})
    assert observed.shape == (2, H, W) and observed.adjoint.shape == (2, 2, H, W)
    assert isinstance(observed.operator.blocks[0], PerItem) and observed[1:].repeat(2).shape == (2, H, W)
    x = torch.rand(2, 2, H, W, generator=generator(2))
    expected = [float((data[n] - observed.operator.blocks[0].forward(x[:, 0])[n]).abs().square().sum()) for n in (0, 1)]
    assert observed.residual_norm2(x)[:, 0].tolist() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frequencies": LINES.float()}, "frequencies must be float64"),
        ({"frequencies": LINES[:0]}, "at least one line"),
        ({"frequencies": 2 * LINES}, "between -0.5 and 0.5"),
        ({"maps": torch.ones(3, H, W)}, "maps must be complex"),
        ({"maps": torch.full((3, H, W), torch.nan + 0j)}, "not finite"),
        ({"band": BAND[:5]}, r"band must be boolean \(12,\)"),
        ({"band": BAND & False}, "band samples nothing"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    fields = {"frequencies": LINES, "maps": birdcage_maps(3, H, W)} | change
    with pytest.raises(InputError, match=message):
        LineSense(**fields)


def test_images_and_data_of_other_shapes_are_refused():
    with pytest.raises(InputError, match="Images have shape"):
        operator().forward(random(1, W, H))
    with pytest.raises(InputError, match="k-space is torch.complex128 of shape"):
        operator().adjoint(torch.zeros(1, 3, 4, W, dtype=torch.complex128))
    with pytest.raises(InputError, match="only maps may differ"):
        PerItem((operator(), operator(True)))
