"""Octaves of spatial frequency: a partition, covariances that add up, filters that are what they say."""

import numpy as np
import pytest
import torch

from a2a.prior.frequency_bands import band_covariance, bands, filtered


@pytest.mark.parametrize("height, width", [(8, 8), (16, 12), (7, 10), (50, 50), (100, 8)])
def test_every_frequency_is_in_the_octave_of_its_cycles(height, width):
    found = bands(height, width)
    assert found.shape == (height, width) and int(found[0, 0]) == 0
    for row, down in enumerate(np.fft.fftfreq(height)):
        for column, across in enumerate(np.fft.fftfreq(width)):
            cycles = max(height, width) * float(np.hypot(down, across))
            band = int(found[row, column])
            assert band == 0 if cycles < 1 - 1e-9 else 2 ** (band - 1) <= cycles * (1 + 1e-9) < 2**band


def test_the_octaves_add_up_to_the_covariance_of_the_pixels():
    images = torch.randn(3, 2, 12, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    count = bands(12, 8).flatten().bincount()
    together = (band_covariance(images) * count[:, None, None]).sum(dim=0) / count.sum()
    pixels = images.transpose(0, 1).flatten(1)
    assert torch.allclose(together, pixels @ pixels.T / pixels.shape[1])


def test_independent_noise_has_the_same_variance_in_each_octave():
    images = torch.randn(4000, 2, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(band_covariance(images), torch.eye(2, dtype=torch.float64).expand(4, 2, 2), atol=0.15)


def test_one_gain_for_all_octaves_mixes_the_modalities():
    images = torch.randn(2, 3, 10, 14, generator=torch.Generator().manual_seed(0))
    mix = torch.tensor([[1.0, 2.0, 0.0], [0.0, -1.0, 0.5]], dtype=torch.float64)
    mixed = filtered(mix.expand(int(bands(10, 14).max()) + 1, 2, 3), images)
    assert torch.allclose(mixed, torch.einsum("mn,bnhw->bmhw", mix.float(), images), atol=1e-5)


def test_an_octave_passes_only_its_own_waves():
    x = torch.arange(16) / 16
    waves = torch.stack([torch.cos(2 * torch.pi * cycles * x).expand(16, 16) for cycles in (0, 1, 3, 6)])[:, None]
    for band, wave in zip((0, 1, 2, 3), waves, strict=True):
        gains = torch.zeros(5, 1, 1, dtype=torch.float64).index_fill_(0, torch.tensor([band]), 1.0)
        passed = filtered(gains, waves)
        assert torch.allclose(passed.sum(dim=0), wave, atol=1e-5)
