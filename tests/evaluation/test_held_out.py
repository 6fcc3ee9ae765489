"""Held-out lines: an exact posterior predicts them, one that is too sure or wrong is noticed."""

from dataclasses import replace

import pytest
import torch

from a2a.common.errors import InputError
from a2a.common.rng import spawn
from a2a.evaluation.held_out import hold_out
from a2a.forward.measured import KSpaceLines
from a2a.forward.observation import Observation
from a2a.forward.operators import PerItem, StackOperator
from a2a.forward.stack import StackSpec
from a2a.forward.undersampling import Undersampling, birdcage_maps
from a2a.prior.gaussian import GaussianPrior

SPEC, SIDE, ITEMS, SAMPLES = StackSpec.of("T1", "T2"), 8, 12, 39
HALF = Undersampling(acceleration=2, coils=2, noise_std=0.02)


@pytest.fixture(scope="module")
def prior() -> GaussianPrior:
    return GaussianPrior.correlated(SPEC, torch.full((2, SIDE, SIDE), 0.5), 0.2, 0.7, 1.0)


def observed(prior: GaussianPrior, text: str = "T1 + y(T2)") -> Observation:
    nothing = Observation.simulate(prior.mean[None], "nothing", SPEC)
    return Observation.simulate(prior.posterior(nothing).sample(spawn(3, ITEMS)), text, SPEC, HALF)


def sampled(prior: GaussianPrior, given: Observation) -> torch.Tensor:
    """Exact samples ``(S, B, n, H, W)``."""
    return torch.stack([prior.posterior(given[i : i + 1]).sample(spawn(i + 50, SAMPLES)) for i in range(ITEMS)], dim=1)


def test_lines_are_predicted_by_the_right_posterior_and_by_no_other(prior):
    rest, held = hold_out(observed(prior), "T2", every=2)
    assert int(rest.operator.blocks[1].mask.sum()) == int(held.operator.mask.sum()) == 2
    samples = sampled(prior, rest)
    found = held.check(samples).iloc[0]
    assert found["numbers"] == ITEMS * 2 * 2 * SIDE * 2 and 0.01 < found["noise"] < 0.5
    assert found["ratio"] == pytest.approx(1, abs=0.06)
    for nominal in (0.5, 0.8, 0.9):
        assert found[f"covered {nominal:g}"] == pytest.approx(nominal, abs=0.06)
    narrow = held.check(samples.mean(0) + 0.5 * (samples - samples.mean(0))).iloc[0]
    assert narrow["ratio"] < 0.75 and narrow["covered 0.8"] < 0.65
    shifted = held.check(samples + samples[0] - samples.mean(0)).iloc[0]
    assert shifted["ratio"] < 0.9 and shifted["covered 0.8"] < found["covered 0.8"]


@pytest.mark.parametrize("per_item", [False, True])
def test_the_two_parts_are_the_data_and_fit_their_operators(prior, per_item):
    observation = observed(prior)
    block = observation.operator.blocks[1]
    if per_item:
        blocks = (observation.operator.blocks[0], PerItem((block,) * ITEMS))
        observation = replace(observation, operator=StackOperator(blocks))
    rest, held = hold_out(observation, "T2", every=3)
    assert torch.equal(rest.data[1] + held.data, observation.data[1])
    assert held.data.abs().sum() > 0 and torch.equal(held.operator.sampled(held.data), held.data)
    both = rest.operator.blocks[1].adjoint(rest.data[1]) + held.operator.adjoint(held.data)
    assert torch.allclose(both, observation.adjoint[:, 1])
    assert held.check(observation.adjoint.repeat(3, 1, 1, 1, 1)).loc[0, "numbers"] == 2 * held.data.count_nonzero()


def test_lines_between_the_frequencies_of_the_grid_are_held_out_too(prior):
    maps, frequencies = birdcage_maps(2, SIDE, SIDE), torch.linspace(-0.4, 0.4, 6, dtype=torch.float64)
    data = torch.randn(2, 2, 6, SIDE, dtype=torch.complex64, generator=torch.Generator().manual_seed(1))
    observation = Observation.build(SPEC, {}, {"T2": KSpaceLines(data, frequencies, maps, 0.1)})
    rest, held = hold_out(observation, "T2")
    assert torch.equal(held.data, data[:, :, 2:3]) and torch.equal(rest.data[1], data[:, :, [0, 1, 3, 4, 5]])
    assert torch.equal(held.operator.frequencies, frequencies[2:3])
    assert held.check(torch.rand(4, 2, 2, SIDE, SIDE)).loc[0, "numbers"] == 2 * 2 * SIDE * 2


@pytest.mark.parametrize(
    ("text", "settings", "complaint"),
    [
        ("T1", {}, r"modality: T2 has no lines of k-space to hold out; take one that is given as y\(T2\)"),
        ("T1 + y(T2)", {"every": 5}, "every: T2 has 4 lines, fewer than 5"),
        ("T1 + y(T2)", {"every": 1}, "every: 1 must be 2 or more"),
    ],
)
def test_what_has_no_lines_to_spare_is_refused(prior, text, settings, complaint):
    with pytest.raises(InputError, match=complaint):
        hold_out(observed(prior, text), "T2", **settings)


def test_a_mask_along_both_axes_has_no_lines(prior):
    poisson = HALF.model_copy(update={"pattern": "poisson"})
    with pytest.raises(InputError, match="the mask of T2 varies along both axes"):
        hold_out(Observation.simulate(prior.mean[None].float(), "y(T2)", SPEC, poisson), "T2")
