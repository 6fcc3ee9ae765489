"""Slices small enough that a method learns them by heart in seconds."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from a2a.data.store.read import SliceStore
from a2a.data.store.write import StoreWriter
from a2a.forward.stack import StackSpec

NAMES = ("T1", "T2FLAIR", "CT")
HAS = {"here": (0, 1), "there": (1, 2)}


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


@pytest.fixture
def collect(make_store: Callable[..., SliceStore], tmp_path: Path) -> Callable[..., SliceStore]:
    """Make a store of data sets that share one modality; in the second the discs are darker by a law of its own."""

    def make(has: dict[str, tuple[int, ...]] = HAS, splits: tuple[str, str] = ("train", "val")) -> SliceStore:
        names: dict[str, list[str]] = {name: [] for name in has}
        source, path = make_store(4, 16), tmp_path / "-".join(("collection", *splits))
        with StoreWriter(path, StackSpec.of(*NAMES), 16, incomplete=True) as writer:
            for number, (name, channels) in enumerate(has.items()):
                for split, origin in zip(("train", "val"), splits, strict=True):
                    images = np.array(source.split(origin).images, dtype=np.float32) ** (1 + number)
                    images[:, [i for i in range(3) if i not in channels]] = np.nan
                    writer.add(split, f"{name}-{split}", list(range(4)), [0.0] * 4, images)
                    names[name].append(f"{name}-{split}")
            said = {"card": "c", "profile": "ci", "fingerprint": "f", "preprocessing": {"size": 16}}
            writer.finish(said | {"datasets": names})
        return SliceStore.open(path)

    return make
