"""What a prior's training step sees: diffused slices, as a pure function of (seed, step)."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from a2a.common.errors import InputError
from a2a.common.units import to_model
from a2a.forward.stack import StackSpec
from a2a.prior.prior import Prior
from a2a.training import PriorObjective, train
from a2a.training.batches import rows_of_step
from a2a.training.config import Augmentation, PriorConfig
from a2a.training.loader import Steps
from a2a.training.state import build


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
    noisy, times, noise, *_ = Steps(still)[5]
    images = store.split("train").images
    clean = to_model(torch.from_numpy(images[rows_of_step(config.seed, 5, config.batch, len(images))]).float())
    abar = torch.from_numpy(np.cumprod(1 - still.schedule.betas)[times[:, 0]])[:, None, None, None]
    torch.testing.assert_close(noisy, (abar.sqrt() * clean + (1 - abar).sqrt() * noise).float())
    assert noisy.dtype == noise.dtype == torch.float32


def test_times_are_uniform_and_noise_is_standard_normal(objective):
    steps = [Steps(objective)[step] for step in range(150)]
    times, noise = (torch.cat([inputs[part] for inputs in steps]).double() for part in (1, 2))
    assert times.min() >= 0 and times.max() <= 999
    assert abs(times.mean() - 499.5) < 4 * 288.7 / len(times) ** 0.5
    assert abs(noise.mean()) < 4 / noise.numel() ** 0.5
    assert abs(noise.var() - 1) < 4 * (2 / noise.numel()) ** 0.5


@pytest.fixture
def giving(config, store) -> PriorObjective:
    """A prior that learns levels of their own."""
    network = config.network.model_copy(update={"noise_levels": "per-modality"})
    return PriorObjective(config.model_copy(update={"network": network, "given": 0.5}), store)


def test_some_modalities_are_given_at_low_levels_of_their_own(giving):
    steps = [Steps(giving)[step] for step in range(150)]
    times, given = torch.cat([step[1] for step in steps]), ~torch.cat([step[3] for step in steps])
    assert abs(float(given.any(dim=1).double().mean()) - 0.5) < 4 * 0.5 / len(times) ** 0.5
    assert (times[given] < 50).all() and not given.all(dim=1).any()
    assert 450 < times[~given].double().mean() < 550


def test_half_of_the_slices_are_shown_in_the_noisiest_fifth(config, store):
    objective = PriorObjective(config.model_copy(update={"noisy": 0.5}), store)
    times = torch.cat([Steps(objective)[step][1] for step in range(150)])
    share = float((times >= 800).double().mean())  # of that half, and a fifth of the others
    assert abs(share - 0.6) < 4 * (0.6 * 0.4 / len(times)) ** 0.5


def test_given_modalities_are_not_scored(giving):
    network = giving.networks()["network"]
    noisy, _, noise, _, weight = Steps(giving)[0]
    times, asked = (torch.tensor([row]).expand(len(noisy), 2) for row in ([3, 600], [False, True]))
    other = torch.cat([noise[:, :1] + 5, noise[:, 1:]], dim=1)
    losses = [
        giving.loss("network", {"network": network}, (noisy, times, truth, asked, weight)) for truth in (noise, other)
    ]
    assert torch.equal(*losses)
    expected = (network(noisy, times) - noise)[:, 1].square().mean()
    assert torch.allclose(losses[0], expected)


def test_a_stack_of_one_modality_has_nothing_to_give(giving):
    alone = replace(giving.store, spec=StackSpec.of("T1"))
    with pytest.raises(InputError, match="given: a stack of one modality has none to give"):
        PriorObjective(giving.config, alone).networks()


def test_velocities_are_predicted_where_that_is_asked_for(config, store):
    noise, velocity = (PriorObjective(config.model_copy(update={"predicts": p}), store) for p in ("noise", "velocity"))
    (noisy, times, eps, *_), (same, _, v, *_) = Steps(noise)[5], Steps(velocity)[5]
    assert torch.equal(noisy, same)
    signal, spread = noise.schedule.coefficients(times, eps)
    torch.testing.assert_close(spread * noisy + signal * v, eps, rtol=0, atol=1e-5)


def test_a_run_that_predicts_something_else_begins_with_a_silent_last_layer(config, store, tmp_path):
    first = train(PriorObjective(config, store), tmp_path / "first")
    change = {"start": first, "predicts": "velocity"}
    network = PriorObjective(config.model_copy(update=change), store).networks()["network"]
    last, others = network.tail[-1].state_dict(), network.down.state_dict()
    assert not any(value.any() for value in last.values())
    assert all(torch.equal(value, Prior.load(first).network.down.state_dict()[name]) for name, value in others.items())


@pytest.fixture
def corrected(config) -> PriorConfig:
    """A run whose network corrects a linear estimate."""
    return config.model_copy(update={"predicts": "clean", "precondition": "cross-modal", "precision": "float32"})


def test_a_run_that_corrects_begins_with_the_linear_estimate_and_betters_it(corrected, store, tmp_path):
    longer = corrected.model_copy(update={"steps": 60, "lr": 4e-3})
    objective = PriorObjective(longer, store)
    fresh = build(objective).ema.eval()
    prior = objective.finished(fresh, {})
    x = torch.randn(2, 2, 16, 16)
    estimate, _ = objective.target.linear(x, *prior.schedule.coefficients(500, x))
    torch.testing.assert_close(prior.predict(x, 500), estimate.clamp(-1, 1))
    trained = Prior.load(train(objective, tmp_path / "run"))
    assert trained.predicts == "clean" and torch.equal(trained.linear.mean, objective.target.linear.mean)
    assert trained.card["validation_loss"] < 0.9 * objective.validation(fresh)
    assert trained.variance(700).sum() < prior.variance(700).sum()


def test_a_run_that_corrects_goes_on_bit_for_bit(corrected, store, tmp_path):
    objective = PriorObjective(corrected, store)
    straight = train(objective, tmp_path / "straight")
    train(objective, tmp_path / "halves", stop_after=5)
    halves = train(objective, tmp_path / "halves", resume=True)
    assert Prior.load(straight).digest == Prior.load(halves).digest


def test_a_run_that_corrects_may_begin_with_one_that_does_not(corrected, config, store, tmp_path):
    first = train(PriorObjective(config, store), tmp_path / "first")
    network = PriorObjective(corrected.model_copy(update={"start": first}), store).networks()["network"]
    known = Prior.load(first).network
    assert network.config.stacks == 2 and not network.tail[-1].weight.any()
    assert torch.equal(network.head.weight[:, :2], known.head.weight) and not network.head.weight[:, 2:].any()
    second = train(PriorObjective(corrected, store), tmp_path / "second")
    again = PriorObjective(corrected.model_copy(update={"start": second}), store).networks()["network"]
    assert torch.equal(again.tail[-1].weight, Prior.load(second).network.tail[-1].weight)


def test_a_clean_stack_is_learned_where_that_is_asked_for(config, store):
    objective = PriorObjective(config.model_copy(update={"predicts": "clean"}), store)
    (noisy, times, truth, asked, weight), network = Steps(objective)[5], objective.networks()["network"]
    images = store.split("train").images
    shown = torch.from_numpy(np.float32(images[rows_of_step(config.seed, 5, config.batch, len(images))]))
    assert torch.equal(truth.abs().sum(dim=(2, 3)), to_model(shown).abs().sum(dim=(2, 3)))
    expected = (weight * truth.square()).mean()  # a fresh network answers 0
    assert torch.allclose(
        objective.loss("network", {"network": network}, (noisy, times, truth, asked, weight)), expected
    )
