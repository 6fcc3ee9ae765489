"""Schedules and steps against independent formulas."""

import numpy as np
import pytest
import torch

from a2a.common.errors import InputError
from a2a.common.rng import randn, spawn
from a2a.prior.schedule import END, NoiseSchedule


def test_cosine_is_the_published_formula():
    schedule = NoiseSchedule("cosine", 1000)
    f = lambda u: np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2  # noqa: E731
    assert schedule.abar(499) == pytest.approx(f(0.5) / f(0), rel=1e-9)
    assert schedule.betas.max() == 0.999
    assert schedule.abar(999) ** -0.5 == pytest.approx(20291, rel=1e-3)


def test_linear_is_the_published_formula():
    betas = np.linspace(1e-4, 0.02, 1000)
    schedule = NoiseSchedule("linear", 1000)
    assert schedule.abar(999) == pytest.approx(np.prod(1 - betas), rel=1e-12)
    assert schedule.abar(999) ** -0.5 == pytest.approx(157, rel=1e-2)


@pytest.mark.parametrize("kind", ["cosine", "linear"])
def test_noise_grows_and_the_clean_stack_has_none(kind):
    schedule = NoiseSchedule(kind, 1000)
    abar = [schedule.abar(t) for t in range(1000)]
    assert schedule.abar(END) == 1.0
    assert all(a > b for a, b in zip(abar, abar[1:], strict=False))


@pytest.mark.parametrize("steps", [1, 2, 7, 150, 167, 999, 1000])
@pytest.mark.parametrize("spacing", [0.3, 1.0, 1.25, 4.0, "log-snr"])
def test_exactly_k_transitions_from_the_last_time_to_the_clean_stack(steps, spacing):
    transitions = NoiseSchedule().transitions(steps, spacing)
    assert len(transitions) == steps
    assert transitions[0][0] == 999 and transitions[-1][1] == END
    assert all(t > s for t, s in transitions)
    assert all(a[1] == b[0] for a, b in zip(transitions, transitions[1:], strict=False))
    assert steps == 1 or transitions[-1][0] == 0


@pytest.mark.parametrize("steps", [0, 1001, -3])
def test_impossible_step_counts_are_refused(steps):
    with pytest.raises(InputError, match="between 1 and 1000"):
        NoiseSchedule().transitions(steps)


@pytest.mark.parametrize("spacing", [0.0, -1.0, float("nan"), float("inf"), "even"])
def test_impossible_spacings_are_refused(spacing):
    with pytest.raises(InputError, match="spacing must be a positive number"):
        NoiseSchedule().times(10, spacing)


def test_times_even_in_log_snr():
    schedule, times = NoiseSchedule(), NoiseSchedule().times(12, "log-snr", 900)
    abar = np.array([schedule.abar(t) for t in times])
    steps = np.diff(np.log(abar / (1 - abar)))
    np.testing.assert_allclose(steps[:6], steps[:6].mean(), rtol=0.1)  # later ones are as coarse as whole times are


@pytest.mark.parametrize(("variance", "spacing", "low", "high"), [(1000, 1.0, 0.4, 0.5), (1000, "log-snr", 0.85, 0.95)])
def test_few_steps_cost_coarse_scales_their_variety_unless_even_in_log_snr(variance, spacing, low, high):
    schedule, spread = NoiseSchedule(), 1.0  # variance of one coefficient of x_t, sampled with its exact denoiser
    for t, s in schedule.transitions(50, spacing):
        a, b = schedule.abar(t), schedule.abar(s)
        gain = a**0.5 * variance / (a * variance + 1 - a)
        spread *= (b**0.5 * gain + ((1 - b) / (1 - a)) ** 0.5 * (1 - a**0.5 * gain)) ** 2
    assert low < spread / variance < high


def test_spacing_puts_steps_where_the_stack_is_nearly_clean():
    assert NoiseSchedule().times(5) == [999, 749, 500, 250, 0]
    assert NoiseSchedule().times(5, 2.0) == [999, 562, 250, 62, 0]


