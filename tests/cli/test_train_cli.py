"""``a2a train``: what it prints, how it ends, and two processes that do the work of one."""

import csv
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from a2a.cli import main
from a2a.data.store.write import StoreWriter
from a2a.forward.stack import StackSpec
from a2a.prior.prior import Prior
from a2a.training import loop

RECIPE = {
    "name": "blocks",
    "data": "blocks, profile ci",
    "network": {"width": 8, "multipliers": [1, 2], "attention": []},
    "steps": 6,
    "batch": 4,
    "lr": 1e-3,
    "warmup": 2,
    "precision": "float32",
    "log_every": 2,
    "checkpoint_every": 2,
}


@pytest.fixture
def workplace(tmp_path, monkeypatch) -> Path:
    """The current folder: a small store ``store`` and a recipe ``blocks.yaml``."""
    monkeypatch.chdir(tmp_path)
    images = np.kron(np.random.default_rng(0).random((10, 2, 4, 4)), np.ones((4, 4)))
    with StoreWriter(tmp_path / "store", StackSpec.of("T1", "CT"), 16) as writer:
        for split in ("train", "val"):
            writer.add(split, split, list(range(10)), [0.0] * 10, images)
        writer.finish({"card": "blocks", "profile": "ci", "fingerprint": "f", "preprocessing": {}})
    write_recipe({})
    return tmp_path


def write_recipe(change: dict) -> None:
    """Write ``blocks.yaml`` into the current folder."""
    Path("blocks.yaml").write_text(yaml.safe_dump(RECIPE | change))


@pytest.fixture
def a2a(capfd) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs ``a2a`` with a line's words: exit code, standard output, standard error."""

    def call(line: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main(shlex.split(line))
        return left.value.code, *capfd.readouterr()

    return call


def test_train_says_where_the_weights_are(workplace, a2a):
    code, out, _ = a2a("train blocks.yaml --data store")
    assert (code, out) == (0, "Weights: runs/priors/blocks/prior.safetensors\n")
    assert Prior.load(Path("runs/priors/blocks/prior.safetensors")).card["config"]["name"] == "blocks"


def test_what_train_prints_when_it_stops_continues_the_run(workplace, a2a):
    code, out, _ = a2a("train blocks.yaml --data store --out 'my runs/one' --stop-after 3")
    assert code == 0 and out.startswith("Stopped early; continue with: a2a train blocks.yaml ")
    assert not Path("my runs/one/prior.safetensors").exists()
    code, out, _ = a2a(out.split("continue with: a2a ")[1])
    assert (code, out) == (0, "Weights: my runs/one/prior.safetensors\n")


def test_another_seed_is_another_run_and_says_so_in_its_name(workplace, a2a):
    a2a("train blocks.yaml --data store")
    code, out, _ = a2a("train blocks.yaml --data store --seed 5 --stop-after 3")
    assert code == 0 and "--out runs/priors/blocks-seed-5 --seed 5 --resume" in out
    code, out, _ = a2a(out.split("continue with: a2a ")[1])
    assert (code, out) == (0, "Weights: runs/priors/blocks-seed-5/prior.safetensors\n")
    first, other = (Prior.load(Path(f"runs/priors/{name}/prior.safetensors")) for name in ("blocks", "blocks-seed-5"))
    assert (other.card["config"]["name"], other.card["config"]["seed"]) == ("blocks-seed-5", 5)
    assert first.digest != other.digest


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Make SIGINT an interruption, also where the tests run in the background of a shell, which lets it be ignored."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


def test_an_interruption_leaves_a_checkpoint_and_says_how_to_go_on(workplace, a2a, ctrl_c):
    write_recipe({"steps": 1_000_000})
    log = Path("runs/priors/blocks/log.csv")

    def press_ctrl_c() -> None:
        until = time.monotonic() + 120
        while time.monotonic() < until and not (log.exists() and log.read_text().count("\n") > 2):
            time.sleep(0.02)
        if log.exists():
            os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press_ctrl_c, daemon=True).start()
    code, out, err = a2a("train blocks.yaml --data store")
    assert (code, out) == (130, "")
    command = "a2a train blocks.yaml --data store --out runs/priors/blocks --resume"
    assert f"Interrupted; continue with: {command}\n" in err and "Traceback" not in err
    code, out, _ = a2a(f"{command.removeprefix('a2a ')} --stop-after 1")
    assert code == 0 and command in out


