"""A noise level for each modality: clean data condition the prior itself, and MDS becomes exact where it was biased."""

import pytest
import torch
from torch import Tensor

from a2a.common.errors import InputError
from a2a.common.rng import spawn
from a2a.common.units import to_image, to_model
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.forward.undersampling import Undersampling
from a2a.prior.gaussian import GaussianPrior
from a2a.samplers import mds
from a2a.samplers.noise_levels import prediction

SPEC, SIDE, STD, SAMPLES = StackSpec.of("T1", "T2", "CT"), 4, 0.15, 1500


@pytest.fixture(scope="module")
def toy() -> GaussianPrior:
    """Three modalities of 4 x 4 pixels, which go together between modalities and in space."""
    return GaussianPrior.correlated(SPEC, torch.full((3, SIDE, SIDE), 0.4), STD, 0.7, 1.0)


def observed(text: str, clean_noise_std: float = 0.0) -> Observation:
    x = 0.4 + STD * torch.randn(1, 3, SIDE, SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    return Observation.simulate(x, text, SPEC, Undersampling(noise_std=0.02), clean_noise_std=clean_noise_std)


def distance(samples: Tensor, exact) -> tuple[float, float]:
    """Largest error of the mean and rms error of the covariance, relative to the prior's deviation and variance."""
    x = samples[:, 0].flatten(1)
    mean, covariance = (x.mean(0) - exact.mean.flatten()).abs().max(), torch.cov(x.T) - exact.covariance
    return float(mean) / STD, float(covariance.square().mean().sqrt()) / STD**2


@pytest.mark.law
@pytest.mark.parametrize("text", ["T1", "T1 + CT", "nothing"])
def test_with_own_levels_mds_is_exact(toy, text):
    observation = observed(text)
    done = mds(toy, observation, steps=300, noise_levels="per-modality", samples=SAMPLES, batch=SAMPLES)
    mean, covariance = distance(done.samples, toy.posterior(observation))
    assert mean < 0.1 and covariance < 0.04


@pytest.mark.parametrize("text", ["y(T1)", "y(T1) + y(CT)", "nothing"])
def test_without_clean_modalities_both_levels_ask_the_same(toy, text):
    assert prediction(toy, observed(text), "per-modality") == toy.predict


@pytest.mark.parametrize("text", ["T1", "T1 + CT"])
def test_its_mean_is_exact_after_ten_evaluations_which_shared_levels_miss(toy, text):
    observation, errors = observed(text), {}
    for levels in ("joint", "per-modality"):
        done = mds(toy, observation, steps=10, noise_levels=levels, samples=SAMPLES, batch=SAMPLES)
        errors[levels], _ = distance(done.samples, toy.posterior(observation))
    assert errors["per-modality"] < 0.1 and errors["joint"] > 0.4


def test_measured_modalities_gain_from_it(toy):
    observation, errors = observed("T1 + y(CT)"), {}
    for levels in ("joint", "per-modality"):
        done = mds(toy, observation, steps=10, noise_levels=levels, samples=SAMPLES, batch=SAMPLES)
        errors[levels], _ = distance(done.samples, toy.posterior(observation))
    assert errors["per-modality"] < 0.8 * errors["joint"]


@pytest.mark.parametrize("t", [100, 400, 998])
def test_an_estimate_is_the_conditional_mean_whatever_stands_in_place_of_the_given(toy, t):
    observation, abar = observed("T1"), toy.schedule.abar(t)
    clean = to_model(observed("T1 + T2 + CT").adjoint)
    x = abar**0.5 * clean + (1 - abar) ** 0.5 * torch.randn(clean.shape, generator=spawn(2, 1)[0])
    data = (observation.adjoint[:, 0], *(to_image(x / abar**0.5)[0, 1:, None]))
    whole = Observation.simulate(to_image(clean), "T1 + T2 + CT", SPEC)
    noise = (1 - abar) ** 0.5 / abar**0.5 / 2
    exact = toy.posterior(Observation(SPEC, whole.scenario, whole.operator, data, (0.0, noise, noise))).mean
    predict = prediction(toy, observation, "per-modality")
    for first in (x[:, :1], torch.zeros_like(x[:, :1])):
        x0 = predict(torch.cat([first, x[:, 1:]], dim=1), t)
        assert torch.allclose(to_image(x0)[0, 1:], exact[1:], atol=5e-3)  # time 0 is not quite clean


def test_shared_levels_ask_the_prior_itself(toy):
    assert prediction(toy, observed("T1"), "joint") == toy.predict


def test_given_data_are_returned_bit_for_bit(toy):
    observation = observed("T1")
    done = mds(toy, observation, steps=5, noise_levels="per-modality", samples=2, generators=spawn(0, 1, 2))
    assert torch.equal(done.samples[:, 0, 0], observation.adjoint[:, 0].expand(2, -1, -1))


def test_wrong_levels_are_refused(toy, tiny_prior):
    with pytest.raises(InputError, match="noise_levels: .* got 'each'"):
        mds(toy, observed("T1"), noise_levels="each")
    with pytest.raises(InputError, match="noise_levels: T1 has noise_std = 0.05"):
        mds(toy, observed("T1", 0.05), noise_levels="per-modality")
    nothing = Observation.build(tiny_prior.spec, {}, {}, (1, 16, 16))
    with pytest.raises(InputError, match="knows one for all"):
        mds(tiny_prior, nothing, steps=2, noise_levels="per-modality")
