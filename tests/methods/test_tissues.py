"""A network that tells tissues apart: its labels are those of the phantom, its features see what is wrong."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from a2a.benchmark.measures import measured
from a2a.common.errors import InputError
from a2a.data.phantom import PhantomConfig, generate_subject
from a2a.data.phantom.tissue import CLASSES, GROUPS
from a2a.data.store.read import SliceStore
from a2a.data.store.write import StoreWriter
from a2a.forward.stack import StackSpec
from a2a.methods.tissues import Tissues, TissuesConfig, TissuesObjective
from a2a.training import train

NAMES = ("T1", "T2FLAIR", "T2star", "CT", "PET")
CONFIG = PhantomConfig(preset="any2all", dz=4.0, size=64)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> SliceStore:
    """Eight slices of each of four subjects of the phantom."""
    path = tmp_path_factory.mktemp("phantom") / "store"
    with StoreWriter(path, StackSpec.of(*NAMES), 64) as writer:
        for split, subjects in (("train", (0, 1)), ("val", (2,)), ("test", (3, 4))):
            for number in subjects:
                subject = generate_subject(CONFIG, number)
                planes = np.linspace(4, len(subject.planes) - 4, 8).round().astype(int).tolist()
                scaled = {name: image / np.percentile(image, 99.5) for name, image in subject.images.items()}
                scaled["CT"] = (subject.images["CT"] + 1000) / 2600
                images = np.stack([np.clip(scaled[name][planes], 0, 1) for name in NAMES], axis=1)
                writer.add(split, str(number), planes, subject.planes[planes].tolist(), images.astype(np.float16))
        writer.finish({"card": "phantom-any2all", "profile": "ci", "fingerprint": "f", "preprocessing": {"size": 64}})
    return SliceStore.open(path)


@pytest.fixture(scope="module")
def config() -> TissuesConfig:
    return TissuesConfig(
        name="tissues", data="phantom-any2all, profile ci", widths=(8, 16, 16), augmentation={"flip": 0.0}, steps=60,
        batch=8, lr=3e-3, warmup=5, ema=0.9, precision="float32",
    )  # fmt: skip


@pytest.fixture(scope="module")
def tissues(config, store, tmp_path_factory) -> Tissues:
    return Tissues.load(train(TissuesObjective(config, store), tmp_path_factory.mktemp("run")))


def test_every_class_is_in_one_group():
    named = [name for names in GROUPS.values() for name in names]
    assert len(GROUPS) == 8 and sorted(named) == sorted(CLASSES)


def test_labels_lie_where_the_scanner_sees_their_tissues(config, store):
    split = store.split("train")
    rows = list(range(len(split)))
    labels = TissuesObjective(config, store)._labels(split, rows).numpy()
    hounsfield = np.float32(split.images[:, NAMES.index("CT")]) * 2600 - 1000
    means = {name: np.median(hounsfield[labels == i]) for i, name in enumerate(GROUPS) if (labels == i).any()}
    assert means["air"] < -800 and means["skull"] > 300
    assert -150 < means["scalp"] < 100 and 0 < means["fluid"] < 60
    assert 15 < means["white matter"] < means["grey matter"] < 60


def test_it_learns_and_its_file_is_read_again(config, store, tissues):
    objective = TissuesObjective(config, store)
    torch.manual_seed(0)
    untrained = objective.validation(objective.networks()[objective.product])
    assert objective.validation(tissues.network) < min(0.85, untrained - 0.1)
    images = np.float32(store.split("test").images[:, 0])
    features = tissues.features(images)
    assert features.shape == (16, 16) and features.dtype == np.float64
    np.testing.assert_allclose(tissues.features(images[3:5]), features[3:5], atol=1e-5)
    with pytest.raises(InputError, match="sides of 64"):
        tissues.features(images[:, :32])


def test_the_distance_is_nothing_for_equal_images_and_grows_with_what_is_wrong(store, tissues):
    split = store.split("test")
    truth = torch.from_numpy(np.float32(split.images))
    found = []
    for sigma in (0.0, 0.7, 1.5):
        made = torch.from_numpy(gaussian_filter(truth.numpy(), (0, 0, sigma, sigma)))
        table = measured(truth, made, split.subjects, store.spec, ("T1",), learned=tissues)
        found.append(float(table.loc[table["metric"] == "dfd", "value"].iloc[0]))
    assert abs(found[0]) < 1e-6 < found[1] < found[2]
    plain = measured(truth, truth, split.subjects, store.spec, ("T1",))
    assert "dfd" not in set(plain["metric"])


def test_data_without_known_tissues_are_refused(config, store, monkeypatch):
    monkeypatch.setattr(SliceStore, "said", lambda self, key: "open-ms")
    with pytest.raises(InputError, match="only of the phantom"):
        TissuesObjective(config, store).networks()