@pytest.mark.parametrize(
    ("line", "change", "complaint"),
    [
        ("train nothing.yaml --data store", {}, "nothing.yaml: no such file"),
        ("train blocks.yaml --data nothing", {}, "nothing is no slice store"),
        ("train blocks.yaml", {}, "--data"),
        ("train blocks.yaml --data store", {"stepz": 1}, "blocks.yaml: field stepz"),
        ("train blocks.yaml --data store", {"steps": "many"}, "blocks.yaml: field steps"),
        ("train blocks.yaml --data store --devices 3", {}, "batch: 4 cannot be shared by 3 devices"),
        ("train blocks.yaml --data store --devices 0", {}, "--devices"),
        ("train blocks.yaml --data store --stop-after 0", {}, "--stop-after"),
        ("train blocks.yaml --data store --seed -1", {}, "--seed"),
        ("train blocks.yaml --data store --out store", {}, "store: the folder is not empty"),
        ("train blocks.yaml --data store --resume", {}, "no checkpoint to resume"),
        ("train blocks.yaml --data store", {"network": {"patch": 8}}, "slices of side 16 do not fit"),
    ],
)
def test_wrong_use_is_one_sentence_and_leaves_nothing(workplace, a2a, line, change, complaint):
    write_recipe(change)
    code, out, err = a2a(line)
    assert (code, out) == (2, "")
    assert complaint in err and "Traceback" not in err and not Path("runs").exists()


def test_another_configuration_cannot_resume(workplace, a2a):
    a2a("train blocks.yaml --data store --stop-after 2")
    write_recipe({"lr": 2e-3})
    code, _, err = a2a("train blocks.yaml --data store --resume")
    assert code == 2 and "checkpoint.safetensors: written by another configuration or data set" in err
    checkpoint = Path("runs/priors/blocks/checkpoint.safetensors")
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    code, _, err = a2a("train blocks.yaml --data store --resume")
    assert code == 2 and "checkpoint.safetensors: corrupt checkpoint" in err


def test_divergence_is_one_sentence_and_exit_code_1(workplace, a2a):
    write_recipe({"lr": 1e30, "clip": 1e30})
    code, out, err = a2a("train blocks.yaml --data store")
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith("a2a: RuntimeError: training diverged at step ") and "Traceback" not in err


@pytest.mark.long
def test_two_processes_train_what_one_trains_with_the_whole_batch(workplace, a2a):
    a2a("train blocks.yaml --data store --out one --stop-after 1")
    shutil.copytree("one", "two")
    a2a("train blocks.yaml --data store --out one --resume")
    words = "-m a2a train blocks.yaml --data store --out two --resume --devices 2"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "A2A_QUIET": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, *words.split()], capture_output=True, text=True, timeout=600, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Weights: two/prior.safetensors\n"
    one, two = load_file("one/prior.safetensors"), load_file("two/prior.safetensors")
    assert max(float((one[key] - two[key]).abs().max()) for key in one) < 1e-5
    losses = [[float(row["loss"]) for row in csv.DictReader(open(f"{run}/log.csv"))] for run in ("one", "two")]
    assert len(losses[0]) == 3
    torch.testing.assert_close(*map(torch.tensor, losses), rtol=1e-5, atol=0)


def test_sigterm_ends_after_the_step_with_a_checkpoint_that_goes_on(a2a, workplace, monkeypatch):
    a2a("train blocks.yaml --data store --out whole")
    save = loop.save_checkpoint

    def save_and_ask(out: Path, *content: object) -> None:
        save(out, *content)
        if asked:
            os.kill(os.getpid(), asked.pop())

    asked = [signal.SIGTERM]  # it comes after the checkpoint with which a run begins
    monkeypatch.setattr(loop, "save_checkpoint", save_and_ask)
    code, _, err = a2a("train blocks.yaml --data store --out asked")
    assert code == 128 + signal.SIGTERM and "Traceback" not in err
    assert not Path("asked/prior.safetensors").exists()
    assert a2a("train blocks.yaml --data store --out asked --resume")[0] == 0
    whole, resumed = (load_file(f"{run}/prior.safetensors") for run in ("whole", "asked"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_store_that_does_not_match_its_manifest_is_refused_before_anything_is_written(a2a, workplace):
    file = workplace / "store" / "train.npy"
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(bytes(raw))
    code, _, err = a2a("train blocks.yaml --data store")
    assert code == 2 and "train.npy does not match the checksum in manifest.json" in err and err.count("\n") == 1
    assert not (workplace / "runs").exists()


def test_workers_that_read_ahead_train_the_same_weights(a2a, workplace):
    assert a2a("train blocks.yaml --data store --out alone")[0] == 0
    assert a2a("train blocks.yaml --data store --out helped --workers 2")[0] == 0
    alone, helped = (load_file(workplace / out / "prior.safetensors") for out in ("alone", "helped"))
    assert all(torch.equal(alone[name], helped[name]) for name in alone)
