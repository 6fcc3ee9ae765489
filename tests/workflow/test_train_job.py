"""A training job on a real Slurm: ended before its time limit it queues again and ends with the same weights."""

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from a2a.common.paths import repository
from a2a.data.store.write import StoreWriter
from a2a.forward.stack import StackSpec

pytestmark = pytest.mark.apart

RECIPE = {
    "name": "blocks",
    "data": "blocks, profile ci",
    "network": {"width": 8, "multipliers": [1, 2], "attention": []},
    "steps": 600,
    "batch": 4,
    "warmup": 2,
    "precision": "float32",
    "checkpoint_every": 25,
}
PATIENCE = 1200


def says(*words: object) -> str:
    """Run a command and return what it prints."""
    return subprocess.run([*map(str, words)], capture_output=True, text=True, check=True).stdout.strip()


def slurm_is_up() -> bool:
    return bool(shutil.which("scontrol")) and subprocess.run(["scontrol", "ping"], capture_output=True).returncode == 0


def wait_for(truth: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not truth():
        assert time.monotonic() < end, f"{what} did not come true"
        time.sleep(0.2)


@pytest.fixture
def workplace(tmp_path) -> Path:
    """A folder with a store and a recipe."""
    images = np.kron(np.random.default_rng(0).random((10, 2, 4, 4)), np.ones((4, 4)))
    with StoreWriter(tmp_path / "store", StackSpec.of("T1", "CT"), 16) as writer:
        for split in ("train", "val"):
            writer.add(split, split, list(range(10)), [0.0] * 10, images)
        writer.finish({"card": "blocks", "profile": "ci", "fingerprint": "f", "preprocessing": {}})
    (tmp_path / "blocks.yaml").write_text(yaml.safe_dump(RECIPE))
    return tmp_path


@pytest.mark.skipif(not slurm_is_up(), reason="there is no Slurm here; see workflow/one-node-slurm")
def test_a_job_that_is_ended_early_goes_on_and_ends_with_the_same_weights(workplace):
    script, out = repository("workflow", "train.sbatch"), workplace / "job"
    given = [workplace / "blocks.yaml", workplace / "store", out]
    options = ["--parsable", "--chdir", repository(), "--output", workplace / "log", "--export=ALL,OMP_NUM_THREADS=1"]
    job = says("sbatch", *options, script, *given)
    wait_for(
        lambda: (out / "log.csv").is_file() and "\n50," in (out / "log.csv").read_text(), "the first row of the log"
    )
    says("scancel", "--batch", "--signal=TERM", job)
    wait_for(lambda: (out / "prior.safetensors").is_file(), "the end of the second job")
    log = (workplace / "log").read_text()
    assert "back into the queue" in log and "--resume" in log
    alone = [repository(".venv", "bin", "a2a"), "train", given[0], "--data", given[1], "--out", workplace / "alone"]
    subprocess.run([*map(str, alone)], check=True, capture_output=True, env={"OMP_NUM_THREADS": "1", "A2A_QUIET": "1"})
    first, second = (load_file(workplace / name / "prior.safetensors") for name in ("job", "alone"))
    assert all(torch.equal(first[name], second[name]) for name in first)
