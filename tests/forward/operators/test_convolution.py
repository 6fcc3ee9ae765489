"""The product and the preconditioner of masks of both axes, against the definitions."""

import pytest
import torch

from a2a.common.rng import generator
from a2a.forward.operators import CartesianSense, cg
from a2a.forward.operators.convolution import Convolution
from a2a.forward.operators.fourier import fft2c
from a2a.forward.undersampling import Undersampling, birdcage_maps

SIDE = 12


def images(count=1, side=SIDE, seed=0):
    return torch.randn(count, side, side, generator=generator(seed), dtype=torch.float64)


@pytest.fixture
def operator():
    mask = torch.rand(SIDE, SIDE, generator=generator(5)) < 0.4
    return CartesianSense(mask, birdcage_maps(3, SIDE, SIDE).to(torch.complex128))


@pytest.fixture
def convolution(operator):
    return Convolution.of(operator.mask.double(), operator.maps)


def test_the_product_is_that_of_the_operator(operator, convolution):
    x = images(3)
    torch.testing.assert_close(convolution.normal(x), operator.adjoint(operator.forward(x)), rtol=1e-12, atol=1e-12)


def test_the_powers_are_the_diagonal_in_k_space(operator, convolution):
    pixels = torch.eye(SIDE**2, dtype=torch.float64).reshape(-1, SIDE, SIDE)
    fourier = fft2c(pixels).reshape(SIDE**2, -1).T
    dense = operator.normal(pixels).reshape(SIDE**2, -1).to(fourier)
    diagonal = (fourier @ dense @ fourier.mH).diagonal().real.reshape(SIDE, SIDE)
    expected = torch.fft.ifftshift(diagonal)[:, : SIDE // 2 + 1]
    torch.testing.assert_close(convolution.powers, expected, rtol=1e-10, atol=1e-10)


def test_the_preconditioner_is_symmetric_and_positive(convolution):
    a, b = images(seed=1), images(seed=2)
    lam = torch.tensor([0.3], dtype=torch.float64)[:, None, None]
    left, right = (a * convolution.near_inverse(b, lam)).sum(), (b * convolution.near_inverse(a, lam)).sum()
    torch.testing.assert_close(left, right, rtol=1e-12, atol=0)
    assert (a * convolution.near_inverse(a, lam)).sum() > 0


def test_no_weight_and_no_coil_leave_a_residual_alone(operator):
    maps = operator.maps.clone()
    maps[:, :, :4] = 0
    convolution, r = Convolution.of(operator.mask.double(), maps), images(2)
    out = convolution.near_inverse(r, torch.tensor([0.0, 0.1], dtype=torch.float64)[:, None, None])
    torch.testing.assert_close(out[0], r[0])
    assert torch.equal(out[1, :, :4], r[1, :, :4])
    assert not torch.allclose(out[1, :, 4:], r[1, :, 4:])


def test_half_as_many_iterations_suffice():
    operator = Undersampling(pattern="poisson", acs=8).operator(64, 64)
    z, lam = images(side=64).float(), 0.01
    convolution = Convolution.of(operator.mask.float(), operator.maps)
    b = convolution.normal(images(side=64, seed=3).float())

    def iterations(*precondition):
        result = cg(lambda x: convolution.normal(x) + lam * x, b + lam * z, z, 1e-6, 200, *precondition)
        assert bool(result.converged)
        return int(result.iterations)

    assert iterations(lambda r: convolution.near_inverse(r, lam)) < 0.6 * iterations()
