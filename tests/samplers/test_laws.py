"""Every sampler against the exact posterior of a Gaussian prior.

Pixels of the toy are independent, so each of the 64 is one more draw: 12,800 draws in all. The Monte-Carlo error of
a mean is then 0.9 % of the standard deviation, that of a standard deviation 0.6 %; tolerances are stated in units of
the prior's standard deviation, and where a sampler is biased by construction the bias itself is the law.
"""

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch

from a2a.common.errors import InputError
from a2a.common.rng import spawn
from a2a.common.units import to_image, to_model
from a2a.forward.observation import Observation
from a2a.forward.operators import StackOperator
from a2a.forward.stack import StackSpec
from a2a.forward.undersampling import Undersampling
from a2a.prior.gaussian import GaussianPrior
from a2a.samplers import ddim, ddpm, mds, mps

SPEC, STD, CORRELATION = StackSpec.of("T1", "T2"), 0.15, 0.8
SAMPLES = 200
DPS = partial(mps, guidance="norm", steps=1000)


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("A2A_QUIET", "1")


@pytest.fixture(scope="module")
def toy() -> GaussianPrior:
    return GaussianPrior.correlated(
        SPEC, torch.tensor([0.3, 0.4]).reshape(2, 1, 1).expand(2, 8, 8), STD, CORRELATION, 0.0
    )


def observe(text: str, clean_noise_std: float = 0.0) -> Observation:
    x = torch.stack([torch.full((8, 8), 0.45), torch.full((8, 8), 0.5)])[None].double()
    return Observation.simulate(x, text, SPEC, Undersampling(noise_std=0.02), clean_noise_std=clean_noise_std)


def compare(completion, posterior):
    """Errors of mean, standard deviation (per modality) and cross-modality covariance, in units of the prior's."""
    x = completion.samples[:, 0]
    mean = (x.mean(0) - posterior.mean).mean(dim=(1, 2)) / STD
    centred = x - x.mean(0)
    cross = (centred[:, 0] * centred[:, 1]).sum(0).mean() / (len(x) - 1)
    blocks = posterior.covariance.reshape(2, 64, 2, 64)
    spread = (x.var(0).mean(dim=(1, 2)).sqrt() - posterior.std.square().mean(dim=(1, 2)).sqrt()) / STD
    return mean, spread, float(cross - blocks[0, :, 1].diagonal().mean()) / STD**2


OBSERVATIONS = {
    "nothing": ("nothing", 0.0),
    "clean": ("T1", 0.0),
    "noisy": ("T1", 0.03),
    "k-space": ("y(T1)", 0.0),
    "mixed": ("T1 + y(T2)", 0.0),
    "two measured": ("y(T1) + y(T2)", 0.0),
}


@pytest.mark.law
@pytest.mark.parametrize("case", ["nothing", "clean", "noisy", "k-space", "mixed"])
def test_moment_matched_mps_is_exact(toy, case):
    observation = observe(*OBSERVATIONS[case])
    done = mps(toy, observation, steps=1000, samples=SAMPLES, batch=SAMPLES)
    mean, spread, cross = compare(done, toy.posterior(observation))
    assert mean.abs().max() < 0.03 and spread.abs().max() < 0.025 and abs(cross) < 0.03


@pytest.mark.law
@pytest.mark.parametrize("case", ["clean", "mixed"])
def test_restarts_leave_the_exact_posterior_as_it_is(toy, case):
    observation = observe(*OBSERVATIONS[case])
    done = mps(toy, observation, steps=600, restarts=2, samples=SAMPLES, batch=SAMPLES)
    mean, spread, cross = compare(done, toy.posterior(observation))
    assert done.evaluations == 600
    assert mean.abs().max() < 0.03 and spread.abs().max() < 0.03 and abs(cross) < 0.03


