"""What is known to be 0 is 0 in every sample, and changes nothing inside where pixels are independent."""

from dataclasses import replace

import pytest
import torch

from a2a.forward.adjacent import Adjacent
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.forward.undersampling import Undersampling
from a2a.networks.plain import PlainConfig, PlainUNet
from a2a.prior.gaussian import GaussianPrior
from a2a.prior.linear import LinearEstimate
from a2a.prior.prior import Prior
from a2a.prior.schedule import NoiseSchedule
from a2a.samplers import mds, mps
from a2a.samplers.background import bounded

SPEC = StackSpec.of("T1", "T2")
INSIDE = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
INSIDE[..., 2:6, 2:6] = True


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("A2A_QUIET", "1")


def gaussian() -> GaussianPrior:
    mean = torch.tensor([0.3, 0.4]).reshape(2, 1, 1).expand(2, 8, 8)
    return GaussianPrior.correlated(SPEC, mean, 0.15, 0.8, 0.0)


def observed(text: str) -> Observation:
    x = torch.where(INSIDE, 0.45, 0.0).repeat(1, 2, 1, 1).double()
    found = Observation.simulate(x, text, SPEC, Undersampling(noise_std=0.02))
    free = torch.tensor([kind == "clean" for kind in found.kinds])[:, None, None]
    return replace(found, support=INSIDE | free)


@pytest.mark.parametrize("sampler", [mds, mps])
@pytest.mark.parametrize("text", ["T1", "T1 + y(T2)"])
def test_outside_every_sample_is_zero(sampler, text):
    done = sampler(gaussian(), observed(text), steps=10, samples=3)
    outside = done.samples[:, :, 1:].masked_select(~INSIDE)
    assert outside.numel() == 3 * 48 and not outside.any()
    assert done.samples[:, :, 1:].masked_select(INSIDE).min() > 0


@pytest.mark.parametrize("sampler", [mds, mps])
def test_it_is_known_at_every_step_and_not_only_in_the_end(sampler):
    estimates = []
    sampler(gaussian(), observed("T1"), steps=5, on_step=lambda t, x, x0: estimates.append(x0[:, 1:]))
    assert len(estimates) == 5
    assert all((each.masked_select(~INSIDE) == -1).all() for each in estimates)  # 0 in the model's range


def test_inside_the_posterior_is_exact():
    prior, data = gaussian(), observed("T1")
    done = mps(prior, data, steps=500, samples=400, batch=400)
    x, exact = done.samples[:, 0, 1].masked_select(INSIDE[0, 0]), prior.posterior(replace(data, support=None))
    assert abs(float(x.mean()) - float(exact.mean[1, 3, 3])) < 0.005
    assert abs(float(x.std()) / float(exact.std[1, 3, 3]) - 1) < 0.05


def test_without_a_support_nothing_is_bounded():
    free = replace(observed("T1"), support=None)
    assert mds(gaussian(), free, steps=10).samples[0, 0, 1, 0, 0] != 0


def plain_prior(size: int, **changes) -> Prior:
    linear = LinearEstimate(torch.full((2, 1, 1), 0.3), torch.eye(2)[:, :, None, None])
    network = PlainUNet(PlainConfig(2, widths=(4, 4), **changes)).requires_grad_(False)
    return Prior(network, NoiseSchedule(), SPEC, size, predicts="clean", linear=linear)


def test_slices_above_and_below_are_looked_at_where_clean_modalities_are_told_as_they_are():
    prior, images = plain_prior(16, adjacent=True), torch.rand(3, 2, 16, 16)
    for parameter in prior.network.parameters():
        parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    alone = Observation.simulate(images, "T1", SPEC)
    volume = replace(alone, adjacent=Adjacent.of_volume(torch.rand(3, 2, 16, 16)))
    for levels, looks in (("per-modality", True), ("joint", False)):
        one, other = (mds(prior, each, steps=2, noise_levels=levels, batch=2).samples for each in (alone, volume))
        assert looks != torch.equal(one, other)
    whole = mds(prior, volume, steps=2, noise_levels="per-modality").samples
    parts = mds(prior, volume, steps=2, noise_levels="per-modality", batch=2).samples
    torch.testing.assert_close(parts, whole)


def test_the_network_looks_only_where_something_is_asked():
    size, inside = 32, torch.zeros(1, 1, 32, 32, dtype=torch.bool)
    inside[..., 10:14, 12:20] = True
    prior = plain_prior(size)
    free = torch.tensor([True, False])[:, None, None]
    images = torch.rand(1, 2, size, size, generator=torch.Generator().manual_seed(0))
    exact = replace(Observation.simulate(images, "T1", SPEC), support=inside | free)
    assert bounded(prior, exact).prior.window == (slice(8, 16), slice(10, 22))
    noisy = replace(exact, noise_std=(0.1, 0.0))
    assert bounded(prior, noisy).prior.window == (slice(0, size), slice(0, size))
