"""Batches from worker processes are the batches of one process, each slice once, in memory that does not grow."""

import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch

from a2a.data.store.read import SliceStore, release
from a2a.training import PriorObjective
from a2a.training.batches import rows_of_step, share
from a2a.training.loader import Steps, load


def resident_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


@pytest.fixture(scope="module")
def large(make_store) -> SliceStore:
    """96 MiB of slices."""
    rng = np.random.default_rng(0)
    images = (rng.integers(0, 2048, (6144, 2, 64, 64), dtype=np.uint16) / np.float16(2048)).astype(np.float16)
    return make_store(images, images[:2])


def equal(first, second) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(("batch", "world", "slices"), [(8, 2, 40), (12, 3, 50), (6, 6, 20), (16, 4, 1000), (5, 1, 7)])
def test_ranks_share_every_epoch_without_duplicates(batch, world, slices):
    steps = range(3 * slices // batch)
    seen = [
        [rows_of_step(4, step, batch, slices)[place] for place in share(batch, rank, world)]
        for step in steps
        for rank in range(world)
    ]
    per_step = [seen[i : i + world] for i in range(0, len(seen), world)]
    assert all(sorted(sum(parts, [])) == sorted(rows_of_step(4, s, batch, slices)) for s, parts in enumerate(per_step))
    assert {len(part) for part in seen} == {batch // world}
    order = [row for step in steps for row in rows_of_step(4, step, batch, slices)]
    for first in range(0, len(order) - slices + 1, slices):
        assert sorted(order[first : first + slices]) == list(range(slices))


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_workers_change_nothing(store, config, workers):
    before = torch.get_rng_state()
    steps = Steps(PriorObjective(config, store), 1, 2)
    found = list(load(steps, range(3, 9), workers))
    assert len(found) == 6 and torch.equal(before, torch.get_rng_state())
    for step, batch in zip(range(3, 9), found, strict=True):
        assert equal(batch, steps[step])


def test_a_copy_for_another_process_does_not_carry_the_slices(large, config):
    steps = Steps(PriorObjective(config, large))
    packed = pickle.dumps(steps)
    assert len(packed) < 20_000
    assert equal(pickle.loads(packed)[3], steps[3])


@pytest.mark.long
def test_several_processes_read_at_once(store, config):
    whole, *ranks = (Steps(PriorObjective(config, store), *share) for share in ((0, 1), (0, 2), (1, 2)))
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for step in range(4):
            parts = list(pool.map(Steps.__getitem__, ranks, [step] * 2))
            joined = tuple(torch.stack(both, dim=1).flatten(0, 1) for both in zip(*parts, strict=True))
            assert equal(joined, whole[step])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="resident memory is read from /proc")
def test_memory_does_not_grow_with_what_was_read(large, config):
    batches = load(Steps(PriorObjective(config.model_copy(update={"batch": 64}), large)), range(96))
    for _ in range(10):
        next(batches)
    settled = resident_mb()
    for _ in batches:
        pass
    assert resident_mb() - settled < 24  # the store has 96


def test_released_pages_read_the_same_again(large):
    images = large.split("train").images
    before = np.array(images[7:9])
    release(images)
    np.testing.assert_array_equal(images[7:9], before)
    release(before)  # an array in memory is left alone
    np.testing.assert_array_equal(images[7:9], before)