@pytest.mark.parametrize("sampler", [mds, mps])
@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"steps": 0}, "steps: .* got 0"),
        ({"steps": 1001}, "steps: 1001 must lie between 1 and 1000"),
        ({"samples": 0}, "samples: 0 must be 1 or more"),
        ({"batch": 0}, "batch: 0 must be 1 or more"),
        ({"spacing": -1.0}, "spacing: .* got -1.0"),
        ({"steps": 10, "restarts": -1}, "restarts: .* got -1"),
        ({"steps": 3, "restarts": 3}, "restarts: 3 must lie between 0 and 2"),
        ({"steps": 3, "restarts": 1.5}, "restarts: .* got 1.5"),
        ({"generators": []}, "generators: must hold samples . items = 1 different generators, got 0"),
        ({"steps": -5}, "steps: .* got -5"),
        ({"steps": 2.5}, "steps: .* got 2.5"),
        ({"steps": 1800, "restarts": 1}, "steps: 1800 must lie between 1 and 1000"),
        ({"generators": [torch.Generator()] * 2, "samples": 2}, "generators: must hold samples . items = 2 different"),
    ],
)
def test_settings_out_of_range_are_refused(toy, sampler, options, complaint):
    with pytest.raises(InputError, match=complaint):
        sampler(toy, observe("T1"), **options)


@pytest.mark.parametrize("eta", [-0.1, 1.1, float("nan")])
def test_eta_out_of_range_is_refused(toy, eta):
    with pytest.raises(InputError, match="eta: .* got"):
        mds(toy, observe("T1"), steps=2, eta=eta)


@pytest.mark.parametrize("cg_steps", [0, -1, 1.5])
def test_cg_steps_must_be_positive(toy, cg_steps):
    with pytest.raises(InputError, match="cg_steps: .* got"):
        mps(toy, observe("T1"), cg_steps=cg_steps)


def test_memory_that_does_not_suffice_names_a_batch_that_may(toy, monkeypatch):
    def full(self, x, t):
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(GaussianPrior, "predict", full)
    with pytest.raises(InputError, match="batch: 12 rows do not fit the memory of the device; try batch = 6"):
        mds(toy, observe("T1"), samples=12)
    with pytest.raises(InputError, match="batch: 1 rows do not fit .*; use smaller slices"):
        mds(toy, observe("T1"))


@pytest.mark.parametrize("sampler", [mds, mps])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_samplers_do_not_mind_the_callers_gradient_mode(toy, sampler, mode):
    with mode():
        inside = sampler(toy, observe("T1"), steps=3).samples
    assert torch.equal(inside, sampler(toy, observe("T1"), steps=3).samples)


def test_samples_that_are_not_finite_are_refused(toy, monkeypatch):
    monkeypatch.setattr(GaussianPrior, "predict", lambda self, x, t: x / 0)
    with pytest.raises(InputError, match="MDS, T1: samples are not finite"):
        mds(toy, observe("T1"), steps=2)


def test_another_stack_is_refused(toy):
    other = Observation.build(StackSpec.of("CT", "PET"), {"CT": torch.zeros(1, 8, 8, dtype=torch.float64)}, {})
    with pytest.raises(InputError, match="observation: it is of CT, PET, but the prior is of T1, T2"):
        mds(toy, other, steps=2)


@pytest.mark.parametrize(("sampler", "option"), [(mds, "weight"), (mps, "scale")])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_step_sizes_out_of_range_are_refused(toy, sampler, option, value):
    with pytest.raises(InputError, match=f"{option}: .* got {value}"):
        sampler(toy, observe("T1"), steps=2, **{option: value})


@pytest.fixture(scope="module")
def five() -> GaussianPrior:
    """Five modalities whose pixels are correlated over 1.5 pixels: the covariance of an estimate is not diagonal."""
    spec = StackSpec.of("T1", "T2FLAIR", "T2star", "CT", "PET")
    return GaussianPrior.correlated(spec, torch.full((5, 8, 8), 0.4), STD, CORRELATION, 1.5)


@pytest.mark.law
@pytest.mark.parametrize(
    ("text", "noise"),
    [
        pytest.param("T1", 0.0, marks=pytest.mark.long),
        pytest.param("T1 + CT", 0.0, marks=pytest.mark.long),
        pytest.param("y(T1)", 0.0, marks=pytest.mark.long),
        ("T1", 0.03),
        ("T1 + y(T2FLAIR)", 0.0),
    ],
)
def test_more_cg_steps_are_exact_for_five_modalities_of_correlated_pixels(five, text, noise):
    """Neighbouring pixels are no new draws: a mean of 300 x 64 correlated values is uncertain by 0.02 of the std."""
    x = torch.full((1, 5, 8, 8), 0.5, dtype=torch.float64)
    observation = Observation.simulate(x, text, five.spec, Undersampling(noise_std=0.02), clean_noise_std=noise)
    exact = five.posterior(observation)
    drawn = mps(five, observation, steps=150, cg_steps=6, samples=300, batch=300).samples[:, 0]
    mean = (drawn.mean(0) - exact.mean).mean(dim=(1, 2)) / STD
    spread = (drawn.var(0).mean(dim=(1, 2)).sqrt() - exact.std.square().mean(dim=(1, 2)).sqrt()) / STD
    assert mean.abs().max() < 0.05 and spread.abs().max() < 0.04


