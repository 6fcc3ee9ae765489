"""The linear estimate of whole stacks: against the conditional mean by the inverse of a full covariance matrix."""

import numpy as np
import pytest
import torch

from a2a.prior.principal import PrincipalEstimate

SHAPE = (2, 4, 4)


@pytest.fixture
def gaussian() -> PrincipalEstimate:
    """Three directions in the space of stacks, by a random orthonormal basis."""
    draw = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(32, 3, generator=draw, dtype=torch.float64))[0].T
    mean = torch.rand(SHAPE, generator=draw, dtype=torch.float64)
    return PrincipalEstimate(mean, basis.reshape(3, *SHAPE), torch.tensor([4.0, 1.0, 0.1], dtype=torch.float64))


@pytest.mark.parametrize("abar", [0.9999, 0.5, 1e-3])
def test_it_is_the_conditional_mean(gaussian, abar):
    x = torch.randn(5, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    basis, m = gaussian.components.flatten(1).numpy(), gaussian.mean.flatten().numpy()
    covariance = basis.T @ np.diag(gaussian.variances.numpy()) @ basis
    noisy = abar * covariance + (1 - abar) * np.eye(32)
    wanted = m + (x.flatten(1).numpy() - abar**0.5 * m) @ np.linalg.inv(noisy) @ (abar**0.5 * covariance)
    found = gaussian(x, abar**0.5, (1 - abar) ** 0.5)
    np.testing.assert_allclose(found.flatten(1).numpy(), wanted, atol=1e-10)


def test_without_components_it_is_the_mean(gaussian):
    none = PrincipalEstimate(gaussian.mean, gaussian.components[:0], gaussian.variances[:0])
    x = torch.randn(2, *SHAPE, dtype=torch.float64)
    assert torch.equal(none(x, 0.5, 0.8), gaussian.mean.expand_as(x))


def test_it_finds_the_directions_that_made_the_stacks(gaussian):
    draw = torch.Generator().manual_seed(2)
    scores = torch.randn(4000, 3, generator=draw, dtype=torch.float64) * gaussian.variances.sqrt()
    both = gaussian.components[:1]
    symmetric = (both + both.flip(-1)) / (both + both.flip(-1)).norm()  # mirror images are learned too
    stacks = gaussian.mean + gaussian.mean.flip(-1) + scores[:, :1, None, None] * symmetric
    found = PrincipalEstimate.fit(stacks.float(), 1)
    torch.testing.assert_close(found.components.double().abs(), symmetric.abs(), atol=1e-3, rtol=0)
    torch.testing.assert_close(found.variances.double(), scores[:, :1].var(dim=0), rtol=0.02, atol=0)
    torch.testing.assert_close(found.mean.double(), stacks.mean(dim=0), atol=1e-3, rtol=0)
    again = PrincipalEstimate.fit(stacks.float(), 1)
    assert torch.equal(again.components, found.components)


def test_components_that_are_constant_in_blocks_are_those_of_whole_stacks(gaussian):
    draw = torch.Generator().manual_seed(4)
    mean = torch.rand(2, 12, 12, generator=draw, dtype=torch.float64)
    coarse = PrincipalEstimate(mean, gaussian.components, gaussian.variances)
    whole = gaussian.components.repeat_interleave(3, dim=2).repeat_interleave(3, dim=3) / 3
    torch.testing.assert_close(whole.flatten(1) @ whole.flatten(1).T, torch.eye(3, dtype=torch.float64))
    x = torch.randn(5, 2, 12, 12, generator=draw, dtype=torch.float64)
    fine = PrincipalEstimate(mean, whole, gaussian.variances)
    torch.testing.assert_close(coarse(x, 0.3, 0.9), fine(x, 0.3, 0.9))


def test_components_of_large_stacks_are_coarse():
    draw = torch.Generator().manual_seed(5)
    one = torch.rand(1, 8, 64, generator=draw).repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
    stacks = torch.randn(300, 1, 1, 1, generator=draw) * one
    found = PrincipalEstimate.fit(stacks, 2)
    assert found.components.shape == (2, 1, 8, 64) and found.mean.shape == one.shape
    exact = torch.cat([stacks, stacks.flip(-1)]).flatten(1)
    exact = torch.linalg.svdvals(exact - exact.mean(dim=0)).square()[:2] / len(exact)
    torch.testing.assert_close(found.variances, exact, rtol=1e-3, atol=0)
