"""The noise of a step that makes up for what its clean estimate does not know, against exact Gaussian posteriors."""

import pytest
import torch

from a2a.common.errors import InputError
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.forward.undersampling import Undersampling
from a2a.prior.gaussian import GaussianPrior
from a2a.samplers import ddim, mds
from a2a.samplers.spread import noise_of_a_step

SPEC, STD, SAMPLES = StackSpec.of("T1", "T2"), 0.15, 400


@pytest.fixture(scope="module", params=[0.0, 1.5], ids=["independent pixels", "correlated pixels"])
def law(request) -> GaussianPrior:
    return GaussianPrior.correlated(SPEC, torch.full((2, 8, 8), 0.4), STD, 0.8, request.param)


def observed(text: str) -> Observation:
    x = torch.stack([torch.full((8, 8), 0.45), torch.full((8, 8), 0.5)])[None].double()
    return Observation.simulate(x, text, SPEC, Undersampling(noise_std=0.02))


def ratios(samples: torch.Tensor, law: GaussianPrior, observation: Observation) -> tuple[torch.Tensor, torch.Tensor]:
    """Standard deviation over the exact one, and the deviation of the mean in units of the prior's; missing ones."""
    exact, missing = law.posterior(observation), list(observation.scenario.indices("missing"))
    spread = samples.var(0).mean(dim=(1, 2)).sqrt() / exact.std.square().mean(dim=(1, 2)).sqrt()
    return spread[missing], ((samples.mean(0) - exact.mean).mean(dim=(1, 2)) / STD)[missing]


@pytest.mark.parametrize("steps", [5, 10, 25])
@pytest.mark.parametrize("text", ["nothing", "T1"])
def test_few_steps_have_the_spread_of_the_posterior(law, steps, text):
    given = observed(text)
    much = {"steps": steps, "samples": SAMPLES, "batch": SAMPLES, "noise_levels": "per-modality"}
    runs = {eta: mds(law, given, eta=eta, **much).samples[:, 0] for eta in (1.0, "optimal")}
    spread, shift = ratios(runs["optimal"], law, given)
    assert (spread - 1).abs().max() < 0.06 and shift.abs().max() < 0.06
    too_little, _ = ratios(runs[1.0], law, given)
    assert too_little.max() < 0.9


def test_modalities_stay_as_correlated_as_they_are(law):
    nothing = observed("nothing")
    x = mds(law, nothing, steps=5, samples=SAMPLES, batch=SAMPLES, eta="optimal").samples[:, 0]
    centred = x - x.mean(0)
    found = (centred[:, 0] * centred[:, 1]).mean() / (
        centred[:, 0].square().mean() * centred[:, 1].square().mean()
    ).sqrt()
    assert abs(float(found) - 0.8) < 0.03


def test_ddim_takes_it_too(law):
    free = ddim(law, (1, 8, 8), steps=8, eta="optimal", samples=3).samples
    same = mds(law, observed("nothing"), steps=8, eta="optimal", samples=3).samples
    torch.testing.assert_close(free, same, rtol=0, atol=1e-10)


def test_measured_modalities_keep_the_noise_of_a_step(law):
    level, noise = noise_of_a_step(law, "optimal", [1], [])
    z = torch.randn(2, 2, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    widened = noise(z, 800, 200)
    assert level == 1.0 and torch.allclose(widened[:, 0], z[:, 0])
    assert widened[:, 1].square().mean() > 1.2 * z[:, 1].square().mean()


def test_the_last_step_draws_nothing_and_a_number_changes_nothing(law):
    z = torch.randn(1, 2, 8, 8, dtype=torch.float64)
    assert torch.equal(noise_of_a_step(law, "optimal", [0, 1], [])[1](z, 0, -1), z)
    level, noise = noise_of_a_step(law, 0.7, [0, 1], [])
    assert level == 0.7 and noise(z, 800, 600) is z


@pytest.mark.parametrize("eta", ["best", 1.5, -0.1])
def test_another_word_or_number_is_refused(law, eta):
    with pytest.raises(InputError, match="eta: .* got "):
        mds(law, observed("T1"), steps=2, eta=eta)
