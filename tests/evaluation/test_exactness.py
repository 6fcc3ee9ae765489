"""Exact samples are found exact; biased, narrow and uncorrelated ones are not."""

import pytest
import torch

from a2a.common.errors import InputError
from a2a.common.rng import spawn
from a2a.evaluation.exactness import against_exact
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.forward.undersampling import Undersampling
from a2a.prior.gaussian import Gaussian, GaussianPrior

SPEC, STD = StackSpec.of("T1", "T2", "CT"), 0.15


@pytest.fixture(scope="module")
def posterior() -> Gaussian:
    toy = GaussianPrior.correlated(SPEC, torch.full((3, 6, 6), 0.4), STD, 0.8, 1.0)
    x = torch.full((1, 3, 6, 6), 0.5, dtype=torch.float64)
    return toy.posterior(Observation.simulate(x, "T1 + y(T2)", SPEC, Undersampling(acceleration=2)))


@pytest.fixture(scope="module")
def drawn(posterior) -> torch.Tensor:
    return posterior.sample(spawn(0, 4000))


def test_exact_samples_have_no_error(posterior, drawn):
    table = against_exact(drawn, posterior, SPEC, STD)
    assert table["modality"].tolist() == list(SPEC.names)
    assert (table[["bias", "spread", "cross"]].abs() < 0.02).all(axis=None)
    assert table["covered 0.5"][1:].sub(0.5).abs().max() < 0.01 > table["covered 0.9"][1:].sub(0.9).abs().max()
    assert table["covered 0.5"][:1].isna().all()


def test_errors_are_seen_with_their_direction(posterior, drawn):
    mean = posterior.mean
    moved, narrow = (against_exact(x, posterior, SPEC, STD) for x in (drawn + 0.1 * STD, mean + (drawn - mean) / 2))
    assert moved["bias"].sub(0.1).abs().max() < 0.02
    assert (narrow["spread"][1:] < -0.05).all() and (narrow["covered 0.9"][1:] < 0.65).all()


def test_cross_covariance_is_that_with_the_first_modality():
    toy = GaussianPrior.correlated(SPEC, torch.full((3, 6, 6), 0.4), STD, 0.8, 1.0)
    prior = Gaussian(toy.mean, toy.covariance)
    alone = torch.stack([prior.sample(spawn(seed, 3000))[:, seed] for seed in range(3)], dim=1)
    table = against_exact(alone, prior, SPEC, STD)
    assert table["cross"][1:].add(0.8).abs().max() < 0.05 and table["spread"].abs().max() < 0.03


@pytest.mark.parametrize("shape", [(10, 3, 6, 6), (30, 2, 6, 6), (30, 6, 6)])
def test_bad_shapes(posterior, shape):
    with pytest.raises(InputError, match="needs at least 20 samples of"):
        against_exact(torch.zeros(shape), posterior, SPEC, STD)
