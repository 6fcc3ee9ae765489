"""Slices small enough that a method learns them by heart in seconds."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from a2a.data.store.read import SliceStore
from a2a.data.store.write import StoreWriter
from a2a.forward.stack import StackSpec

NAMES = ("T1", "T2FLAIR", "CT")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Equal bits need an equal number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def discs(count: int, seed: int, size: int) -> np.ndarray:
    """Discs somewhere on black, of another brightness in each of three modalities: ``(count, 3, size, size)``."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size
    centres, radius = rng.uniform(0.35, 0.65, (2, count, 1, 1)), rng.uniform(0.15, 0.3, (count, 1, 1))
    inside = (y - centres[0]) ** 2 + (x - centres[1]) ** 2 < radius**2
    ramp = 0.3 + 0.4 * x
    return np.stack([inside * ramp, inside * (0.9 - ramp), inside * 0.8], axis=1)


@pytest.fixture(scope="session")
def make_store(tmp_path_factory) -> Callable[..., SliceStore]:
    """Return a function that makes a store of discs: three modalities, square slices."""

    def make(count: int = 4, size: int = 16, names: tuple[str, ...] = NAMES) -> SliceStore:
        path = tmp_path_factory.mktemp("store") / "store"
        with StoreWriter(path, StackSpec.of(*names), size) as writer:
            for seed, split in enumerate(("train", "val")):
                images = discs(count, seed, size)
                writer.add(split, split, list(range(count)), [0.0] * count, images)
            writer.finish({"card": "discs", "profile": "ci", "fingerprint": "f", "preprocessing": {"size": size}})
        return SliceStore.open(path)

    return make
