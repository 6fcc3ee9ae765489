"""Checkpoints: what goes in comes out, nothing half-written is ever met, and another run's checkpoint is refused."""

import dataclasses
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from a2a.common.errors import InputError
from a2a.common.files import temporary
from a2a.common.outputs import LOCK, hold
from a2a.training import PriorObjective
from a2a.training.checkpoint import (
    CHECKPOINT,
    Checkpoint,
    fingerprint,
    is_free,
    load_checkpoint,
    save_checkpoint,
)
from a2a.training.config import Augmentation, NetworkSize, Schedule
from a2a.training.log import TrainingLog
from a2a.training.numerics import CHOICES
from a2a.training.state import State, build


def example(step: int = 3, size: int = 5) -> Checkpoint:
    """A checkpoint with awkward numbers."""
    tensors = {"network.a": torch.linspace(0, 1 / 3, size), "optimiser.0.step": torch.tensor(float(step))}
    return Checkpoint(step, 0.1 + 0.2, "bf16 channels_last", tensors, (1 / 3, 2e-9))


def assert_equal(first: Checkpoint, second: Checkpoint) -> None:
    """Bit for bit."""
    assert dataclasses.replace(first, tensors={}) == dataclasses.replace(second, tensors={})
    assert first.tensors.keys() == second.tensors.keys()
    assert all(torch.equal(value, second.tensors[key]) for key, value in first.tensors.items())


def trained(config, store, numerics: str = "float32", steps: int = 2) -> State:
    """A state whose moments are not zero, laid out as `numerics` says."""
    state = build(PriorObjective(config, store))
    state.restore(dataclasses.replace(state.checkpoint(), numerics=numerics))
    network, optimiser = state.networks["network"], state.optimisers["network"]
    x = torch.randn(2, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    for _ in range(steps):
        (network(x, torch.tensor([3, 500])) - x).square().mean().backward()
        optimiser.step()
        state.average(0.5)
    state.step, state.losses = steps, [0.5]
    return state


def test_a_checkpoint_comes_back_bit_for_bit(tmp_path):
    save_checkpoint(tmp_path / "new", example(), "me")
    assert_equal(load_checkpoint(tmp_path / "new", "me"), example())
    assert [p.name for p in (tmp_path / "new").iterdir()] == [CHECKPOINT]


@pytest.mark.parametrize("numerics", CHOICES)
def test_a_state_comes_back_with_values_and_memory_layout(config, store, numerics):
    state, fresh = trained(config, store, numerics), build(PriorObjective(config, store))
    fresh.restore(state.checkpoint())
    assert_equal(fresh.checkpoint(), state.checkpoint())
    assert (fresh.numerics, fresh.step, fresh.losses) == (numerics, 2, [0.5])
    pairs = zip(fresh.networks["network"].parameters(), state.networks["network"].parameters(), strict=True)
    moments = {key: state.optimisers["network"].state for key, state in (("theirs", state), ("ours", fresh))}
    for mine, yours in pairs:
        theirs, ours = moments["theirs"][yours]["exp_avg"], moments["ours"][mine]["exp_avg"]
        assert (mine.stride(), ours.stride()) == (yours.stride(), theirs.stride())


def test_a_checkpoint_is_a_copy(config, store):
    state = trained(config, store)
    taken, before = state.checkpoint(), trained(config, store).checkpoint()
    state.average(0.0), torch.nn.init.zeros_(next(state.networks["network"].parameters()))
    assert_equal(taken, before)


def test_the_average_moves_by_its_decay(config, store):
    state = build(PriorObjective(config, store))
    with torch.no_grad():
        before = [p.clone() for p in state.ema.parameters()]
        for p in state.networks["network"].parameters():
            p.add_(1)
    state.average(0.75)
    for old, new in zip(before, state.ema.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.25)


def test_the_seed_alone_decides_the_first_weights(config, store):
    first = build(PriorObjective(config, store)).checkpoint()
    torch.manual_seed(77)
    assert_equal(build(PriorObjective(config, store)).checkpoint(), first)
    other = build(PriorObjective(config.model_copy(update={"seed": 4}), store)).checkpoint()
    assert not torch.equal(other.tensors["ema.head.weight"], first.tensors["ema.head.weight"])


def test_a_disk_that_fills_up_leaves_the_former_checkpoint(tmp_path, full_disk):
    save_checkpoint(tmp_path, example(), "me")
    with full_disk(100_000), pytest.raises(Exception, match="File too large|os error 27"):
        save_checkpoint(tmp_path, example(step=4, size=1_000_000), "me")
    assert_equal(load_checkpoint(tmp_path, "me"), example())
    assert [p.name for p in tmp_path.iterdir()] == [CHECKPOINT]


def test_a_write_that_dies_half_way_leaves_the_former_checkpoint(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, example(), "me")

    def half(path: Path, content: bytes) -> None:
        with open(path, "wb") as file:
            file.write(content[:100])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path, example(step=4), "me")
    assert_equal(load_checkpoint(tmp_path, "me"), example())
    assert [p.name for p in tmp_path.iterdir()] == [CHECKPOINT]


