"""Label maps beside the slices of a store."""

from pathlib import Path

import numpy as np
import pytest

from a2a.common.errors import InputError
from a2a.data.store.read import SliceStore
from a2a.data.store.write import StoreWriter
from a2a.forward.stack import StackSpec

MAPS = [{"name": "tumour", "values": {"0": "background", "3": "enhancing"}, "note": ""}]
IMAGES = np.full((2, 1, 8, 8), 0.5, np.float16)
LABELS = np.array([0, 3], np.uint8)[:, None, None, None] * np.ones((2, 1, 8, 8), np.uint8)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with StoreWriter(tmp_path / "store", StackSpec.of("T1"), 8, label_maps=MAPS) as writer:
        writer.add("train", "a", [0, 1], [0.0, 4.0], IMAGES, LABELS)
        writer.add("train", "b", [5, 6], [0.0, 4.0], IMAGES, LABELS[::-1])
        writer.finish({})
    return tmp_path / "store"


def test_labels_come_back_with_their_meaning(store: Path) -> None:
    opened = SliceStore.open(store, verify=True)
    train = opened.split("train")
    assert isinstance(train.labels, np.memmap) and train.labels.dtype == np.uint8
    assert train.labels[:, 0, 4, 4].tolist() == [0, 3, 3, 0]
    assert opened.split("test").labels.shape == (0, 1, 8, 8)
    assert opened.label_maps == MAPS


def test_damaged_labels_are_noticed(store: Path) -> None:
    file = store / "train-labels.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"\x07")
    with pytest.raises(InputError, match="train-labels.npy does not match the checksum"):
        SliceStore.open(store, verify=True)
    np.save(file, LABELS)
    with pytest.raises(InputError, match=r"is uint8 \(2, 1, 8, 8\), not uint8 \(4, 1, 8, 8\)"):
        SliceStore.open(store)
    file.unlink()
    with pytest.raises(InputError, match="train-labels.npy is missing"):
        SliceStore.open(store)


def test_slices_need_the_labels_that_the_store_has(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "with", StackSpec.of("T1"), 8, label_maps=MAPS) as writer:
        with pytest.raises(InputError, match="of a have shape"):
            writer.add("train", "a", [0, 1], [0.0, 4.0], IMAGES)
        with pytest.raises(InputError, match="of a have shape"):
            writer.add("train", "a", [0, 1], [0.0, 4.0], IMAGES, LABELS[:1])
    with StoreWriter(tmp_path / "without", StackSpec.of("T1"), 8) as writer:
        with pytest.raises(InputError, match="of a have shape"):
            writer.add("train", "a", [0, 1], [0.0, 4.0], IMAGES, LABELS)


def test_a_store_without_label_maps_has_none(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "store", StackSpec.of("T1"), 8) as writer:
        writer.add("train", "a", [0, 1], [0.0, 4.0], IMAGES)
        writer.finish({})
    opened = SliceStore.open(tmp_path / "store", verify=True)
    assert opened.split("train").labels.shape == (2, 0, 8, 8)
    assert not list(opened.path.glob("*labels*"))
