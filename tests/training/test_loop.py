"""The loop: learns, and resumes bit for bit whatever stopped it."""

import csv
import dataclasses
import json
import math
import multiprocessing
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from a2a.common.errors import Failure, InputError
from a2a.data.volumes.brightness import brightness
from a2a.prior.prior import Prior
from a2a.training import PriorConfig, PriorObjective, train
from a2a.training.checkpoint import CHECKPOINT, fingerprint, load_checkpoint, save_checkpoint
from a2a.training.config import NetworkSize
from a2a.training.loop import LOG, learning_rate
from a2a.training.numerics import CHOICES

PROCESSES = multiprocessing.get_context("forkserver")

WEIGHTS = PriorObjective.file


@pytest.fixture(scope="session")
def beginning(config, store, tmp_path_factory) -> Path:
    """The folder of a run before its first step."""
    folder = tmp_path_factory.mktemp("runs") / "beginning"
    train(PriorObjective(config, store), folder, stop_after=0)
    return folder


@pytest.fixture
def prepared(config, store, beginning, tmp_path) -> Callable[[str, str], Path]:
    """Return a function that copies the beginning of a run, with given numerics, for runs to compare.

    Numerics are measured when a run begins, so two runs of one configuration may rightly differ.
    """

    def copy(name: str, numerics: str = "float32") -> Path:
        folder = shutil.copytree(beginning, tmp_path / name)
        start = load_checkpoint(folder, fingerprint(config, store))
        save_checkpoint(folder, dataclasses.replace(start, numerics=numerics), fingerprint(config, store))
        return folder

    return copy


def rows(folder: Path) -> list[dict[str, str]]:
    """The log without the column that no two runs share."""
    with open(folder / LOG, newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def assert_same_run(first: Path, second: Path) -> None:
    """Weights, averages, moments, log and prior are equal, bit for bit, and nothing else lies about."""
    assert {p.name for p in first.iterdir()} == {p.name for p in second.iterdir()}
    for name in (CHECKPOINT, WEIGHTS):
        a, b = load_file(first / name), load_file(second / name)
        assert a.keys() == b.keys() and [k for k in a if not torch.equal(a[k], b[k])] == []
    assert rows(first) == rows(second)


@pytest.mark.parametrize("numerics", CHOICES)
def test_a_resumed_run_equals_an_uninterrupted_one(config, store, prepared, numerics):
    straight, stopped = prepared("straight", numerics), prepared("stopped", numerics)
    assert train(PriorObjective(config, store), straight, resume=True) == straight / WEIGHTS
    assert train(PriorObjective(config, store), stopped, resume=True, stop_after=5) is None
    assert load_checkpoint(stopped, fingerprint(config, store)).step == 5 and not (stopped / WEIGHTS).exists()
    train(PriorObjective(config, store), stopped, resume=True, stop_after=7)
    train(PriorObjective(config, store), stopped, resume=True)
    assert_same_run(straight, stopped)
    assert [int(row["step"]) for row in rows(straight)] == [3, 4, 6, 8, 9, 12]
    assert [bool(row["validation_loss"]) for row in rows(straight)] == [False, True, False, True, False, True]


@pytest.mark.long
def test_a_run_killed_ten_times_at_random_moments_equals_an_uninterrupted_one(config, store, tmp_path):
    longer = config.model_copy(update={"steps": 100, "log_every": 7, "checkpoint_every": 2})
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    train(PriorObjective(longer, store), straight, stop_after=0)
    shutil.copytree(straight, killed)
    PROCESSES.set_forkserver_preload(["a2a.training.loop"])

    def start(folder: Path) -> multiprocessing.Process:
        process = PROCESSES.Process(target=train, args=(PriorObjective(longer, store), folder), kwargs={"resume": True})
        process.start()
        return process

    draw, ends = random.Random(0), []
    for _ in range(10):
        before, process = (killed / CHECKPOINT).stat().st_mtime_ns, start(killed)
        while (killed / CHECKPOINT).stat().st_mtime_ns == before and process.is_alive():
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.05))
        process.kill()
        process.join()
        ends.append(process.exitcode)
    assert ends.count(-signal.SIGKILL) == 10
    for process in (start(killed), start(straight)):
        process.join()
        assert process.exitcode == 0
    assert_same_run(straight, killed)


def test_a_run_that_meets_a_full_disk_can_go_on(config, store, prepared, tmp_path, full_disk):
    straight, filled = prepared("straight"), prepared("filled")
    train(PriorObjective(config, store), straight, resume=True)
    train(PriorObjective(config, store), filled, resume=True, stop_after=4)
    with full_disk(20_000), pytest.raises(Failure, match="no room to write .*filled: files of this process"):
        train(PriorObjective(config, store), filled, resume=True)
    assert load_checkpoint(filled, fingerprint(config, store)).step == 4
    train(PriorObjective(config, store), filled, resume=True)
    assert_same_run(straight, filled)


def test_a_finished_run_can_be_resumed_without_harm(config, store, prepared):
    done, again = prepared("done"), prepared("again")
    for folder in (done, again, again):
        train(PriorObjective(config, store), folder, resume=True)
    assert_same_run(done, again)
    assert train(PriorObjective(config, store), again, resume=True, stop_after=3) == again / WEIGHTS


