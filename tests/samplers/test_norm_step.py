"""The step of the paper's MPS: down the norms of the misfit, as far as the scale and the time it covers say."""

import torch
from torch import Tensor

from a2a.common.rng import spawn
from a2a.common.units import to_image
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.prior.gaussian import GaussianPrior
from a2a.samplers.mps import NormStep

SPEC, SIDE = StackSpec.of("T1", "T2FLAIR", "CT"), 8


def test_the_step_is_the_slope_of_the_norms_by_finite_differences():
    mix = torch.randn(3 * SIDE**2, 3 * SIDE**2, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    prior = GaussianPrior(torch.full((3, SIDE, SIDE), 0.4, dtype=torch.float64), 1e-3 * mix @ mix.mT, SPEC)
    truth, x, way = torch.rand(3, 2, 3, SIDE, SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    data, t, s, scale, h = Observation.simulate(truth, "CT + y(T1)", SPEC, generators=spawn(2, 2)), 700, 680, 0.3, 1e-5

    def norms(at: Tensor) -> float:
        return float(data.residual_norm2(to_image(prior.predict(at, t))).sqrt().sum())

    moved, guess = NormStep(prior, data, scale).step(x, torch.zeros_like(x), t, s)
    assert torch.equal(guess, prior.predict(x, t))
    shift = prior.schedule.ancestral(guess, x, torch.zeros_like(x), t, s) - moved
    slope = (norms(x + h * way) - norms(x - h * way)) / (2 * h)
    assert abs(float((shift * way).sum()) - scale * (t - s) * slope) < 1e-6 * scale * (t - s) * abs(slope)
