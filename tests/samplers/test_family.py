"""The samplers that Any2all's two are compared with: exact where theory says so, biased where it says so.

Errors are in units of the prior's standard deviation, over 64 independent pixels of 100 samples: the Monte-Carlo error
of a mean is 0.013.
"""

import pytest
import torch

from a2a.common.errors import InputError
from a2a.common.rng import spawn
from a2a.evaluation.exactness import against_exact
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.forward.undersampling import Undersampling
from a2a.prior.frequency_bands import white
from a2a.prior.gaussian import GaussianPrior
from a2a.samplers import daps, ddnm, diffpir, freehunch, pigdm, pnpdm, pula
from a2a.samplers.draws import Draws, answered, fluctuation, noise_variance
from a2a.samplers.freehunch import Hunch, HunchStep
from a2a.samplers.passes import annealed
from a2a.samplers.reverse import reverse
from a2a.samplers.unconditional import DDIMStep

SPEC, SIDE, SAMPLES = StackSpec.of("T1", "T2"), 8, 100
TWO_COILS = {"acceleration": 2, "coils": 2}
FAMILY = {
    "daps": daps, "ddnm": ddnm, "diffpir": diffpir, "freehunch": freehunch, "pigdm": pigdm, "pnpdm": pnpdm,
    "pula": pula,
}  # fmt: skip
APPROACHES = {"freehunch", "pigdm"}  # given images come back nearly as they are


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("A2A_QUIET", "1")


def prior_of(std: float, correlation: float) -> GaussianPrior:
    mean = torch.tensor([0.3, 0.4]).reshape(2, 1, 1).expand(2, SIDE, SIDE)
    return GaussianPrior.correlated(SPEC, mean, std, correlation, 0.0)


@pytest.fixture(scope="module")
def toy() -> GaussianPrior:
    return prior_of(0.15, 0.8)


def observed(text: str, noise_std: float = 0.02, clean_noise_std: float = 0.0) -> Observation:
    x = torch.tensor([0.45, 0.5], dtype=torch.float64).reshape(1, 2, 1, 1).expand(1, 2, SIDE, SIDE)
    acquired = Undersampling(noise_std=noise_std, **TWO_COILS)
    return Observation.simulate(x, text, SPEC, acquired, clean_noise_std=clean_noise_std)


def errors(sampler, prior: GaussianPrior, observation: Observation, std: float, **options):
    done = sampler(prior, observation, samples=SAMPLES, batch=SAMPLES, **options)
    return against_exact(done.samples[:, 0], prior.posterior(observation), SPEC, std).set_index("modality")


def test_draws_have_mean_and_covariance_of_the_posterior():
    data, draws, v = observed("y(T1)", noise_std=0.1), 2000, torch.tensor([0.02, 0.03], dtype=torch.float64)
    many, image = data.repeat(draws), torch.full((draws, 2, SIDE, SIDE), 0.4, dtype=torch.float64)
    fresh = Draws(spawn(0, 1) * draws, (2, SIDE, SIDE), image, lambda noise, draw: noise)
    law = GaussianPrior(image[0], torch.diag(v.repeat_interleave(SIDE**2)), SPEC).posterior(data)
    torch.testing.assert_close(answered(data, image[:1], v)[0], law.mean)
    drawn = fluctuation(many, v, fresh).flatten(1)
    assert drawn.mean(0).abs().max() < 4.5 * (0.03 / draws) ** 0.5
    assert (drawn.T @ drawn / draws - law.covariance).abs().max() < 5 * 0.03 * draws**-0.5


def test_pigdm_is_exact_for_independent_pixels_of_variance_one():
    found = errors(pigdm, prior_of(0.5, 0.0), observed("y(T1)"), 0.5, steps=150)
    assert found["bias"].abs().max() < 0.04 and found["spread"].abs().max() < 0.05


@pytest.mark.parametrize("text", ["T1", "T1 + y(T2)", "y(T1)"])
def test_free_hunch_is_exact_where_its_bands_say_all(toy, text):
    found = errors(freehunch, toy, observed(text), 0.15, steps=100)
    assert found["bias"].abs().max() < 0.02 and found["spread"].abs().max() < 0.07


