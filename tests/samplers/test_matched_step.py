"""The covariance by which moment-matched MPS weighs the data is that of the clean stack given the noisy one."""

import torch

from a2a.common.rng import spawn
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.prior.gaussian import GaussianPrior
from a2a.samplers.mps import MatchedStep

SPEC, SIDE = StackSpec.of("T1", "T2FLAIR"), 8


def test_the_covariance_is_the_exact_one_of_a_gaussian():
    n = 2 * SIDE**2
    mix = torch.randn(n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    own = 1e-3 * mix @ mix.mT + 1e-3 * torch.eye(n, dtype=torch.float64)
    prior = GaussianPrior(torch.full((2, SIDE, SIDE), 0.4, dtype=torch.float64), own, SPEC)
    truth, x, u = torch.rand(3, 1, 2, SIDE, SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    data, t = Observation.simulate(truth, "y(T1)", SPEC, generators=spawn(2, 1)), 500
    x.requires_grad_(True)
    found = MatchedStep(prior, data, 1).covariance(x, prior.predict(x, t), t, u)
    abar = prior.schedule.abar(t)  # the noise of x is (1 - abar) / abar of the stack's, in a range twice as wide
    precision = torch.linalg.inv(own) + 4 * abar / (1 - abar) * torch.eye(n, dtype=torch.float64)
    exact = torch.linalg.solve(precision, u.flatten()).reshape(u.shape)
    torch.testing.assert_close(found, exact, rtol=1e-4, atol=1e-8)
