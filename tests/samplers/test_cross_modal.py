"""Cross-modal errors: exact for clean data and a true covariance; the plain estimate where nothing is coupled."""

import pytest
import torch
from torch import Tensor

from a2a.common.errors import InputError
from a2a.common.rng import spawn
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.forward.undersampling import Undersampling
from a2a.prior.frequency_bands import bands
from a2a.prior.gaussian import GaussianPrior
from a2a.samplers import mds
from a2a.samplers.cross_modal import cross_modal_estimate, regression
from a2a.samplers.mds import MDSStep
from a2a.samplers.prior_weight import prior_weight, residual_variance

SPEC, SIDE = StackSpec.of("T1", "T2FLAIR", "CT"), 8
BANDS = int(bands(SIDE, SIDE).max()) + 1
SCENARIOS = ["nothing", "T1", "T1 + CT", "y(T1)", "T1 + y(CT)", "y(T1) + y(T2FLAIR)", "CT + y(T1) + y(T2FLAIR)"]


def random_coupling() -> Tensor:
    mix = torch.randn(BANDS, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    return 0.02 * mix @ mix.mT


def observed(text: str) -> Observation:
    x = torch.rand(2, 3, SIDE, SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return Observation.simulate(x, text, SPEC, generators=spawn(2, 2))


def stationary(coupling: Tensor) -> Tensor:
    """Write the covariance of octaves out for all pixels, ``(d, d)``."""
    d = 3 * SIDE**2
    basis = torch.eye(d, dtype=torch.float64).reshape(d, 3, SIDE, SIDE)
    waves = torch.fft.fft2(basis, norm="ortho")
    mixed = torch.einsum("hwij,bjhw->bihw", coupling[bands(SIDE, SIDE)].to(waves.dtype), waves)
    return torch.fft.ifft2(mixed, norm="ortho").real.flatten(1)


@pytest.mark.parametrize("text", ["T1", "T1 + CT"])
def test_clean_data_give_the_conditional_mean_of_the_gaussian(text):
    coupling, observation = random_coupling(), observed(text)
    prior = GaussianPrior(torch.full((3, SIDE, SIDE), 0.4, dtype=torch.float64), stationary(coupling), SPEC)
    image = prior.mean.expand(2, -1, -1, -1)
    found = cross_modal_estimate(observation, image, coupling)
    for item in range(2):
        exact = prior.posterior(observation[item : item + 1]).mean
        assert torch.allclose(found[item], exact, atol=1e-4)


def test_a_modality_with_all_its_lines_says_of_the_missing_what_its_image_says():
    x = torch.rand(2, 3, SIDE, SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    all_lines, image = Undersampling(acceleration=1, noise_std=1e-6), torch.full_like(x, 0.4)
    lines = Observation.simulate(x, "T1 + y(T2FLAIR)", SPEC, all_lines, generators=spawn(2, 2))
    images = Observation.simulate(x, "T1 + T2FLAIR", SPEC)
    coupling = random_coupling()
    found, expected = (cross_modal_estimate(part, image, coupling)[:, 2] for part in (lines, images))
    assert torch.allclose(found, expected, atol=1e-4) and (expected - 0.4).abs().max() > 0.05


@pytest.mark.parametrize("text", SCENARIOS)
def test_uncoupled_errors_are_the_plain_problem(text):
    observation = observed(text)
    image = torch.rand(2, 3, SIDE, SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    alone = 0.01 * torch.eye(3, dtype=torch.float64).expand(BANDS, 3, 3)
    weight = prior_weight(observation, residual_variance(observation, observation.residual_norm2(image)))
    plain = observation.operator.prox(image, observation.adjoint, weight)
    assert torch.allclose(cross_modal_estimate(observation, image, alone), plain, atol=2e-6)


@pytest.mark.parametrize("text", SCENARIOS)
def test_what_is_given_is_kept_and_what_is_missing_moves(text):
    observation = observed(text)
    image = torch.full((2, 3, SIDE, SIDE), 0.5, dtype=torch.float64)
    found = cross_modal_estimate(observation, image, random_coupling())
    for channel, kind in enumerate(observation.kinds):
        if kind == "clean":
            assert torch.allclose(found[:, channel], observation.adjoint[:, channel], atol=1e-5)
        elif kind == "missing":
            assert bool((found[:, channel] != 0.5).any()) == (text != "nothing")


def test_the_coupling_of_a_gaussian_is_its_conditional_covariance():
    coupling = random_coupling()
    prior = GaussianPrior(torch.full((3, SIDE, SIDE), 0.4, dtype=torch.float64), stationary(coupling), SPEC)
    last = prior.error_covariance(prior.schedule.length - 1)
    assert torch.allclose(last, coupling, rtol=2e-2, atol=1e-5)
    mean = last.diagonal(dim1=1, dim2=2) * bands(SIDE, SIDE).flatten().bincount()[:, None] / SIDE**2
    assert torch.allclose(mean.sum(dim=0), prior.variance(prior.schedule.length - 1))


@pytest.mark.law
def test_coupled_mds_comes_closer_to_the_exact_posterior_of_a_missing_modality():
    prior = GaussianPrior(torch.full((3, SIDE, SIDE), 0.5, dtype=torch.float64), stationary(random_coupling()), SPEC)
    observation = observed("T1")
    exact = torch.stack([prior.posterior(observation[i : i + 1]).mean for i in range(2)])
    errors = {}
    for kind in ("independent", "cross-modal"):
        done = mds(prior, observation, steps=25, covariance=kind, samples=64)
        errors[kind] = float((done.mean - exact)[:, 1:].square().mean())
    assert errors["cross-modal"] < 0.7 * errors["independent"]


def test_coupled_noise_is_what_the_network_leaves_of_the_given_and_the_answer_of_the_missing():
    coupling, data, t, s = random_coupling(), observed("CT + y(T1)"), 700, 400
    prior = GaussianPrior(torch.full((3, SIDE, SIDE), 0.4, dtype=torch.float64), stationary(coupling), SPEC)
    x = torch.randn(2, 3, SIDE, SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    one = MDSStep(prior, data, prior.predict, lambda z, t, s: z, 0.0, None, "cross-modal")
    later, answer = one.step(x, torch.zeros_like(x), t, s)
    abar, flair = prior.schedule.abar(s), SPEC.index("T2FLAIR")
    noise = (later - abar**0.5 * answer) / (1 - abar) ** 0.5
    expected = prior.schedule.left_in(x, prior.predict(x, t), t)
    expected[:, flair] = prior.schedule.left_in(x, answer, t)[:, flair]
    assert torch.allclose(noise, expected, atol=1e-6)
    assert (answer - prior.predict(x, t))[:, SPEC.index("T1")].abs().max() > 1e-3


@pytest.mark.parametrize(
    ("options", "words"),
    [({"covariance": "correlated"}, "'correlated'"), ({"covariance": "cross-modal", "weight": 0.1}, "weight")],
)
def test_wrong_options_are_refused(options, words):
    prior = GaussianPrior(torch.full((3, SIDE, SIDE), 0.5, dtype=torch.float64), stationary(random_coupling()), SPEC)
    with pytest.raises(InputError, match=words):
        mds(prior, observed("T1"), **options)


def test_errors_that_round_to_nothing_say_nothing():
    nothing = torch.zeros(3, 2, 2, dtype=torch.float64)
    assert torch.equal(regression(nothing, [0], nothing[0, 0]), nothing[:, :, :1])
