"""The two stages: given contrasts are kept, errors shrink as the weight says, guidance leads to the data."""

import pytest
import torch

from a2a.common.rng import spawn
from a2a.methods.baselines.apt.inference import Guided, first_stage, second_stage, unroll
from a2a.prior.schedule import NoiseSchedule

SCHEDULE = NoiseSchedule("cosine", 1000)


def guided(estimate, stack, given, strength=0.0, guidance="norm", seed=0) -> Guided:
    return Guided(SCHEDULE, estimate, stack, given, spawn(seed, len(stack)), strength, guidance)


@pytest.fixture
def stack() -> torch.Tensor:
    return 2 * torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) - 1


@pytest.fixture
def given() -> torch.Tensor:
    return torch.tensor([[True, False, True], [False, True, False]])[:, :, None, None]


@pytest.mark.parametrize("begun", [True, False])
def test_the_first_stage_ends_with_given_contrasts_as_they_are(begun, stack, given):
    seen = []

    def estimate(x, t):
        seen.append(t)
        return 0.3 * x

    found = first_stage(guided(estimate, stack, given, 1.0), torch.zeros_like(stack) if begun else None, 400, 20)
    mask = given.expand_as(stack)
    assert torch.equal(found[mask], stack[mask]) and torch.isfinite(found).all()
    assert seen == SCHEDULE.times(21, start=400) and seen[0] == 400 and seen[-1] == 0


def test_missing_contrasts_begin_at_what_stands_in_for_them_and_given_ones_as_noise(stack, given):
    begun, seen = torch.full_like(stack, 0.7), []

    def estimate(x, t):
        seen.append(x.detach())
        return 0.0 * x

    first_stage(guided(estimate, stack, given), begun, 400, 2)
    signal, spread = SCHEDULE.coefficients(400, stack)
    left = (seen[0] - signal * 0.7) / spread
    mask = given.expand_as(stack)
    assert left[~mask].mean().abs() < 0.2 and left[~mask].std() == pytest.approx(1, abs=0.15)
    assert seen[0][mask].mean().abs() < 0.25 and seen[0][mask].std() == pytest.approx(1, abs=0.15)
    signal, spread = SCHEDULE.coefficients(200, stack)  # then they are the data, noised
    assert ((seen[1] - signal * stack) / spread)[mask].std() == pytest.approx(1, abs=0.15)


def test_a_constant_denoiser_shrinks_the_error_by_1_minus_w_per_repetition(stack, given):
    wanted = 0.2 * torch.ones_like(stack, dtype=torch.float64)
    first = torch.where(given, stack, wanted + 0.5).double()
    constant = lambda x, t: wanted + 0 * x  # noqa: E731
    for repetitions, weight in ((1, 0.5), (5, 0.5), (48, 0.5), (7, 0.3)):
        found, _ = unroll(guided(constant, stack.double(), given), first, (40, 20), repetitions, weight)
        error = (found - wanted)[~given.expand_as(stack)]
        torch.testing.assert_close(
            error, torch.full_like(error, 0.5 * (1 - weight) ** repetitions), atol=3e-16, rtol=1e-6
        )


def test_the_last_repetition_is_noised_to_the_next_time(stack, given):
    wide = torch.zeros(2, 3, 64, 64)
    zero = lambda x, t: 0 * x  # noqa: E731
    for repetitions in (1, 3):
        average, x = unroll(guided(zero, wide, given), wide, (400, 200), repetitions, 0.5)
        assert not average.any() and x.std() == pytest.approx(SCHEDULE.coefficients(200, x)[1], rel=0.02)


def test_the_second_stage_begins_unnoised_and_takes_n_evaluations(stack, given):
    seen = []

    def estimate(x, t):
        seen.append((t, x.detach()))
        return 0.5 * x

    second_stage(guided(estimate, stack, given), stack, 40, 10, 0.5)
    assert [t for t, _ in seen] == [40] * 8 + [20, 0]
    mask = given.expand_as(stack)
    assert torch.equal(seen[0][1][~mask], stack[~mask]) and not torch.equal(seen[0][1][mask], stack[mask])


def test_guidance_is_the_gradient_of_the_misfit_of_given_contrasts(stack, given):
    x = 0.4 * stack.flip(0)
    mask = given.expand_as(stack)
    coupled = lambda x, t: 0.5 * x + 0.1 * x.sum(dim=1, keepdim=True)  # noqa: E731
    for guidance in ("norm", "squared"):
        found = guided(coupled, stack, given, 0.3, guidance)(x, 100)
        residual = torch.where(given, coupled(x, 0) - stack, 0.0)
        if guidance == "norm":
            residual = residual / residual.flatten(1).norm(dim=1)[:, None, None, None] / 2
        gradient = 2 * (0.5 * residual + 0.1 * residual.sum(dim=1, keepdim=True))
        torch.testing.assert_close(found, coupled(x, 0) - 0.3 * gradient)
        assert ((found - coupled(x, 0))[~mask].abs() > 0).all()  # the missing ones move too


def test_guidance_without_strength_changes_nothing_and_rows_do_not_mix(stack, given):
    estimate = lambda x, t: torch.tanh(x) + 0.1 * x.mean(dim=(1, 2, 3), keepdim=True)  # noqa: E731
    torch.testing.assert_close(guided(estimate, stack, given)(stack, 3), estimate(stack, 3).clamp(-1, 1))
    both = guided(estimate, stack, given, 2.0)(stack, 3)
    alone = guided(estimate, stack[1:], given[1:], 2.0)(stack[1:], 3)
    torch.testing.assert_close(both[1:], alone)
