"""Agreement with SigPy, and what offset and real images do to the conditioning (chapter "Exact data consistency")."""

import math

import numpy as np
import pytest
import sigpy
import sigpy.mri
import torch

from a2a.common.rng import generator, randn
from a2a.forward.masks import equispaced_mask, random_mask
from a2a.forward.operators import CartesianSense, fft2c, ifft2c
from a2a.forward.undersampling import Undersampling, birdcage_maps


def random_complex(seed, *shape):
    return torch.randn(shape, generator=generator(seed), dtype=torch.complex128)


@pytest.mark.parametrize("shape", [(8, 8), (9, 6), (7, 5)])
def test_fourier_transform_is_sigpys(shape):
    x = random_complex(0, 2, *shape)
    np.testing.assert_allclose(fft2c(x).numpy(), sigpy.fft(x.numpy(), axes=(-2, -1)), atol=1e-12)
    torch.testing.assert_close(ifft2c(fft2c(x)), x)
    assert float(fft2c(x).abs().square().sum()) == pytest.approx(float(x.abs().square().sum()))


@pytest.mark.parametrize("mask", [equispaced_mask(16, 4), random_mask(16, 2), torch.eye(16) > 0])
def test_sampling_is_sigpys(mask):
    maps = birdcage_maps(6, 16, 16).to(torch.complex128)
    operator = CartesianSense(mask, maps)
    weights = np.broadcast_to(mask.numpy().reshape(16, -1), (6, 16, 16)).astype(float)
    theirs = sigpy.mri.linop.Sense(maps.numpy(), weights=weights)
    x = torch.rand(1, 16, 16, generator=generator(1), dtype=torch.float64)
    y = random_complex(2, 1, 6, 16, 16)
    np.testing.assert_allclose(operator.forward(x)[0].numpy(), theirs(x[0].numpy().astype(complex)), atol=1e-12)
    np.testing.assert_allclose(operator.adjoint(y)[0].numpy(), theirs.H(y[0].numpy()).real, atol=1e-12)


HARD, EASY = (1461, 17.4), (16.8, 30.0)


@pytest.mark.parametrize(("offset", "facts"), list(enumerate([HARD, EASY, HARD, EASY])))
def test_the_offset_decides_how_hard_real_images_are(offset, facts):
    """Eight coils, R = 4, 256 lines, noise 0.01: condition number and PSNR (dB) of least squares, peak 1."""
    condition, psnr = facts
    operator = Undersampling(offset=offset).operator(256, 256)
    values = operator.eigenvalues()
    assert float(values[-1] / values[0]) == pytest.approx(condition, rel=1e-3)
    assert -10 * math.log10(0.01**2 * float((1 / values).mean())) == pytest.approx(psnr, abs=0.05)


@pytest.mark.parametrize("offset", [0, 1])
def test_least_squares_noise_is_what_the_eigenvalues_say(offset):
    operator = Undersampling(offset=offset).operator(64, 64)
    expected = 0.01**2 * float((1 / operator.eigenvalues()).mean())
    truth = torch.rand(20, 64, 64, dtype=torch.float64, generator=generator(1))
    noise = 0.01 * randn((2, 8, 64, 64), [generator(2, i) for i in range(20)], truth)
    y = operator.forward(truth) + operator.sampled(torch.complex(noise[:, 0], noise[:, 1]))
    error = operator.prox(torch.zeros_like(truth), operator.adjoint(y), 0.0) - truth
    assert float(error.square().mean()) == pytest.approx(expected, rel=0.1)


def test_default_mask_keeps_the_mean_and_offset_one_loses_it():
    """k = 0 is sampled by default: the k-space of a constant image, seen by one uniform coil, survives or not."""
    flat, uniform = torch.ones(1, 16, 16), torch.ones(1, 16, 16, dtype=torch.complex64)
    kept = CartesianSense(equispaced_mask(16, 4), uniform).forward(flat)
    assert float(kept.abs().square().sum()) == pytest.approx(256, rel=1e-6)
    assert float(CartesianSense(equispaced_mask(16, 4, 1), uniform).forward(flat).abs().max()) < 1e-5


def test_directions_with_almost_no_data_keep_their_information_at_single_precision():
    """With as many coils as R, half of the eigenvalues are around 1e-8: beside the weight little, but not nothing."""
    operator = Undersampling(acceleration=8).operator(16, 16)
    x, z = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noise = torch.Generator().manual_seed(1)
    y = operator.noisy(operator.forward(x), 0.01, [noise] * 3)
    for weight in (1e-2, 6e-4, 1e-5):
        exact = operator.prox(z, operator.adjoint(y), weight)
        single = operator.prox(z.float(), operator.adjoint(y.to(torch.complex64)), weight)
        assert float((single - exact).abs().max()) < 1e-7 / weight + 1e-6
