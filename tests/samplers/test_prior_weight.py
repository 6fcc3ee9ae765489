"""How wrong a clean estimate is, from its misfit."""

from dataclasses import replace

import pytest
import torch

from a2a.common.rng import spawn
from a2a.forward.observation import Observation
from a2a.forward.operators import StackOperator
from a2a.forward.stack import StackSpec
from a2a.forward.undersampling import Undersampling
from a2a.prior.gaussian import GaussianPrior
from a2a.samplers import mds
from a2a.samplers.prior_weight import residual_variance

SPEC = StackSpec.of("T1", "T2")


def scaled(observation: Observation, factor: float) -> Observation:
    """The same measurement in another unit: coil maps, data and noise times a factor."""
    first, *others = observation.operator.blocks
    blocks = replace(first, maps=factor * first.maps), *others
    data = tuple(factor * y for y in observation.data)
    std = tuple(factor * s for s in observation.noise_std)
    return Observation(SPEC, observation.scenario, StackOperator(blocks), data, std)


@pytest.fixture
def seen() -> Observation:
    return Observation.simulate(torch.rand(2, 2, 8, 8, dtype=torch.float64), "y(T1)", SPEC)


@pytest.mark.parametrize("factor", [1e-3, 0.1, 10.0])
def test_the_unit_of_the_data_does_not_matter(seen, factor):
    image, other = torch.full((2, 2, 8, 8), 0.5, dtype=torch.float64), scaled(seen, factor)
    found = [residual_variance(part, part.residual_norm2(image)) for part in (seen, other)]
    torch.testing.assert_close(found[1], found[0], rtol=1e-6, atol=0)
    toy = GaussianPrior.correlated(SPEC, image[0], std=0.2, correlation=0.8, length=0.0)
    drawn = [mds(toy, part, steps=5, generators=spawn(0, 2)).samples for part in (seen, other)]
    torch.testing.assert_close(drawn[1], drawn[0], rtol=0, atol=1e-6)


def test_an_estimate_without_data_has_no_variance(seen):
    image = torch.full((2, 2, 8, 8), 0.5, dtype=torch.float64)
    assert torch.equal(residual_variance(seen, seen.residual_norm2(image))[:, 1], torch.zeros(2, dtype=torch.float64))


def test_the_variance_of_known_errors_is_found_beneath_the_noise():
    truth, error = torch.rand(2, 64, 2, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    sampling = Undersampling(acceleration=2, coils=4, noise_std=0.03)
    seen = Observation.simulate(truth, "y(T1)", SPEC, sampling, generators=spawn(0, 64))
    guess = truth + 0.05 * (error - 0.5) * 12**0.5
    found = residual_variance(seen, seen.residual_norm2(guess))[:, 0]
    assert found.mean().item() == pytest.approx(0.05**2, rel=0.1)