@pytest.mark.parametrize("keep", [0, 4, 60, -1])
def test_a_damaged_checkpoint_is_refused(tmp_path, keep):
    save_checkpoint(tmp_path, example(), "me")
    file = tmp_path / CHECKPOINT
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(InputError, match=f"{CHECKPOINT}: corrupt checkpoint"):
        load_checkpoint(tmp_path, "me")


def test_a_missing_checkpoint_is_refused(tmp_path):
    with pytest.raises(InputError, match=f"{CHECKPOINT}: no checkpoint to resume"):
        load_checkpoint(tmp_path, "me")


@pytest.mark.parametrize("metadata", [{"identity": "you"}, {"format": "pt"}, None])
def test_a_checkpoint_of_another_run_or_another_file_is_refused(tmp_path, metadata):
    save_file(example().tensors, tmp_path / CHECKPOINT, metadata=metadata)
    with pytest.raises(InputError, match="another configuration or data set"):
        load_checkpoint(tmp_path, "me")


def test_tensors_of_another_network_are_refused(config, store):
    other = config.model_copy(update={"network": NetworkSize(width=16, multipliers=(1, 2), attention=())})
    for strange in (build(PriorObjective(other, store)).checkpoint(), example()):
        with pytest.raises(InputError, match="do not fit"):
            build(PriorObjective(config, store)).restore(strange)


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 13},
        {"batch": 3},
        {"lr": 2e-3},
        {"warmup": 5},
        {"ema": 0.99},
        {"clip": 2.0},
        {"seed": 4},
        {"precision": "float32"},
        {"schedule": Schedule(kind="linear")},
        {"augmentation": Augmentation(flip=0)},
        {"network": NetworkSize(width=16, multipliers=(1, 2), attention=())},
    ],
)
def test_the_fingerprint_knows_what_decides_the_weights(config, store, change):
    assert fingerprint(config.model_copy(update=change), store) != fingerprint(config, store)


def test_the_fingerprint_ignores_names_and_how_often_things_are_written(config, store):
    seldom = config.model_copy(update={"log_every": 100, "checkpoint_every": 1000, "name": "other"})
    assert fingerprint(seldom, store) == fingerprint(config, store)


def test_the_fingerprint_knows_the_training_slices_but_not_their_place(config, store, make_store, tmp_path):
    moved = dataclasses.replace(store, path=Path(shutil.copytree(store.path, tmp_path / "moved")))
    assert fingerprint(config, moved) == fingerprint(config, store)
    train, val = (np.array(store.split(name).images) for name in ("train", "val"))
    train[3, 1, 4, 4] += 0.25 if train[3, 1, 4, 4] < 0.5 else -0.25
    assert fingerprint(config, make_store(train, val)) != fingerprint(config, store)


def test_a_new_run_begins_where_there_is_nothing_but_what_a_killed_one_left(tmp_path):
    folder = tmp_path / "run"
    assert is_free(folder)
    folder.mkdir()
    for left in (temporary(folder / CHECKPOINT), folder / LOCK):
        left.write_bytes(b"half")
    assert is_free(folder)
    (folder / "log.csv").write_text("")
    assert not is_free(folder)
    with hold(folder, inside=True):
        pass
    assert [p.name for p in folder.iterdir()] == ["log.csv"]
    assert not is_free(folder / "log.csv")


def test_every_flipped_bit_of_a_checkpoint_is_refused(tmp_path):
    save_checkpoint(tmp_path, example(size=40), "me")
    file, draw = tmp_path / CHECKPOINT, random.Random(0)
    whole = file.read_bytes()
    for bit in [*range(64), *draw.sample(range(64, 8 * len(whole)), 300)]:
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(bytes(damaged))
        with pytest.raises(InputError, match=CHECKPOINT):
            load_checkpoint(tmp_path, "me")
    file.write_bytes(whole)
    assert_equal(load_checkpoint(tmp_path, "me"), example(size=40))


HEADER, ROW = "step,seconds,lr,loss,validation_loss\n", "3,0.1,1,1,\n"


@pytest.mark.parametrize("cut", ["", "step,sec", HEADER, HEADER + ROW + "6,0.2,1,1,\n9,0.3", HEADER + ROW + "4"])
def test_the_log_keeps_whole_rows_up_to_the_checkpoint(tmp_path, cut):
    log = TrainingLog(tmp_path / "log.csv")
    log.path.write_text(cut)
    log.trim(5)
    log.append(6, 0.25, 1e-3, 1 / 3, None)
    header, *rows = log.path.read_text().splitlines()
    assert header == "step,seconds,lr,loss,validation_loss"
    assert rows == ([ROW.strip()] if ROW in cut else []) + ["6,0.250,0.001,0.3333333333333333,"]
