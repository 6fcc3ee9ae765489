"""Kernel Stein discrepancy: closed forms of Gaussians, samples that are right, too narrow or shifted, refusals."""

import pytest
import torch

from a2a.common.errors import InputError
from a2a.common.rng import randn, spawn
from a2a.common.units import to_model
from a2a.evaluation.stein import posterior_score, stein_check, stein_discrepancy
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.forward.undersampling import Undersampling
from a2a.prior.gaussian import GaussianPrior

SPEC, SIDE, ITEMS, SAMPLES = StackSpec.of("T1", "T2"), 8, 10, 20


@pytest.fixture(scope="module")
def prior() -> GaussianPrior:
    return GaussianPrior.correlated(SPEC, torch.full((2, SIDE, SIDE), 0.5), 0.2, 0.7, 1.5)


@pytest.fixture(scope="module")
def observation(prior) -> Observation:
    nothing = Observation.simulate(prior.mean[None], "nothing", SPEC)
    return Observation.simulate(prior.posterior(nothing).sample(spawn(3, ITEMS)), "T1", SPEC)


@pytest.fixture(scope="module")
def samples(prior, observation) -> torch.Tensor:
    """Exact samples ``(S, B, n, H, W)``."""
    return torch.stack(
        [prior.posterior(observation[i : i + 1]).sample(spawn(i + 50, SAMPLES)) for i in range(ITEMS)], dim=1
    )


def test_the_discrepancy_is_the_formula_by_autograd():
    x = torch.randn(1, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    width2 = torch.cdist(x[0], x[0]).square()[~torch.eye(3, dtype=bool)].median()
    scores, total = -2 * x, 0.0

    def kernel(a, b):
        return (1 + (a - b).square().sum() / width2).rsqrt()

    for i in range(3):
        for j in range(3):
            if i != j:
                a, b, s, r = x[0, i], x[0, j], scores[0, i], scores[0, j]
                by_a, by_b = torch.autograd.functional.jacobian(kernel, (a, b))
                mixed = torch.autograd.functional.hessian(kernel, (a, b))[0][1].trace()
                total += kernel(a, b) * s @ r + s @ by_b + r @ by_a + mixed
    found = stein_discrepancy(x, scores)
    assert found.discrepancy == pytest.approx(float(width2 * total / 6))


def test_p_values_of_right_samples_are_uniform_and_their_variance_is_right():
    x = torch.randn(60, 1, 12, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    found = [stein_discrepancy(each, -each, draws=199, seed=i) for i, each in enumerate(x)]
    values = torch.tensor([each.p_value for each in found])
    assert 0.4 < values.mean() < 0.6 and 0 < (values < 0.2).float().mean() < 0.37
    assert sum(each.variance_ratio for each in found) / 60 == pytest.approx(1, abs=0.08)
    assert stein_discrepancy(3 * x[:, 0], -3 * x[:, 0] / 9).variance_ratio == pytest.approx(1, abs=0.08)


@pytest.mark.parametrize("t", [100, 400, 900])
def test_the_score_is_that_of_the_diffused_posterior(prior, observation, samples, t):
    x, score = posterior_score(prior, observation, samples, t, spawn(1, ITEMS, SAMPLES))
    abar, post = prior.schedule.abar(t), prior.posterior(observation[2:3])
    noise = randn(samples.shape[2:], spawn(1, ITEMS, SAMPLES), samples).unflatten(0, (SAMPLES, ITEMS))
    assert torch.allclose(x, abar**0.5 * to_model(samples.clone()) + (1 - abar) ** 0.5 * noise)
    open_ = slice(SIDE**2, None)
    covariance = 4 * abar * post.covariance[open_, open_] + (1 - abar) * torch.eye(SIDE**2)
    away = (x[:, 2, 1] - abar**0.5 * to_model(post.mean[1].clone())).flatten(1)
    exact = -torch.linalg.solve(covariance, away.T).T
    # the clean modality is told at time 0, whose noise is nearly none
    assert torch.allclose(score[:, 2, 1].flatten(1), exact, atol=0.02 * float(exact.abs().max()))
    assert not score[:, :, 0].any()


def test_the_score_follows_data_of_independent_pixels():
    prior = GaussianPrior.correlated(SPEC, torch.full((2, SIDE, SIDE), 0.5), 0.2, 0.0, 0.0)
    given = Observation.simulate(torch.full((1, 2, SIDE, SIDE), 0.6).double(), "y(T2)", SPEC, Undersampling(coils=2))
    post, t = prior.posterior(given), 400
    drawn = post.sample(spawn(4, 5))[:, None]
    x, score = posterior_score(prior, given, drawn, t, spawn(1, 1, 5))
    abar = prior.schedule.abar(t)
    covariance = 4 * abar * post.covariance + (1 - abar) * torch.eye(2 * SIDE**2)
    away = (x[:, 0] - abar**0.5 * to_model(post.mean.clone())).flatten(1)
    assert torch.allclose(score[:, 0].flatten(1), -torch.linalg.solve(covariance, away.T).T, atol=1e-4)


def test_the_right_posterior_passes_and_others_are_noticed(prior, observation, samples):
    mean = samples.mean(dim=0)
    cases = {"right": samples, "narrow": mean + 0.5 * (samples - mean), "shifted": samples + 0.5 * samples.std(dim=0)}
    found = {name: stein_check(prior, observation, drawn, (100, 400)) for name, drawn in cases.items()}
    assert found["right"]["modality"].tolist() == ["T2", "T2"] and found["right"]["t"].tolist() == [100, 400]
    assert (found["right"]["p_value"] > 0.05).all()
    assert found["right"]["variance_ratio"].to_numpy() == pytest.approx(1, abs=0.15)
    assert found["narrow"]["p_value"][0] < 0.05 and found["narrow"]["variance_ratio"][0] < 0.65
    assert (found["shifted"]["p_value"] < 0.05).all()


@pytest.mark.parametrize(
    ("points", "scores", "complaint"),
    [
        (torch.zeros(2, 3), torch.zeros(2, 3), r"needed are \(B, S, q\), S >= 2; got \(2, 3\), \(2, 3\)"),
        (torch.zeros(1, 1, 3), torch.zeros(1, 1, 3), r"got \(1, 1, 3\)"),
        (torch.rand(1, 4, 3), torch.full((1, 4, 3), torch.nan), "values that are not finite"),
        (torch.ones(1, 4, 3), torch.ones(1, 4, 3), "points: the samples are all the same"),
    ],
)
def test_bad_points_are_refused(points, scores, complaint):
    with pytest.raises(InputError, match=complaint):
        stein_discrepancy(points, scores)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [({"times": (1000,)}, "t: 1000 must lie between 0 and 999"), ({"side": 3}, "side: 8 x 8 pixels do not divide")],
)
def test_bad_settings_are_refused(prior, observation, samples, settings, complaint):
    with pytest.raises(InputError, match=complaint):
        stein_check(prior, observation, samples, **settings)
