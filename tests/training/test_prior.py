"""What a prior's training step sees: diffused slices, as a pure function of (seed, step)."""

import numpy as np
import pytest
import torch

from a2a.prior import to_model
from a2a.training import PriorObjective
from a2a.training.batches import rows_of_step
from a2a.training.config import Augmentation
from a2a.training.loader import Steps


@pytest.fixture
def objective(config, store) -> PriorObjective:
    return PriorObjective(config, store)


def test_inputs_depend_on_seed_and_step_and_on_nothing_else(objective, store):
    first = Steps(objective)[7]
    torch.randn(100)
    assert all(torch.equal(a, b) for a, b in zip(first, Steps(PriorObjective(objective.config, store))[7], strict=True))
    other_seed = PriorObjective(objective.config.model_copy(update={"seed": 4}), store)
    assert not any(torch.equal(first[2], other[2]) for other in (Steps(objective)[8], Steps(other_seed)[7]))


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_the_batch(objective, world):
    parts = [Steps(objective, rank, world)[2] for rank in range(world)]
    for whole, *shares in zip(Steps(objective)[2], *parts, strict=True):
        assert torch.equal(torch.stack(shares, dim=1).flatten(0, 1), whole)


def test_inputs_are_the_forward_process_of_their_slices(config, store):
    still = PriorObjective(config.model_copy(update={"augmentation": Augmentation(flip=0)}), store)
    noisy, times, noise = Steps(still)[5]
    images = store.split("train").images
    clean = to_model(torch.from_numpy(images[rows_of_step(config.seed, 5, config.batch, len(images))]).float())
    abar = torch.from_numpy(np.cumprod(1 - still.schedule.betas)[times])[:, None, None, None]
    torch.testing.assert_close(noisy, (abar.sqrt() * clean + (1 - abar).sqrt() * noise).float())
    assert noisy.dtype == noise.dtype == torch.float32


def test_times_are_uniform_and_noise_is_standard_normal(objective):
    steps = [Steps(objective)[step] for step in range(150)]
    times, noise = (torch.cat([inputs[part] for inputs in steps]).double() for part in (1, 2))
    assert times.min() >= 0 and times.max() <= 999
    assert abs(times.mean() - 499.5) < 4 * 288.7 / len(times) ** 0.5
    assert abs(noise.mean()) < 4 / noise.numel() ** 0.5
    assert abs(noise.var() - 1) < 4 * (2 / noise.numel()) ** 0.5
