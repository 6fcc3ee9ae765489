"""What cannot work is refused before training starts, and leaves everything as it is."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from a2a.common.errors import Failure, InputError
from a2a.common.outputs import hold
from a2a.data.store.read import SliceStore
from a2a.training import PriorConfig, PriorObjective, train
from a2a.training.checkpoint import CHECKPOINT
from a2a.training.config import NetworkSize


def refused(config: PriorConfig, store: SliceStore, out: Path, complaint: str, resume: bool = False) -> None:
    """The call is refused and the folder stays as it is."""
    before = sorted(out.parent.rglob("*"))
    with pytest.raises(InputError, match=complaint):
        train(PriorObjective(config, store), out, resume=resume)
    assert sorted(out.parent.rglob("*")) == before


def test_a_folder_with_something_in_it_is_refused(config, store, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    refused(config, store, out, "run: the folder is not empty; .*--resume")
    refused(config, store, out / "notes.txt", "notes.txt: is a file")


def test_a_checkpoint_of_another_configuration_or_data_is_refused(config, store, make_store, tmp_path):
    out = tmp_path / "run"
    train(PriorObjective(config, store), out, stop_after=0)
    refused(config.model_copy(update={"lr": 0.1}), store, out, "another configuration", resume=True)
    other = make_store(np.array(store.split("train").images[:10]), np.array(store.split("val").images))
    refused(config, other, out, "another configuration or data set", resume=True)


def test_there_must_be_a_checkpoint_to_resume(config, store, tmp_path):
    refused(config, store, tmp_path / "nowhere", "no checkpoint to resume", resume=True)


@pytest.mark.parametrize(("multipliers", "patch"), [((1, 1, 1, 1, 1, 1), 1), ((1, 2), 16)])
def test_slices_that_do_not_fit_the_network_are_refused(config, store, tmp_path, multipliers, patch):
    network = NetworkSize(width=8, multipliers=multipliers, attention=(), patch=patch)
    refused(
        config.model_copy(update={"network": network}), store, tmp_path / "run", "side 16 do not fit, 32 must divide"
    )


def test_a_batch_that_cannot_be_shared_is_refused(config, store, tmp_path):
    with pytest.raises(InputError, match="devices: 0 must be 1 or more"):
        train(PriorObjective(config, store), tmp_path / "run", devices=0)
    with pytest.raises(InputError, match="batch: 6 cannot be shared by 4 devices"):
        train(PriorObjective(config, store), tmp_path / "run", devices=4)


@pytest.mark.parametrize("empty", ["train", "val"])
def test_a_store_without_slices_is_refused(config, store, make_store, tmp_path, empty):
    images = {name: store.split(name).images[: 0 if name == empty else None] for name in ("train", "val")}
    refused(config, make_store(**images), tmp_path / "run", f"the split {empty} has no slices")


def test_a_store_that_does_not_say_how_it_was_made_is_refused(config, store, make_store, tmp_path):
    images = {name: np.array(store.split(name).images) for name in ("train", "val")}
    refused(config, make_store(**images, missing="preprocessing"), tmp_path / "run", "lacks preprocessing; prepare")


def test_two_trainings_do_not_share_a_folder(config, store, tmp_path):
    out = tmp_path / "run"
    for resume in (False, True):
        with hold(out, inside=True), pytest.raises(Failure, match="run is being written by another process"):
            train(PriorObjective(config, store), out, resume=resume, stop_after=0)
        train(PriorObjective(config, store), out, resume=resume, stop_after=0)
    assert sorted(path.name for path in out.iterdir()) == [CHECKPOINT, "log.csv"]


def test_a_training_that_lacks_room_is_refused_before_the_first_step(config, store, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(Failure, match=r"no room to write .*run: 1.0 kB are free on its disk; free 1.6 MB there"):
        train(PriorObjective(config, store), tmp_path / "run")
    assert not (tmp_path / "run").exists()
