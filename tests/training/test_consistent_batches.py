"""Batches of one kind (MCBS): every property of an epoch, alone and shared by two processes."""

from collections import Counter

import pytest

from a2a.training.batches import consistent_rows, share

KEYS = tuple([("a", 1)] * 7 + [("b", 1)] * 4 + [("b", 0)] * 1 + [("a", 1)] * 3)
BATCH = 4
STEPS = 3 + 1 + 1  # of 10, 4 and 1 slices


def epoch(number: int, seed: int = 0) -> list[list[int]]:
    return [consistent_rows(KEYS, seed, step, BATCH) for step in range(number * STEPS, (number + 1) * STEPS)]


@pytest.mark.parametrize("number", [0, 1, 5])
def test_an_epoch_has_batches_of_one_key_and_every_slice_at_least_once(number):
    batches = epoch(number)
    assert all(len(rows) == BATCH and len({KEYS[row] for row in rows}) == 1 for rows in batches)
    seen = Counter(row for rows in batches for row in rows)
    assert set(seen) == set(range(len(KEYS)))
    for key in set(KEYS):
        members = [row for row, own in enumerate(KEYS) if own == key]
        assert sum(seen[row] for row in members) == -(-len(members) // BATCH) * BATCH
    assert seen[11] == BATCH  # alone of its kind: it fills its batch


def test_epochs_seeds_and_steps_differ_and_repeat_themselves():
    assert epoch(0) == epoch(0) != epoch(1) and epoch(0) != epoch(0, seed=1)
    kinds = [[KEYS[rows[0]] for rows in epoch(number)] for number in range(6)]
    assert len({tuple(order) for order in kinds}) > 1
    assert consistent_rows(KEYS, 0, 7, BATCH) == epoch(1)[2]


def test_two_processes_share_each_batch_and_stay_of_one_kind():
    for rows in epoch(2):
        parts = [[rows[place] for place in share(BATCH, rank, 2)] for rank in (0, 1)]
        assert sorted(parts[0] + parts[1]) == sorted(rows) and len(parts[0]) == len(parts[1]) == 2
        assert len({KEYS[row] for part in parts for row in part}) == 1