@pytest.mark.parametrize(("kind", "length"), [("sigmoid", 1000), ("cosine", 1)])
def test_bad_schedules_are_refused(kind, length):
    with pytest.raises(InputError):
        NoiseSchedule(kind, length)


def test_eta_one_is_the_ddpm_posterior():
    """Mean and variance of q(x_{t-1} | x_t, x_0) (Ho et al. 2020, Eqs. 6-7), at every time."""
    schedule, generator = NoiseSchedule(), torch.Generator().manual_seed(0)
    x0, eps = torch.randn(2, 3, dtype=torch.float64, generator=generator)
    zero = torch.zeros_like(x0)
    for t in (1, 10, 400, 700, 930):
        beta, a, b = schedule.betas[t], schedule.abar(t), schedule.abar(t - 1)
        x = a**0.5 * x0 + (1 - a) ** 0.5 * eps
        mean = b**0.5 * beta / (1 - a) * x0 + (1 - beta) ** 0.5 * (1 - b) / (1 - a) * x
        assert torch.allclose(schedule.step(x0, eps, zero, t, t - 1, 1.0), mean, rtol=1e-10)
        assert schedule.sigma(t, t - 1, 1.0) ** 2 == pytest.approx(beta * (1 - b) / (1 - a), rel=1e-10)


@pytest.mark.parametrize("eta", [0.0, 0.85, 1.0])
def test_a_step_keeps_the_marginal_variance(eta):
    """Signal and noise variances of x_s add up as in q(x_s | x_0), whatever eta."""
    schedule = NoiseSchedule()
    for t, s in schedule.transitions(20):
        noise_left = max(1 - schedule.abar(s) - schedule.sigma(t, s, eta) ** 2, 0)
        assert noise_left + schedule.sigma(t, s, eta) ** 2 == pytest.approx(1 - schedule.abar(s), abs=1e-12)


def test_the_last_step_lands_on_the_clean_estimate():
    x0, eps, z = torch.randn(3, 1, 2, 4, 4, dtype=torch.float64)
    assert torch.equal(NoiseSchedule().step(x0, eps, z, 0, END, 1.0), x0)


def test_diffuse_has_the_stated_moments():
    schedule, generators = NoiseSchedule(), spawn(0, 4000)
    x0 = torch.full((4000, 1, 1, 1), 0.7, dtype=torch.float64)
    noise = randn((1, 1, 1), generators, x0)
    x = schedule.diffuse(x0, torch.full((4000,), 300), noise)
    assert float(x.mean()) == pytest.approx(schedule.abar(300) ** 0.5 * 0.7, abs=0.03)
    assert float(x.var()) == pytest.approx(1 - schedule.abar(300), rel=0.08)


@pytest.mark.parametrize("t, s", [(999, 998), (999, 408), (41, 20), (1, 0)])
def test_an_ancestral_step_has_the_published_mean_and_variance(t, s):
    schedule = NoiseSchedule("linear", 1000)
    at, a = schedule.abar(t), schedule.abar(s)
    beta = 1 - at / a
    x0, x = torch.randn(2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mean = a**0.5 * beta / (1 - at) * x0 + (1 - beta) ** 0.5 * (1 - a) / (1 - at) * x
    none, one = torch.zeros_like(x), torch.ones_like(x)
    torch.testing.assert_close(schedule.ancestral(x0, x, none, t, s), mean)
    variance = (schedule.ancestral(x0, x, one, t, s) - mean) ** 2
    torch.testing.assert_close(variance, torch.full_like(x, beta * (1 - a) / (1 - at)))


def test_the_last_ancestral_step_is_the_clean_estimate_without_noise():
    x0, x, noise = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(1))
    assert torch.equal(NoiseSchedule("linear").ancestral(x0, x, noise, 0, END), x0)
