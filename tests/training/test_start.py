"""A run that begins with the weights of another."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from a2a.common.errors import InputError
from a2a.common.paths import repository
from a2a.forward.stack import Modality, StackSpec
from a2a.prior.prior import Prior
from a2a.prior.shipped import SOURCE
from a2a.prior.weights import trainings
from a2a.training import PriorObjective, train
from a2a.training.checkpoint import fingerprint, load_checkpoint
from a2a.training.config import NetworkSize, Schedule


@pytest.fixture(scope="session")
def first(config, store, tmp_path_factory) -> Path:
    """The weights of a finished run."""
    return train(PriorObjective(config, store), tmp_path_factory.mktemp("runs") / "first")


def test_it_begins_with_these_weights(config, store, first, tmp_path):
    onward = config.model_copy(update={"start": first, "seed": 4})
    train(PriorObjective(onward, store), tmp_path / "run", stop_after=0)
    begun = load_checkpoint(tmp_path / "run", fingerprint(onward, store)).tensors
    for name, value in Prior.load(first).network.state_dict().items():
        assert all(torch.equal(begun[f"{part}.{name}"], value) for part in ("network.weights", "ema"))
    last = train(PriorObjective(onward, store), tmp_path / "run", resume=True)
    card = Prior.load(last).card
    assert card["config"]["start"] == str(first)
    assert [training["images_seen"] for training in trainings(card)] == 2 * [config.steps * config.batch]


def test_weights_with_shared_levels_begin_a_run_with_its_own(config, store, first, tmp_path):
    network = config.network.model_copy(update={"noise_levels": "per-modality"})
    onward = config.model_copy(update={"start": first, "network": network, "given": 0.5})
    last = Prior.load(train(PriorObjective(onward, store), tmp_path / "run"))
    assert last.noise_levels == "per-modality"
    assert last.predict(torch.zeros(1, 2, 16, 16), (3, 500)).shape == (1, 2, 16, 16)


def test_weights_without_a_training_in_their_card_are_refused(config, store, first, tmp_path):
    replace(Prior.load(first), card={}).save(tmp_path / "bare.safetensors")
    onward = config.model_copy(update={"start": tmp_path / "bare.safetensors"})
    with pytest.raises(InputError, match="bare.safetensors was not made by a2a train"):
        train(PriorObjective(onward, store), tmp_path / "run")


def test_weights_without_patches_begin_a_run_that_folds_them(config, store, first, tmp_path):
    onward = config.model_copy(update={"start": first, "network": config.network.model_copy(update={"patch": 2})})
    train(PriorObjective(onward, store), tmp_path / "run", stop_after=0)
    begun = load_checkpoint(tmp_path / "run", fingerprint(onward, store)).tensors["ema.head.weight"]
    assert torch.equal(begun[:, ::4] * 4, Prior.load(first).network.head.weight)


def renamed(prior_file, folder, *modalities):
    """The same weights for modalities of other names."""
    path = folder / "renamed.safetensors"
    replace(Prior.load(prior_file), spec=StackSpec(modalities)).save(path)
    return path


def test_modalities_of_another_name_begin_a_run_that_calls_them_by_theirs(config, store, first, tmp_path):
    start = renamed(first, tmp_path, Modality("T1SE", aliases=("T1",)), Modality("CT"))
    last = train(PriorObjective(config.model_copy(update={"start": start}), store), tmp_path / "run")
    assert Prior.load(last).spec == store.spec


@pytest.mark.parametrize("names", [("CT", "T1"), ("T1", "PET")])
def test_weights_of_other_modalities_are_refused(config, store, first, tmp_path, names):
    start = renamed(first, tmp_path, *map(Modality, names))
    with pytest.raises(InputError, match=f"is of {', '.join(names)}, but the data are of T1, CT"):
        train(PriorObjective(config.model_copy(update={"start": start}), store), tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"network": NetworkSize(width=16, multipliers=(1, 2), attention=())}, "but field network says .*width=16"),
        ({"schedule": Schedule(kind="linear")}, "but field schedule says .*linear"),
        ({"start": Path("none.safetensors")}, "none.safetensors: no such file"),
    ],
)
def test_weights_that_do_not_fit_are_refused(config, store, first, tmp_path, change, complaint):
    with pytest.raises(InputError, match=complaint):
        train(PriorObjective(config.model_copy(update={"start": first} | change), store), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_resumed_when_its_start_has_changed(config, store, first, tmp_path):
    start = Path(shutil.copy(first, tmp_path))
    shutil.copy(first.with_suffix(".json"), tmp_path)
    onward = config.model_copy(update={"start": start})
    train(PriorObjective(onward, store), tmp_path / "run", stop_after=0)
    prior = Prior.load(start)
    prior.network.load_state_dict({k: v + 1 for k, v in prior.network.state_dict().items()})
    prior.save(start)
    with pytest.raises(InputError, match="another configuration"):
        train(PriorObjective(onward, store), tmp_path / "run", resume=True)


def test_shipped_weights_are_found_from_any_folder(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(SOURCE, raising=False)
    onward = config.model_copy(update={"start": Path("weights/phantom-brats-64.safetensors")})
    assert onward.files == (repository("weights", "phantom-brats-64.safetensors"),)