def changed(toy, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Two steps of some rows: what each saw, and the exact clean estimates of it, image units."""
    draw, found = torch.Generator().manual_seed(seed), []
    for t in (400, 300):
        abar = toy.schedule.abar(t)
        noise = torch.randn(2, 3, 2, SIDE, SIDE, dtype=torch.float64, generator=draw)
        x = abar**0.5 * (2 * (toy.mean + 0.15 * noise[0]) - 1) + (1 - abar) ** 0.5 * noise[1]
        found += [(x / abar**0.5 + 1) / 2, (toy.predict(x, t) + 1) / 2]
    return tuple(found)


def test_what_free_hunch_learned_explains_the_change_and_can_be_inverted(toy):
    step = HunchStep(toy, observed("T1"), 8, 10)
    before, now = step._at(400), step._at(300)
    wrong = white([0.02, 0.02], SIDE, SIDE)  # blind to what T1 says of T2
    before, now = (Hunch(wrong, h.less, h.t, toy) for h in (before, now))
    seen, image, seen_now, image_now = changed(toy)
    directions, weights = now.learn(before, seen, image, seen_now, image_now)
    assert all((w != 0).all() for w in weights)
    learned = Hunch(wrong, now.less, 300, toy, directions, weights)
    expected = now.covariance(before.precision(image) + (now.less - before.less) * seen)
    q = float(noise_variance(toy.schedule, 300)) * (image_now - expected)
    torch.testing.assert_close(learned.covariance(seen_now - seen), q)
    torch.testing.assert_close(learned.precision(learned.covariance(q)), q)
    assert not torch.allclose(now.covariance(seen_now - seen), q, rtol=0.05)


def test_free_hunch_learns_nothing_new_where_its_covariance_is_right(toy):
    step = HunchStep(toy, observed("T1"), 8, 10)
    before, now = step._at(400), step._at(300)
    seen, image, seen_now, image_now = changed(toy)
    expected = now.covariance(before.precision(image) + (now.less - before.less) * seen)
    q = float(noise_variance(toy.schedule, 300)) * (image_now - expected)
    torch.testing.assert_close(now.covariance(seen_now - seen), q, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("std", [0.15, 0.5])
def test_daps_with_one_evaluation_a_pass_is_exact_for_independent_pixels(std):
    found = errors(daps, prior_of(std, 0.0), observed("y(T1)"), std, steps=60, inner=1)
    assert found["bias"].abs().max() < 0.05 and found["spread"].abs().max() < 0.05


def test_pnpdm_comes_near_with_many_passes(toy):
    found = errors(pnpdm, toy, observed("T1 + y(T2)"), 0.15, steps=200, inner=5)
    assert found["bias"].abs().max() < 0.06 and found["spread"].abs().max() < 0.06


def test_pula_approaches_the_posterior_with_more_noise_levels(toy):
    few, many = (errors(pula, toy, observed("T1"), 0.15, steps=n).loc["T2"] for n in (20, 120))
    assert abs(many["bias"]) < 0.07 and abs(many["spread"]) < 0.07
    assert few["bias"] < 2 * many["bias"] and few["spread"] > 2 * many["spread"]


@pytest.mark.parametrize(
    ("sampler", "options"),
    [(ddnm, {}), (diffpir, {}), (pigdm, {}), (daps, {"inner": 5})],
)
def test_a_clean_modality_says_too_little_of_the_missing_one(toy, sampler, options):
    """Laws of their construction. Noise derived from the corrected estimate, or drawn afresh, takes back what the clean
    modality says, and a variance of 1 trusts it too little where the true one is smaller.
    """
    found = errors(sampler, toy, observed("T1"), 0.15, steps=100, **options).loc["T2"]
    assert found["bias"] < -0.1 and (found["spread"] > 0.02 or sampler is pigdm)


def test_without_data_a_pass_of_pnpdm_is_a_restart(toy):
    nothing, passes = observed("nothing"), annealed(toy.schedule, 10, 5, 1.0)
    free = reverse(
        toy, nothing, lambda part, draws: DDIMStep(toy, 1.0, lambda z, t, s: z), "", steps=10, passes=passes,
        samples=2, generators=spawn(3, 1, 2), batch=2,
    )  # fmt: skip
    same = pnpdm(toy, nothing, steps=10, samples=2, generators=spawn(3, 1, 2)).samples
    torch.testing.assert_close(same, free.samples)


@pytest.mark.parametrize("name", FAMILY)
def test_every_one_counts_repeats_and_ignores_the_batch(toy, name, monkeypatch):
    calls, predict = [], GaussianPrior.predict
    x = torch.rand(2, 2, SIDE, SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    two_coils = Undersampling(coils=2, noise_std=0.0 if name == "ddnm" else 0.01)  # four times: T2 is not determined
    data = Observation.simulate(x, "T1 + y(T2)", SPEC, two_coils)
    together = FAMILY[name](toy, data, steps=7, samples=2).samples
    assert (together[0] - together[1]).abs().max() > 0.01
    assert torch.equal(together[:, :, 0], data.adjoint[:, 0].expand(2, -1, -1, -1)) or name in APPROACHES
    torch.testing.assert_close(FAMILY[name](toy, data, steps=7, samples=2, batch=1).samples, together)
    monkeypatch.setattr(GaussianPrior, "predict", lambda self, x, t: calls.append(t) or predict(self, x, t))
    alone = FAMILY[name](toy, data[1:2], steps=7, samples=2, generators=spawn(0, [1], 2))
    torch.testing.assert_close(alone.samples[:, 0], together[:, 1])
    assert len(calls) == 7 == alone.evaluations
    assert calls[0] == 999 or name == "pula" and noise_variance(toy.schedule, calls[0]) <= 25


@pytest.mark.parametrize("name", [name for name in FAMILY if name != "pnpdm"])
def test_data_without_noise_are_met(toy, name):
    data = observed("T1 + y(T2)", noise_std=0.0)
    done = FAMILY[name](toy, data, steps=20).samples[0]
    assert data.residual_norm2(done).sqrt().max() < (0.02 if name in APPROACHES else 1e-6)


@pytest.mark.parametrize(
    ("name", "options", "complaint"),
    [
        *((name, {"steps": 0}, "steps: .* got 0") for name in FAMILY),
        *((name, {"steps": 1001}, "steps: 1001 must lie between 1 and 1000") for name in FAMILY),
        *((name, {"eta": 1.0}, f"eta: {name} has no such option") for name in FAMILY),
        ("daps", {"inner": 0}, "inner: .* got 0"),
        ("pnpdm", {"steps": 4, "inner": 5}, "inner: 5 must lie between 1 and 4"),
        ("daps", {"variance": "guessed"}, "variance: .*'measured' or 'unit'"),
        ("pigdm", {"variance": "guessed"}, "variance: .*'measured' or 'unit'"),
        ("diffpir", {"trust": 0.0}, "trust: .* got 0.0"),
        ("diffpir", {"zeta": 1.1}, "zeta: .* got 1.1"),
        ("freehunch", {"updates": -1}, "updates: .* got -1"),
        ("freehunch", {"cg_steps": 0}, "cg_steps: .* got 0"),
        ("pula", {"gamma": 0.0}, "gamma: .* got 0.0"),
        ("pula", {"gamma": 1.5}, "gamma: .* got 1.5"),
    ],
)
def test_settings_out_of_range_are_refused(toy, name, options, complaint):
    with pytest.raises(InputError, match=complaint):
        FAMILY[name](toy, observed("T1"), **options)


@pytest.mark.parametrize(("data", "name"), [(observed("y(T2)"), "T2"), (observed("T1", clean_noise_std=0.03), "T1")])
def test_ddnm_refuses_data_with_noise(toy, data, name):
    with pytest.raises(InputError, match=f"ddnm: {name} has noise_std = 0.0., which a pseudo-inverse would copy; use"):
        ddnm(toy, data, steps=2)
