"""Regression by the U-Net of the priors: it sees what is given and nothing else, and learns what follows from it."""

import numpy as np
import pytest
import torch

from a2a.common.errors import UnsupportedObservation
from a2a.data.store.read import SliceStore
from a2a.data.store.write import StoreWriter
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.methods.references.network import NetworkRegression, NetworkRegressionConfig, NetworkRegressionObjective, shown
from a2a.training import train
from a2a.training.config import NetworkSize

SPEC = StackSpec.of("T1", "CT")


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> SliceStore:
    """Blocks of random grey, and as a second modality a parabola of it: a function that no line comes near."""
    path, rng = tmp_path_factory.mktemp("store") / "store", np.random.default_rng(0)
    manifest = {"card": "blocks", "profile": "ci", "fingerprint": "f", "preprocessing": {"size": 16}}
    with StoreWriter(path, SPEC, 16) as writer:
        for split, count in (("train", 24), ("val", 8)):
            grey = rng.uniform(0, 1, (count, 1, 4, 4)).repeat(4, axis=2).repeat(4, axis=3)
            writer.add(
                split, split, list(range(count)), [0.0] * count, np.concatenate([grey, 4 * (grey - 0.5) ** 2], axis=1)
            )
        writer.finish(manifest)
    return SliceStore.open(path)


@pytest.fixture(scope="module")
def config() -> NetworkRegressionConfig:
    network = NetworkSize(width=8, multipliers=(1, 2), attention=())
    return NetworkRegressionConfig(
        name="blocks", data="blocks", network=network, steps=80, batch=8, lr=1e-2, warmup=5, precision="float32"
    )


def test_it_learns_the_function_better_than_a_line(config, store, tmp_path):
    path = train(NetworkRegressionObjective(config, store), tmp_path / "run")
    method = NetworkRegression.load(path, SPEC)
    truth = torch.from_numpy(np.float32(store.split("val").images))
    found = method.complete(Observation.build(SPEC, {"T1": truth[:, 0]}, {})).samples[0]
    assert torch.equal(found[:, 0], truth[:, 0])
    x, y = truth[:, 0].flatten().numpy(), truth[:, 1].flatten().numpy()
    line = np.polyval(np.polyfit(x, y, 1), x)
    assert float((found[:, 1] - truth[:, 1]).square().mean()) < 0.5 * np.square(line - y).mean()


def test_what_is_missing_is_not_looked_at_and_said_to_be_missing(config):
    images, given = torch.rand(3, 2, 16, 16), torch.tensor([[True, False], [False, True], [True, False]])
    other = torch.where(given[:, :, None, None], images, torch.rand_like(images))
    assert torch.equal(shown(images, given), shown(other, given))
    assert torch.equal(shown(images, given)[:, 2:].mean(dim=(2, 3)), given.float())


def test_given_modalities_are_not_scored(config, store):
    objective = NetworkRegressionObjective(config, store)
    network = objective.networks()["network"]
    clean, given = torch.rand(2, 2, 16, 16), torch.tensor([[True, False], [False, True]])
    losses = []
    for truth in (clean, torch.where(given[:, :, None, None], clean + 1, clean)):
        losses.append(objective.loss("network", {"network": network}, (shown(clean, given), truth, given)))
    assert torch.equal(*losses)


def test_k_space_and_nothing_are_refused(config, store):
    method = NetworkRegressionObjective(config, store)
    made = method.finished(method.networks()["network"].eval(), {})
    x = torch.rand(1, 2, 16, 16)
    for text, words in (("y(T1)", "takes clean images only"), ("nothing", "give at least one modality")):
        with pytest.raises(UnsupportedObservation, match=words):
            made.complete(Observation.simulate(x, text, SPEC))
