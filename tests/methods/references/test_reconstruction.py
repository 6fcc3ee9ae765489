"""Zero-filled images and SENSE against what they must be by definition."""

import numpy as np
import pytest
import torch

from a2a.common.errors import InputError
from a2a.evaluation.metrics import psnr
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.forward.undersampling import Undersampling
from a2a.methods.references import tikhonov_sense, tune_lambda, zero_filled

SPEC = StackSpec.of("T1", "T2", "FLAIR")
SAMPLING = Undersampling(acceleration=4, coils=6)


@pytest.fixture(scope="module")
def stacks() -> torch.Tensor:
    """Two smooth random stacks, float64 (2, 3, 16, 16) in [0, 1]."""
    rows, columns = np.mgrid[:16, :16] / 16
    phase = np.random.default_rng(0).uniform(0, 6, (2, 3, 1, 1))
    return torch.from_numpy(0.5 + 0.4 * np.sin(6 * rows + phase) * np.cos(5 * columns - phase))


def test_clean_is_kept_missing_is_zero_and_measured_is_the_adjoint(stacks):
    observation = Observation.simulate(stacks, "T1 + y(FLAIR)", SPEC, SAMPLING)
    for result in (zero_filled(observation), tikhonov_sense(observation, 0.1)):
        assert torch.equal(result[:, 0], stacks[:, 0]) and not result[:, 1].any()
    block = observation.operator.blocks[2]
    torch.testing.assert_close(zero_filled(observation)[:, 2], block.adjoint(observation.data[2]))


def test_zero_filled_of_fully_sampled_data_is_the_image(stacks):
    full = Undersampling(acceleration=1, coils=6, noise_std=0.0)
    observation = Observation.simulate(stacks, "y(T1) + y(T2) + y(FLAIR)", SPEC, full)
    torch.testing.assert_close(zero_filled(observation), stacks)


def test_sense_solves_its_normal_equations(stacks):
    observation = Observation.simulate(stacks, "y(T1) + y(T2) + y(FLAIR)", SPEC, SAMPLING)
    x = tikhonov_sense(observation, 0.03)
    torch.testing.assert_close(observation.operator.normal(x) + 0.03 * x, observation.adjoint)


def test_large_lambda_shrinks_to_the_scaled_zero_filled_image(stacks):
    observation = Observation.simulate(stacks, "y(T2)", SPEC, SAMPLING)
    x = tikhonov_sense(observation, 1e6)
    torch.testing.assert_close(1e6 * x, zero_filled(observation), atol=1e-5, rtol=1e-4)


def test_tuned_lambda_is_the_best_of_the_grid_and_beats_zero_filling(stacks):
    observation = Observation.simulate(stacks, "T1 + y(T2)", SPEC, SAMPLING)
    grid = [1e-4, 1e-3, 1e-2, 1e-1, 1.0]
    best = tune_lambda(observation, stacks, grid)
    scores = {lam: psnr(stacks[:, 1], tikhonov_sense(observation, lam)[:, 1]).mean() for lam in grid}
    assert best == max(scores, key=scores.get) and best < 1.0
    assert scores[best] > psnr(stacks[:, 1], zero_filled(observation)[:, 1]).mean() + 6


def test_more_noise_wants_more_regularisation(stacks):
    def best(noise: float) -> float:
        sampling = Undersampling(acceleration=4, coils=6, noise_std=noise)
        return tune_lambda(Observation.simulate(stacks, "y(T1)", SPEC, sampling), stacks)

    assert best(0.001) < best(0.1)


def test_refusals(stacks):
    with pytest.raises(InputError, match="measured modality"):
        tune_lambda(Observation.simulate(stacks, "T1", SPEC), stacks)
    observation = Observation.simulate(stacks, "y(T1)", SPEC, SAMPLING)
    with pytest.raises(InputError, match="grid"):
        tune_lambda(observation, stacks, [])
    with pytest.raises(InputError, match="one shape"):
        tune_lambda(observation, stacks[:1])
    with pytest.raises(InputError):
        tikhonov_sense(observation, -1.0)