@pytest.mark.parametrize("cg_steps", [1, 3])
def test_no_solve_is_made_that_nobody_uses(toy, monkeypatch, cg_steps):
    """One to start from, and a preconditioned direction for each conjugate-gradient step."""
    calls, prox = [], StackOperator.prox
    monkeypatch.setattr(StackOperator, "prox", lambda self, z, b, lam: calls.append(lam) or prox(self, z, b, lam))
    mps(toy, observe("y(T1)"), steps=2, cg_steps=cg_steps)
    assert len(calls) == 2 * (1 + cg_steps)


@pytest.mark.law
def test_one_cg_step_is_not_the_whole_inverse(five):
    """A law of its construction: with correlated errors a single direction moves the mean too far or not far enough."""
    x = torch.full((1, 5, 8, 8), 0.65, dtype=torch.float64)
    observation = Observation.simulate(x, "T1", five.spec, clean_noise_std=0.03)
    exact = five.posterior(observation)
    bias = [
        (mps(five, observation, steps=150, cg_steps=k, samples=300, batch=300).mean[0] - exact.mean).mean() / STD
        for k in (1, 6)
    ]
    assert abs(bias[0]) > 2 * abs(bias[1])


@pytest.mark.parametrize("eta", [0.0, 0.85, 1.0])
@pytest.mark.parametrize("text", ["T1", "T2"])
def test_mds_is_nearly_exact_for_a_clean_modality(toy, text, eta):
    observation = observe(text)
    done = mds(toy, observation, samples=SAMPLES, batch=SAMPLES, eta=eta)
    mean, spread, _ = compare(done, toy.posterior(observation))
    assert mean.abs().max() < 0.06 and spread.abs().max() < 0.05


@pytest.mark.parametrize("case", ["noisy", "k-space", "mixed", "two measured"])
def test_mds_with_the_derived_weight_is_nearly_calibrated(toy, case):
    observation = observe(*OBSERVATIONS[case])
    done = mds(toy, observation, samples=SAMPLES, batch=SAMPLES)
    mean, spread, cross = compare(done, toy.posterior(observation))
    assert mean.abs().max() < 0.1 and spread.abs().max() < 0.08 and abs(cross) < 0.09


@pytest.mark.parametrize("case", ["noisy", "k-space", "mixed", "two measured"])
def test_mds_with_a_constant_weight_is_overconfident(toy, case):
    """Law of its construction: the correction returns a mean, so modalities with noise lose spread, not accuracy."""
    observation = observe(*OBSERVATIONS[case])
    done = mds(toy, observation, samples=SAMPLES, batch=SAMPLES, weight=0.3)
    mean, spread, _ = compare(done, toy.posterior(observation))
    assert mean.abs().max() < 0.08 and spread.min() < -0.1


@pytest.mark.law
def test_norm_guidance_depends_on_its_scale(toy):
    """The DPS step has no exact scale: a small one leaves the data unmatched, and the bias goes with it."""
    observation = observe("T1")
    exact = toy.posterior(observation)
    weak, strong = (compare(DPS(toy, observation, samples=SAMPLES, batch=SAMPLES, scale=s), exact) for s in (0.01, 0.3))
    assert weak[1][0] > 10 * strong[1][0] > 0
    assert abs(strong[0][0]) < 0.05 < strong[0][1]


@pytest.mark.law
@pytest.mark.parametrize(("sampler", "steps"), [(ddpm, 1000), (ddim, 150)])
def test_unconditional_samples_have_the_moments_of_the_prior(toy, sampler, steps):
    done = sampler(toy, (1, 8, 8), steps=steps, samples=SAMPLES, batch=SAMPLES)
    mean, spread, cross = compare(done, toy.posterior(observe("nothing")))
    assert mean.abs().max() < 0.03 and spread.abs().max() < 0.03 and abs(cross) < 0.04


