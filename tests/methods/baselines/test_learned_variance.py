"""The learned variance and its bound."""

import math

import pytest
import torch

from a2a.methods.baselines.learned_variance import HALF_BIN, log_variance, variational_bound
from a2a.prior.schedule import END, NoiseSchedule

SCHEDULE = NoiseSchedule("linear", 1000)


def image(seed: int, rows: int = 1) -> torch.Tensor:
    """Uniform in [-1, 1]."""
    return 2 * torch.rand(rows, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) - 1


@pytest.mark.parametrize("t", [1, 5, 400, 999])
def test_the_variance_lies_between_that_of_the_posterior_and_beta(t):
    ends = [float(log_variance(SCHEDULE, torch.tensor(w), t, t - 1).exp()) for w in (-1.0, 0.0, 1.0)]
    assert ends[0] == pytest.approx(SCHEDULE.sigma(t, t - 1, 1.0) ** 2, rel=1e-5)
    assert ends[2] == pytest.approx(SCHEDULE.betas[t], rel=1e-5)
    assert ends[1] == pytest.approx(math.sqrt(ends[0] * ends[2]), rel=1e-5)
    assert math.isfinite(float(log_variance(SCHEDULE, torch.tensor(-1.0), 0, END)))


def test_the_bound_is_zero_for_the_posterior_itself_and_positive_otherwise():
    x0, times = image(0, 3), torch.tensor([1, 300, 999])
    noisy = SCHEDULE.diffuse(x0, times, torch.randn(x0.shape, dtype=torch.float64))
    raw = -torch.ones_like(x0)
    assert variational_bound(SCHEDULE, x0, noisy, times, x0, raw).abs().max() < 1e-9
    for other in (x0 + 0.1, x0):
        worse = variational_bound(SCHEDULE, x0, noisy, times, other, raw if other is not x0 else raw + 1)
        assert (worse > 0).all()


def test_at_the_last_step_the_probabilities_of_all_grey_levels_sum_to_one():
    levels = torch.arange(-255, 256, 2, dtype=torch.float64) * HALF_BIN
    raw, estimate = torch.full((1, 1, 1, 1), 0.3, dtype=torch.float64), torch.full((1, 1, 1, 1), 0.12).double()
    rows = levels[:, None, None, None]
    bits = variational_bound(
        SCHEDULE, rows, rows, torch.zeros(256, dtype=torch.long), estimate.expand_as(rows), raw.expand_as(rows)
    )
    assert float((-bits * math.log(2)).exp().sum()) == pytest.approx(1, abs=1e-6)


def test_only_the_variance_learns_from_the_bound():
    x0, times = image(1), torch.tensor([200])
    estimate, raw = (x0 + 0.2).requires_grad_(), torch.zeros_like(x0).requires_grad_()
    variational_bound(SCHEDULE, x0, SCHEDULE.diffuse(x0, times, image(2)), times, estimate, raw).sum().backward()
    assert estimate.grad is None and raw.grad.abs().min() > 0