def test_the_first_checkpoint_is_there_before_the_first_step(config, store, tmp_path):
    assert train(PriorObjective(config, store), tmp_path / "run", stop_after=0) is None
    first = load_checkpoint(tmp_path / "run", fingerprint(config, store))
    assert first.step == 0 and first.numerics in CHOICES
    assert {key.split(".")[0] for key in first.tensors} == {"network", "ema"}


def test_a_place_that_cannot_be_written_shows_before_the_first_step(config, store, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file is no folder; choose another --out"):
        train(PriorObjective(config, store), tmp_path / "file" / "run")


def test_the_loss_falls_and_the_prior_is_what_was_learned(make_store, tmp_path):
    flat = np.broadcast_to(np.array([0.3, 0.8]).reshape(1, 2, 1, 1), (12, 2, 16, 16))
    store = make_store(flat, flat[:4])
    network = NetworkSize(width=8, multipliers=(1, 2), attention=())
    config = PriorConfig(
        name="flat", data="flat", network=network, steps=200, batch=8, lr=1e-2, warmup=10, ema=0.95, log_every=20
    )
    prior = Prior.load(train(PriorObjective(config, store), tmp_path / "run"), store.spec)
    log = rows(tmp_path / "run")
    assert float(log[-1]["loss"]) < float(log[0]["loss"]) / 4
    assert float(log[-1]["validation_loss"]) == pytest.approx(prior.card["validation_loss"])
    error = torch.stack([prior.variance(t) for t in prior.calibration.times])
    assert error.shape == (len(prior.calibration.times), 2) and (error >= 0).all()
    assert error[0].max() < 1e-3 and error[:12].max() < 0.01
    assert prior.variance(0).tolist() == pytest.approx(error[0].tolist())


def test_the_card_says_how_the_weights_came_to_be(config, store, prepared):
    run = prepared("run")
    weights = train(PriorObjective(config, store), run, resume=True)
    prior = Prior.load(weights)
    card = prior.card
    assert PriorConfig.model_validate(card["config"]) == config
    seen = {name: brightness(store.split("train").images[:, i]) for i, name in enumerate(store.spec.names)}
    source = {"card": "discs", "profile": "ci", "fingerprint": "f", "preprocessing": {"size": 16}}
    assert card["data"] == source | {"brightness": seen} and all(seen.values())
    assert card["slices"] == 20 and card["seconds"] >= 0 and card["torch"] == torch.__version__
    assert card["device"].endswith("1 threads, float32")
    assert card["parameters"] == sum(p.numel() for p in prior.network.parameters())
    assert card["validation_loss"] == pytest.approx(float(rows(run)[-1]["validation_loss"]))
    assert (prior.spec, prior.size, prior.schedule.kind) == (store.spec, 16, "cosine")
    averaged, written = load_file(run / CHECKPOINT), load_file(weights)
    assert all(torch.equal(written.pop(k), averaged[f"ema.{k}"]) for k in prior.network.state_dict())
    assert set(written) >= {"calibration.mean"} and written["calibration.mean"].shape == (len(store.spec), 16, 16)
    assert json.loads(weights.with_suffix(".json").read_text())["card"] == card


def test_the_learning_rate_warms_up_and_decays():
    config = PriorConfig(name="a", data="b", steps=1000, warmup=100, lr=2e-4)
    rates = np.array([learning_rate(config, step) for step in range(1000)])
    assert rates[0] == pytest.approx(2e-6) and rates[99] == pytest.approx(2e-4 * (1 + math.cos(0.099 * math.pi)) / 2)
    assert rates[500] == pytest.approx(1e-4) and 0 < rates[999] < 1e-8
    assert (np.diff(rates[:90]) > 0).all() and (np.diff(rates[100:]) < 0).all()


def test_a_loss_that_is_not_a_number_stops_with_step_and_slices(config, store, tmp_path):
    wild = config.model_copy(update={"lr": 1e30, "clip": 1e30, "warmup": 1})
    sentence = r"diverged at step [1-9]: loss .*, slices \[\d+(, \d+){5}\] of train.npy"
    with pytest.raises(RuntimeError, match=sentence) as stop:
        train(PriorObjective(wild, store), tmp_path / "run")
    named = int(str(stop.value).split("step ")[1].split(":")[0])
    checkpoint = load_checkpoint(tmp_path / "run", fingerprint(wild, store))
    assert checkpoint.step <= named


def test_progress_says_what_is_left(config, store, prepared, monkeypatch, capsys):
    monkeypatch.delenv("A2A_QUIET", raising=False)
    monkeypatch.setattr("a2a.common.progress.SECONDS_BETWEEN_LINES", 0.0)
    run = prepared("run")
    train(PriorObjective(config, store), run, resume=True, stop_after=5)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5 and lines[1].startswith("training discs: 1 of 5 (20 %), ") and lines[1].endswith(" s left")
    train(PriorObjective(config, store), run, resume=True)
    assert "training discs from step 5: 2 of 7" in capsys.readouterr().err
