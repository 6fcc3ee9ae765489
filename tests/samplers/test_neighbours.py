"""Noise that goes together along slices: each keeps its law, the volume becomes coherent."""

import pytest
import torch

from a2a.common.errors import InputError
from a2a.common.rng import spawn
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.prior.gaussian import GaussianPrior
from a2a.samplers import mds, mps
from a2a.samplers.neighbours import Neighbours

SPEC, SLICES, SAMPLES = StackSpec.of("T1", "T2"), 5, 160


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("A2A_QUIET", "1")


def gaussian() -> GaussianPrior:
    mean = torch.tensor([0.3, 0.4]).reshape(2, 1, 1).expand(2, 4, 4)
    return GaussianPrior.correlated(SPEC, mean, 0.15, 0.8, 0.0)


def observation() -> Observation:
    x = torch.full((SLICES, 2, 4, 4), 0.45).double()
    return Observation.simulate(x, "T1", SPEC)


def test_each_slice_has_standard_normal_noise_and_neighbours_the_correlation_that_was_asked_for():
    torch.manual_seed(0)
    z = Neighbours(0.8, 4)(torch.randn(4 * 500, 1, 8, 8), 0, 0).reshape(500, 4, -1)
    assert z.mean(dim=(0, 2)).abs().max() < 0.02 and (z.var(dim=(0, 2)) - 1).abs().max() < 0.03
    for apart, wanted in ((1, 0.8), (3, 0.512)):
        assert abs(float((z[:, 0] * z[:, apart]).mean()) - wanted) < 0.02
    assert abs(float((z[:-1, -1] * z[1:, 0]).mean())) < 0.02  # samples of a volume are independent


@pytest.mark.parametrize("rho", [0.0, 0.9])
def test_rho_leaves_the_posterior_of_each_slice_as_it_is_and_makes_neighbours_alike(rho):
    prior, data = gaussian(), observation()
    done = mps(prior, data, steps=300, rho=rho, samples=SAMPLES, batch=400)
    x, exact = done.samples[:, :, 1].flatten(2), prior.posterior(data[0:1])
    assert ((x.mean(dim=(0, 2)) - float(exact.mean[1].mean())) / 0.15).abs().max() < 0.06
    assert (x.std(dim=(0, 2)) / float(exact.std[1].mean()) - 1).abs().max() < 0.06
    centred = x - x.mean(dim=(0, 2), keepdim=True)
    together = float((centred[:, :-1] * centred[:, 1:]).mean() / centred.square().mean())
    assert abs(together - rho) < 0.06


@pytest.mark.parametrize("sampler", [mds, mps])
def test_the_batch_changes_nothing(sampler):
    settings = {"steps": 4, "rho": 0.9, "samples": 2}
    one, other = (
        sampler(gaussian(), observation(), generators=spawn(3, SLICES, 2), batch=batch, **settings) for batch in (3, 10)
    )
    assert torch.allclose(one.samples, other.samples, atol=1e-6)
    lone = sampler(gaussian(), observation(), generators=spawn(3, SLICES, 2), batch=3, steps=4, samples=2)
    assert torch.allclose(lone.samples[:, 0], one.samples[:, 0], atol=1e-6)
    assert not torch.allclose(lone.samples[:, 1], one.samples[:, 1], atol=1e-2)


@pytest.mark.parametrize("rho", [-0.1, 1.1])
def test_a_correlation_out_of_range_is_refused(rho):
    with pytest.raises(InputError, match="rho"):
        mds(gaussian(), observation(), rho=rho)
