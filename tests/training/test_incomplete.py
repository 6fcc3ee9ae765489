"""A prior of subjects that lack modalities: what it learns, what it cannot know, and that it goes on bit for bit."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import nn

from a2a.common.errors import InputError
from a2a.data.store.read import SliceStore
from a2a.data.store.write import StoreWriter
from a2a.forward.stack import StackSpec
from a2a.prior.prior import Prior
from a2a.training import PriorConfig, PriorObjective, train
from a2a.training.incomplete import nearest_covariance
from a2a.training.loader import Steps

HAS = {"here": [0, 1], "there": [1, 2]}
COVARIANCE = 0.01 * torch.tensor([[1.0, 0.8, -0.2], [0.8, 1.0, -0.6], [-0.2, -0.6, 1.0]])
CONFIG = PriorConfig(
    name="tiny", data="d", network={"width": 8, "multipliers": (1, 2), "attention": (), "noise_levels": "per-modality"},
    predicts="velocity", given=0.5, augmentation={"flip": 0.0}, steps=6, batch=4, ema=0.0, precision="float32",
    checkpoint_every=3,
)  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> SliceStore:
    """Pixels of three modalities with a known covariance, of which each data set has two."""
    draw, path = torch.Generator().manual_seed(0), tmp_path / "store"
    with StoreWriter(path, StackSpec.of("T1", "T2FLAIR", "CT"), 16, incomplete=True) as writer:
        for name, channels in HAS.items():
            for split, count in (("train", 24), ("val", 8)):
                pixels = torch.randn(count, 16, 16, 3, generator=draw) @ torch.linalg.cholesky(COVARIANCE).T + 0.5
                images = np.full((count, 3, 16, 16), np.nan, np.float16)
                images[:, channels] = pixels.clamp(0, 1).permute(0, 3, 1, 2)[:, channels].numpy()
                writer.add(split, f"{name}-{split}", list(range(count)), [0.0] * count, images)
        sets = {name: [f"{name}-train", f"{name}-val"] for name in HAS}
        writer.finish({"card": "c", "profile": "ci", "fingerprint": "f", "preprocessing": {}, "datasets": sets})
    return SliceStore.open(path)


class Regressions(nn.Module):
    """A regression on what is given of what is not, of its own for each set of given modalities."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(8, 3, 3))

    def forward(self, x: torch.Tensor, t: torch.Tensor, dataset: torch.Tensor) -> torch.Tensor:
        given = t == 0
        number = (given * torch.tensor([1, 2, 4])).sum(dim=1)
        return torch.einsum("bij,bjhw->bihw", self.weights[number], x * given[:, :, None, None])


def test_pairs_that_were_seen_together_are_recovered_and_of_others_nothing_is_learned(store):
    config = PriorConfig(**CONFIG.model_dump() | {"given": 1.0, "given_until": 0.0, "last": 1.0, "batch": 8})
    objective, network = PriorObjective(config, store), Regressions()
    optimiser = torch.optim.Adam(network.parameters(), lr=0.03)
    steps = Steps(objective)
    for step in range(150):
        objective.loss("network", {"network": network}, steps[step]).backward()
        optimiser.step()
        optimiser.zero_grad()
    slope = -network.weights.detach()  # at the last time the velocity is minus the stack
    for given, asked in ((0, 1), (1, 0), (1, 2), (2, 1)):
        wanted = float(COVARIANCE[asked, given] / COVARIANCE[given, given])
        assert slope[2**given, asked, given] == pytest.approx(wanted, abs=0.05)
    assert slope[1, 2].abs().max() == slope[4, 0].abs().max() == 0  # T1 and CT were never seen together
    assert (slope[[3, 5, 6, 7]] == 0).all()  # nor was anything asked of two that are given


def test_what_is_missing_is_noise_at_the_last_time_and_has_no_gradient(store):
    objective = PriorObjective(CONFIG, store)
    for step in range(4):
        shown, times, truth, asked, _, dataset = Steps(objective)[step]
        lacking = 2 if dataset[0] == 0 else 0
        assert (times[:, lacking] == 999).all() and not asked[:, lacking].any() and asked.any(dim=1).all()
        assert shown.isfinite().all() and 0.8 < shown[:, lacking].std() < 1.2
        answer = torch.zeros_like(truth, requires_grad=True)
        inputs = (shown, times, truth, asked, torch.ones(()), dataset)
        objective.loss("network", {"network": lambda x, t, d, answer=answer: answer}, inputs).backward()
        assert (answer.grad[:, lacking] == 0).all() and answer.grad.abs().amax() > 0


def test_such_a_prior_is_trained_resumed_bit_for_bit_and_calibrated(store, tmp_path):
    objective = PriorObjective(CONFIG, store)
    whole = train(objective, tmp_path / "whole")
    assert train(objective, tmp_path / "parts", stop_after=4) is None
    assert train(objective, tmp_path / "parts", resume=True).read_bytes() == whole.read_bytes()
    prior = Prior.load(whole)
    assert prior.datasets == {"here": ["T1", "T2FLAIR"], "there": ["T2FLAIR", "CT"]}
    error = prior.error_covariance(500)
    assert (torch.linalg.eigvalsh(error) > -1e-7).all() and (error.diagonal(dim1=1, dim2=2) > 0).all()


@pytest.mark.long
def test_two_processes_train_on_batches_of_one_kind_what_one_trains(store, tmp_path):
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(CONFIG.model_dump(mode="json")))
    train(PriorObjective(CONFIG, store), tmp_path / "one", stop_after=1)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    one = load_file(train(PriorObjective(CONFIG, store), tmp_path / "one", resume=True))
    words = "-m a2a train recipe.yaml --data store --out two --resume --devices 2"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "A2A_QUIET": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, *words.split()], capture_output=True, text=True, timeout=600, env=environment, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    two = load_file(tmp_path / "two" / "prior.safetensors")
    assert max(float((one[key] - two[key]).abs().max()) for key in one) < 1e-5


@pytest.mark.parametrize(
    "change", [{"predicts": "noise"}, {"given": 0.0, "network": {"width": 8, "multipliers": (1, 2), "attention": ()}}]
)
def test_a_recipe_that_needs_complete_stacks_is_refused(change, store, tmp_path):
    config = PriorConfig(**CONFIG.model_dump() | change)
    with pytest.raises(InputError, match="lack modalities, and tiny needs complete stacks; set predicts: velocity"):
        train(PriorObjective(config, store), tmp_path / "run")


def test_a_table_pieced_together_becomes_a_covariance():
    pieces = torch.tensor([[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]], dtype=torch.float64)
    assert torch.linalg.eigvalsh(pieces)[0] < 0 <= torch.linalg.eigvalsh(nearest_covariance(pieces))[0]
    torch.testing.assert_close(nearest_covariance(COVARIANCE.double()), COVARIANCE.double())
