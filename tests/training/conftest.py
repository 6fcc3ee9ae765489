"""A store and a network small enough that a training step takes a few milliseconds."""

import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from a2a.data.store.read import SliceStore
from a2a.data.store.write import StoreWriter
from a2a.forward.stack import StackSpec
from a2a.training import PriorConfig
from a2a.training.config import NetworkSize

SIZE = 16
LESIONS = {"name": "lesions", "note": "", "values": {"0": "background", "1": "lesion"}}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Equal bits need an equal number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def discs(count: int, seed: int) -> np.ndarray:
    """Bright discs somewhere in the slice, and a second modality that is their negative: `(count, 2, 16, 16)`."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    (x, y), radius = rng.uniform(5, 11, (2, count, 1, 1)), rng.uniform(2, 5, (count, 1, 1))
    disc = ((rows - y) ** 2 + (columns - x) ** 2 < radius**2) * 0.6 + 0.2
    return np.stack([disc, 1 - disc], axis=1)


@pytest.fixture(scope="session")
def make_store(tmp_path_factory) -> Callable[..., SliceStore]:
    """Return a function that writes slices to a store."""

    def make(train: np.ndarray, val: np.ndarray, missing: str = "", labels: np.ndarray | None = None) -> SliceStore:
        path = tmp_path_factory.mktemp("store") / "store"
        manifest = {"card": "discs", "profile": "ci", "fingerprint": "f", "preprocessing": {"size": SIZE}}
        maps = [] if labels is None else [LESIONS]
        with StoreWriter(path, StackSpec.of("T1", "CT"), train.shape[-1], label_maps=maps) as writer:
            for split, images in (("train", train), ("val", val)):
                marked = labels if labels is None or split == "train" else np.zeros_like(images[:, :1], np.uint8)
                planes = list(range(len(images)))
                if planes:
                    writer.add(split, split, planes, [2.0 * plane for plane in planes], images, marked)
            writer.finish({key: value for key, value in manifest.items() if key != missing})
        return SliceStore.open(path)

    return make


@pytest.fixture(scope="session")
def store(make_store) -> SliceStore:
    """20 training and 6 validation slices of discs, two modalities of 16 x 16."""
    return make_store(discs(20, 0), discs(6, 1))


@pytest.fixture(scope="session")
def config() -> PriorConfig:
    """12 steps of 6 slices; checkpoints, log rows and epochs all end at different steps."""
    network = NetworkSize(width=8, multipliers=(1, 2), attention=())
    return PriorConfig(
        name="discs", data="discs, profile ci", network=network, steps=12, batch=6, lr=1e-3, warmup=4, seed=3,
        log_every=3, checkpoint_every=4,
    )  # fmt: skip


@pytest.fixture
def recipe(config, tmp_path) -> Path:
    """The configuration as a YAML file."""
    path = tmp_path / "discs.yaml"
    path.write_text(config.model_dump_json(indent=1), encoding="utf-8")
    return path


@pytest.fixture
def full_disk() -> Callable[[int], AbstractContextManager[None]]:
    """Return a context in which writing fails once a file has so many bytes, as on a full disk or beyond a quota."""

    @contextmanager
    def limit(size: int) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limit
