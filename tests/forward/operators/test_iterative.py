"""Operators that bring `forward` and `adjoint` alone: what follows from them, against dense algebra in float64."""

from dataclasses import dataclass

import pytest
import torch

from a2a.common.errors import InputError
from a2a.common.rng import generator, spawn
from a2a.forward.measured import Measured
from a2a.forward.observation import Observation
from a2a.forward.operators import LinearOperator
from a2a.forward.operators.iterative import adjoint_error
from a2a.forward.stack import StackSpec
from a2a.prior.gaussian import GaussianPrior
from a2a.samplers import mds, mps

SIDE = 6
SPEC = StackSpec.of("T1", "CT")


@dataclass(frozen=True, eq=False)
class Dense(LinearOperator):
    """A matrix whose data are a block ``(B, rows / 3, 3)``; complex where the matrix is."""

    matrix: torch.Tensor
    wrong: float = 1.0

    def forward(self, x):
        return (x.flatten(1).to(self.matrix.dtype) @ self.matrix.T).unflatten(1, (-1, 3))

    def adjoint(self, y):
        image = (y.flatten(1) @ self.matrix.conj()).real
        return self.wrong * image.unflatten(1, (SIDE, SIDE))


def dense(rows: int, dtype: torch.dtype = torch.float64) -> Dense:
    real = torch.randn(2, rows, SIDE * SIDE, generator=generator(3), dtype=torch.float64) / SIDE
    return Dense((torch.complex(*real) if dtype.is_complex else real[0]).to(dtype))


def normal_matrix(operator: Dense) -> torch.Tensor:
    return (operator.matrix.conj().T @ operator.matrix).real


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("rows", [12, 60])
@pytest.mark.parametrize("lam", [0.0, 0.3, "each"])
def test_solves_are_those_of_dense_algebra(dtype, rows, lam):
    operator = dense(rows, dtype)
    z, x = torch.randn(2, 2, SIDE, SIDE, generator=generator(4), dtype=torch.float64)
    b = operator.adjoint(operator.forward(x))
    weight = torch.tensor([0.2, 2.0], dtype=torch.float64)[:, None, None] if lam == "each" else lam
    found = operator.prox(z, b, weight).flatten(1)
    n, each = normal_matrix(operator), torch.as_tensor(weight, dtype=torch.float64).expand(2, 1, 1).flatten()
    for i in range(2):
        change = torch.linalg.pinv(n + each[i] * torch.eye(len(n)), rtol=1e-10) @ (b[i].flatten() - n @ z[i].flatten())
        torch.testing.assert_close(found[i], z[i].flatten() + change, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_count_trace_and_misfit_follow(dtype):
    operator = dense(12, dtype)
    assert operator.measurements(SIDE, SIDE) == 12 * (1 + dtype.is_complex)
    assert operator.trace(SIDE, SIDE) == operator.trace(SIDE, SIDE)
    assert operator.trace(SIDE, SIDE) == pytest.approx(float(normal_matrix(operator).trace()), rel=0.15)
    z, x = torch.randn(2, 1, SIDE, SIDE, generator=generator(5))
    y = operator.forward(x)
    misfit = operator.data_fidelity(operator.adjoint(y))(z).misfit() + (y.abs() ** 2).sum()
    expected = (operator.forward(z) - y).abs().square().sum()
    assert float(misfit) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_noise_is_that_of_every_real_number(dtype):
    operator = dense(12, dtype)
    y = torch.zeros(400, 4, 3, dtype=dtype)
    noise = operator.noisy(y, 0.3, spawn(0, 400))
    parts = torch.view_as_real(noise) if dtype.is_complex else noise
    assert float(parts.std()) == pytest.approx(0.3, rel=0.05) and float(parts.mean().abs()) < 0.02


def observe(text: str = "CT@matrix + T1", operator: Dense | None = None, std: float = 0.05) -> Observation:
    x = 0.5 + 0.1 * torch.randn(1, 2, SIDE, SIDE, generator=generator(6), dtype=torch.float64)
    return Observation.simulate(x, text, SPEC, operators={"matrix": (operator or dense(12), std)})


def test_data_of_any_shape_are_observed_and_known_by_their_operator():
    given = observe()
    assert str(given.scenario) == "T1 + CT@matrix" and given.kinds == ("clean", "measured")
    assert given.data[1].shape == (1, 4, 3) and given.shape == (1, SIDE, SIDE)
    assert given.noise_std == (0.0, 0.05)
    again = Observation.build(SPEC, {"T1": given.data[0]}, {"CT": Measured(dense(12), given.data[1], 0.05)})
    assert torch.equal(again.adjoint, given.adjoint) and again.repeat(3)[1:].shape == (2, SIDE, SIDE)


@pytest.mark.law
@pytest.mark.long
def test_both_samplers_are_exact_through_such_an_operator():
    mean = torch.full((2, SIDE, SIDE), 0.5, dtype=torch.float64)
    toy, given = GaussianPrior.correlated(SPEC, mean, 0.2, correlation=0.6, length=0.0), observe()
    exact = toy.posterior(given)
    steered = mps(toy, given, steps=200, cg_steps=12, samples=400, batch=400)
    # float64 throughout, 400 samples: the mean is known to 5 % of the posterior's deviation
    assert float((steered.mean[0] - exact.mean)[1].abs().mean()) < 0.08 * float(exact.std[1].mean())
    corrected = mds(toy, given, steps=100, samples=100, batch=100)
    before = float((mean - exact.mean)[1].square().mean())
    assert float((corrected.mean[0] - exact.mean)[1].square().mean()) < 0.5 * before


def test_an_operator_whose_adjoint_is_none_is_refused_with_the_number():
    wrong = Dense(dense(12).matrix.float(), wrong=1.5)
    assert adjoint_error(wrong.forward, wrong.adjoint, SIDE, SIDE) > 1e-3
    with pytest.raises(InputError, match=r"operator of matrix is not consistent: .* differ by \d\.\de-\d+ of"):
        observe(operator=wrong)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("CT@views", "the scenario CT@views names 'views', but it is not there"),
        ("CT@", "character 1: expected modality@operator, or y.modality. for k-space, found 'CT@'"),
        ("y(CT@matrix)", "character 3: expected modality@operator"),
        ("PET@matrix", "Unknown modality 'PET'"),
        ("CT@matrix + CT", "CT is given twice"),
    ],
)
def test_scenarios_that_name_no_operator_are_refused(text, sentence):
    with pytest.raises(InputError, match=sentence):
        observe(text)
