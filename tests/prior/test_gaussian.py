"""The yardstick itself, against textbook formulas."""

import pytest
import torch

from a2a.common.errors import InputError
from a2a.common.rng import randn, spawn
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.forward.undersampling import Undersampling
from a2a.prior.gaussian import GaussianPrior
from a2a.prior.schedule import NoiseSchedule

SPEC = StackSpec.of("T1", "T2")


@pytest.fixture
def prior() -> GaussianPrior:
    mean = torch.linspace(0.2, 0.8, 2 * 8 * 4, dtype=torch.float64).reshape(2, 8, 4)
    return GaussianPrior.correlated(SPEC, mean, std=0.2, correlation=0.8, length=1.5)


def test_two_scalars_condition_as_in_the_textbook():
    pair = GaussianPrior.correlated(SPEC, torch.tensor([0.5, 0.4], dtype=torch.float64).reshape(2, 1, 1), 0.3, 0.8, 0.0)
    observation = Observation.build(SPEC, {"T1": torch.full((1, 1, 1), 0.8, dtype=torch.float64)}, {})
    posterior = pair.posterior(observation)
    assert float(posterior.mean[1]) == pytest.approx(0.4 + 0.8 * 0.3, abs=1e-12)
    assert posterior.std.flatten().tolist() == pytest.approx([0, 0.3 * (1 - 0.64) ** 0.5], abs=1e-6)


def test_denoiser_is_the_conditional_mean(prior):
    """Against the joint covariance of (x_0, x_t), solved densely."""
    x, t = torch.randn(3, 2, 8, 4, dtype=torch.float64), 400
    a = prior.schedule.abar(t)
    mean, covariance = (2 * prior.mean - 1).flatten(), 4 * prior.covariance
    joint = a * covariance + (1 - a) * torch.eye(len(mean), dtype=torch.float64)
    expected = mean + torch.linalg.solve(joint, (x.flatten(1) - a**0.5 * mean).T).T @ covariance * a**0.5
    assert torch.allclose(prior.predict(x, t).flatten(1), expected, atol=1e-12)


def test_times_of_their_own_condition_on_what_is_less_noisy(prior):
    """Equal times are the common time; a modality at time 0 and one of pure noise are the posterior of the first."""
    generators = spawn(1, 2)
    x = 2 * prior.posterior(Observation.build(SPEC, {}, {}, (1, 8, 4))).sample(generators) - 1
    assert torch.allclose(prior.predict(x, 400), prior.predict(x, (400, 400)), atol=1e-9)
    seen = Observation.build(SPEC, {"T1": (x[:1, 0] / prior.schedule.abar(0) ** 0.5 + 1) / 2}, {})
    x0 = prior.predict(x[:1], (0, 999))
    assert torch.allclose((x0[0] + 1) / 2, prior.posterior(seen).mean, atol=5e-3)


def test_variance_is_the_mean_squared_error_of_the_estimate(prior):
    generators = spawn(0, 400)
    x0 = prior.posterior(Observation.build(SPEC, {}, {}, (1, 8, 4))).sample(generators)
    for t in (100, 500, 800):
        noisy = prior.schedule.diffuse(2 * x0 - 1, torch.full((400,), t), randn((2, 8, 4), generators, x0))
        error = ((prior.predict(noisy, t) + 1) / 2 - x0).square().mean(dim=(0, 2, 3))
        assert torch.allclose(error, prior.variance(t), rtol=0.06)


@pytest.mark.parametrize("text", ["T1", "y(T1)", "T1 + y(T2)", "y(T1) + y(T2)"])
def test_posterior_agrees_with_the_precision_form(prior, text):
    """Gain form against (C^-1 + A^T R^-1 A)^-1, with A^T A from the operators' own normal equations."""
    x = torch.rand(1, 2, 8, 4, dtype=torch.float64)
    observation = Observation.simulate(x, text, SPEC, Undersampling(coils=4), clean_noise_std=0.02)
    posterior, d = prior.posterior(observation), x.numel()
    weight = torch.tensor([s**-2 if s else 0 for s in observation.noise_std], dtype=torch.float64)[:, None, None]
    basis = torch.eye(d, dtype=torch.float64).reshape(d, 2, 8, 4)
    information = (weight * observation.operator.normal(basis)).reshape(d, d)
    covariance = torch.linalg.inv(torch.linalg.inv(prior.covariance) + information)
    mean = covariance @ (
        torch.linalg.solve(prior.covariance, prior.mean.flatten()) + (weight * observation.adjoint).flatten()
    )
    assert torch.allclose(posterior.covariance, covariance, atol=1e-10)
    assert torch.allclose(posterior.mean.flatten(), mean, atol=1e-7)


def test_samples_have_the_stated_moments(prior):
    gaussian = prior.posterior(Observation.build(SPEC, {}, {}, (1, 8, 4)))
    x = gaussian.sample(spawn(3, 5000)).flatten(1)
    assert torch.allclose(x.mean(0), prior.mean.flatten(), atol=4 * 0.2 / 5000**0.5)
    assert torch.allclose(torch.cov(x.T), prior.covariance, atol=5 * 0.04 / 5000**0.5)


@pytest.mark.parametrize(
    ("mean", "covariance"),
    [
        (torch.zeros(3, 2, 2), torch.eye(12)),
        (torch.zeros(2, 2, 2), torch.eye(7)),
        (torch.zeros(2, 1, 1), torch.tensor([[1.0, 0.5], [0.2, 1.0]])),
        (torch.zeros(2, 1, 1), torch.tensor([[1.0, 2.0], [2.0, 1.0]])),
    ],
)
def test_impossible_gaussians_are_refused(mean, covariance):
    with pytest.raises(InputError):
        GaussianPrior(mean, covariance, SPEC, NoiseSchedule())


def test_the_posterior_is_that_of_one_stack(prior):
    observation = Observation.simulate(torch.rand(2, 2, 8, 4, dtype=torch.float64), "T1", SPEC)
    with pytest.raises(InputError, match="observation: it is of 2 stacks"):
        prior.posterior(observation)
