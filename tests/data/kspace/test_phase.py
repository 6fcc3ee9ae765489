"""An image with phase becomes a real one under maps that have it; what no real image explains counts as noise."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from a2a.data.kspace.phase import complex_image, misfit, with_phase
from a2a.forward.measured import KSpace
from a2a.forward.operators import fft2c

SIDE, COILS, NOISE = 32, 6, 0.003


@pytest.fixture
def image() -> Tensor:
    """A positive disc with structure, ``(H, W)``."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, SIDE)] * 2, indexing="ij")
    return torch.where(x.square() + y.square() < 0.7, 0.5 + 0.2 * torch.sin(7 * x) * torch.cos(5 * y), 0.0)


def scanned(image: Tensor, turns: float) -> KSpace:
    """k-space of an image whose phase winds `turns` times across it, R = 2 with twelve central lines."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, SIDE)] * 2, indexing="ij")
    angles = torch.arange(COILS) * 2 * torch.pi / COILS
    centres = 1.2 * torch.stack([angles.cos(), angles.sin()])
    apart = (x - centres[0, :, None, None]).square() + (y - centres[1, :, None, None]).square()
    maps = torch.exp(-apart) * torch.exp(1j * (angles[:, None, None] + x))
    maps = maps / maps.abs().square().sum(dim=0).sqrt()
    mask = torch.zeros(SIDE, dtype=torch.bool)
    mask[::2] = mask[10:22] = True
    phase = torch.exp(1j * torch.pi * turns * torch.sin(3 * x + 4 * y))
    clean = fft2c(maps * image * phase)
    noise = NOISE * torch.randn(2, *clean.shape, generator=torch.Generator().manual_seed(0))
    data = torch.where(mask[:, None], clean + torch.complex(*noise), 0)
    return KSpace(data[None].to(torch.complex64), mask, maps.to(torch.complex64), NOISE)


def real_image(kspace: KSpace) -> Tensor:
    operator, data = kspace.measurement("T1")
    b = operator.adjoint(data)
    return operator.prox(torch.zeros_like(b), b, 1e-2)[0]


def error(found: Tensor, image: Tensor) -> float:
    return float((found - image).square().mean().sqrt())


def test_the_complex_image_has_magnitude_and_phase(image):
    kspace = scanned(image, 0.4)
    found = complex_image(*kspace.measurement("T1"))[0]
    assert error(found.abs(), image) < 0.02 and found.imag.abs().max() > 0.2


def test_with_its_phase_in_the_maps_the_image_is_real(image):
    kspace = scanned(image, 0.4)
    turned = with_phase(kspace, "T1")
    assert error(real_image(kspace), image) > 0.05 > 0.02 > error(real_image(turned), image)
    assert real_image(turned).min() > -0.05 and turned.maps.shape == (1, COILS, SIDE, SIDE)
    assert turned.noise_std < 3 * NOISE and torch.equal(turned.data, kspace.data)


def test_a_phase_may_wrap(image):
    kspace = scanned(image, 2.5)  # from -450 to 450 degrees
    assert error(real_image(with_phase(kspace, "T1")), image) < 0.02 < 0.2 < error(real_image(kspace), image)


def test_a_real_image_stays_as_it_is(image):
    kspace = scanned(image, 0.0)
    assert abs(error(real_image(with_phase(kspace, "T1")), image) - error(real_image(kspace), image)) < 5e-3


def test_what_no_image_explains_is_taken_as_noise(image, capsys):
    kspace = scanned(image, 0.0)
    off = torch.randn(kspace.maps.shape, generator=torch.Generator().manual_seed(1))  # each coil by itself
    wrong = replace(kspace, maps=kspace.maps * (1 + 0.3 * off))
    found = with_phase(wrong, "T1")
    assert found.noise_std == pytest.approx(misfit(found, "T1")) and found.noise_std > 3 * NOISE
    assert "taken as its noise level" in capsys.readouterr().err