SAMPLERS = {
    "mds": lambda prior, o, **k: mds(prior, o, steps=7, **k),  # noqa: E731
    "mps norm": lambda prior, o, **k: DPS(prior, o, steps=7, **k),  # noqa: E731
    "mps": lambda prior, o, **k: mps(prior, o, steps=7, **k),  # noqa: E731
}


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("text", ["T1 + y(T2)", "y(T1)", "nothing"])
def test_batch_size_changes_nothing(toy, name, text):
    x = torch.rand(3, 2, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    observation = Observation.simulate(x, text, SPEC)
    together = SAMPLERS[name](toy, observation, samples=2, batch=16).samples
    assert torch.allclose(SAMPLERS[name](toy, observation, samples=2, batch=1).samples, together, atol=1e-10)
    alone = SAMPLERS[name](toy, observation[1:2], generators=spawn(0, [1], 2), samples=2).samples
    assert torch.allclose(alone[:, 0], together[:, 1], atol=1e-10)


@pytest.mark.parametrize("name", SAMPLERS)
def test_seeds_decide(toy, name):
    observation = observe("T1")
    runs = [SAMPLERS[name](toy, observation, generators=spawn(seed, 1)).samples for seed in (0, 0, 1)]
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])


@pytest.mark.parametrize(("steps", "restarts"), [(1, 0), (7, 0), (7, 2), (150, 0)])
@pytest.mark.parametrize("sampler", [mds, mps])
def test_network_is_evaluated_exactly_so_often(toy, monkeypatch, sampler, steps, restarts):
    calls = []
    predict = GaussianPrior.predict
    monkeypatch.setattr(GaussianPrior, "predict", lambda self, x, t: calls.append(t) or predict(self, x, t))
    done = sampler(toy, observe("T1"), steps=steps, restarts=restarts)
    assert len(calls) == steps == done.evaluations and calls[0] == 999


def test_clean_modalities_are_copied_bit_for_bit_by_mds(toy):
    x = 0.3 * torch.rand(4, 2, 8, 8, dtype=torch.float64)  # 2 x - 1 and back is not exact for these
    assert not torch.equal(to_image(to_model(x)), x)
    done = mds(toy, Observation.simulate(x, "T2 + y(T1)", SPEC), steps=5, samples=3)
    assert all(torch.equal(s[:, 1], x[:, 1]) for s in done.samples)


def test_without_data_mds_is_ddim_and_mps_is_ddpm(toy):
    nothing = observe("nothing")
    free = ddim(toy, (1, 8, 8), steps=20, eta=0.85).samples
    assert torch.allclose(mds(toy, nothing, steps=20, eta=0.85).samples, free, atol=1e-12)
    assert torch.equal(DPS(toy, nothing, steps=20).samples, ddpm(toy, (1, 8, 8), steps=20).samples)


def test_a_step_loses_nothing_of_the_stack(toy, monkeypatch):
    """An estimate that is clamped or shrunk takes its own noise along: with eta = 0, x_s is the DDIM of both."""
    seen, predict, schedule = [], GaussianPrior.predict, toy.schedule
    nothing = Observation.build(SPEC, {}, {}, (3, 8, 8))

    def shrunk(self, x, t):
        seen.append((t, x, 0.7 * predict(self, x, t)))
        return seen[-1][2]

    monkeypatch.setattr(GaussianPrior, "predict", shrunk)
    for run in (lambda: ddim(toy, (3, 8, 8), steps=5), lambda: mds(toy, nothing, steps=5, eta=0.0)):
        seen.clear()
        run()
        for (t, x, x0), (s, following, _) in pairwise(seen):
            noise = (x - schedule.abar(t) ** 0.5 * x0) / (1 - schedule.abar(t)) ** 0.5
            expected = schedule.abar(s) ** 0.5 * x0 + (1 - schedule.abar(s)) ** 0.5 * noise
            torch.testing.assert_close(following, expected)


def test_numbers_of_numpy_are_numbers(toy):
    one, two = np.int64(1), np.int64(2)
    same = mds(toy, observe("T1"), steps=3, samples=1, batch=1, spacing=2)
    done = mds(toy, observe("T1"), steps=one + two, samples=one, batch=one, restarts=one - one, spacing=two)
    assert torch.equal(done.samples, same.samples)


def test_unknown_guidance_is_refused(toy):
    with pytest.raises(InputError, match="guidance: .*'moment-matched' or 'norm'"):
        mps(toy, observe("T1"), guidance="dps")


def test_wrong_number_of_generators_is_refused(toy):
    with pytest.raises(ValueError, match="3 different generators"):
        mds(toy, observe("T1"), samples=3, generators=spawn(0, 2))
