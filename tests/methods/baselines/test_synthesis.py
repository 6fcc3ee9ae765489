"""Scenarios, curricula, inputs and refusals that the synthesis methods share."""

import numpy as np
import pytest
import torch

from a2a.common.rng import spawn
from a2a.methods.baselines.synthesis import (
    SynthesisConfig,
    draw_given,
    network_input,
    open_scenarios,
    passed_through,
    scenario_vectors,
)


def config(**options: object) -> SynthesisConfig:
    return SynthesisConfig(**{"name": "s", "data": "d", "steps": 60, **options})


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_every_set_of_given_modalities_but_the_full_one_occurs_once(n):
    vectors = scenario_vectors(n)
    assert len({tuple(row.tolist()) for row in vectors}) == len(vectors) == 2**n - 1
    assert not vectors.all(dim=1).any() and not vectors[0].any()


def test_the_order_is_that_of_mm_gan():
    vectors = scenario_vectors(4)
    counts, numbers = vectors.sum(dim=1), (vectors * torch.tensor([8, 4, 2, 1])).sum(dim=1)
    assert counts.tolist() == [0, *[1] * 4, *[2] * 6, *[3] * 4]
    assert all((numbers[counts == k].diff() > 0).all() for k in (1, 2, 3))


def test_the_official_curriculum_opens_the_rows_of_mm_gan():
    starts = [open_scenarios(config(curriculum="official"), 4, step).start - 1 for step in (0, 10, 20, 29)]
    assert starts == [10, 7, 3, 3] and open_scenarios(config(curriculum="official"), 4, 30).start == 0


@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize("curriculum", ["clean", "official"])
def test_curricula_open_more_and_more_from_one_missing_to_everything(n, curriculum):
    opened = [open_scenarios(config(curriculum=curriculum, steps=80), n, step) for step in range(80)]
    assert not (scenario_vectors(n)[opened[0].start :].sum(dim=1) < n - 1).any() and len(opened[0]) == n
    assert all(a.start >= b.start and b.stop == 2**n - 1 for a, b in zip(opened, opened[1:], strict=False))
    assert opened[39].start > 0 and opened[40].start == 0


def test_stage_k_of_the_clean_curriculum_opens_everything_that_lacks_up_to_k():
    for stage in range(4):
        opened = open_scenarios(config(steps=80), 5, 10 * stage + 9)
        missing = 5 - scenario_vectors(5).sum(dim=1)
        assert set(opened) == set(torch.nonzero(missing <= stage + 1).flatten().tolist())


def test_without_curriculum_the_first_step_knows_all_and_nothing_can_be_left_out():
    assert open_scenarios(config(curriculum="none"), 3, 0) == range(7)
    assert open_scenarios(config(curriculum="none", nothing=False), 3, 59) == range(1, 7)


def test_scenarios_are_drawn_evenly_for_slices_and_shared_in_a_step_if_wanted():
    each = draw_given(config(curriculum="none"), 3, 0, spawn(0, 2100))
    counts = np.unique(each.numpy(), axis=0, return_counts=True)[1]
    assert len(counts) == 7 and abs(counts - 300).max() < 5 * 300**0.5
    shared = [draw_given(config(curriculum="none", scenario_for="step"), 3, t, spawn(0, 4)) for t in range(40)]
    assert all((given == given[0]).all() for given in shared)
    assert len({tuple(given[0].tolist()) for given in shared}) == 7


def test_a_slice_keeps_its_scenario_whoever_is_in_the_batch():
    whole = draw_given(config(), 5, 50, spawn(4, 6))
    parts = [draw_given(config(), 5, 50, spawn(4, [i])) for i in range(6)]
    assert torch.equal(whole, torch.cat(parts))


def test_missing_modalities_are_filled_and_empty_rows_are_noise_of_their_own():
    stack, given = torch.rand(3, 4, 32, 32), torch.tensor([[1, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]]).bool()
    entered = network_input(stack, given, -1.0, spawn(0, 3))
    assert torch.equal(entered[0, given[0]], stack[0, given[0]]) and (entered[0, ~given[0]] == -1).all()
    noise = entered[1:]
    assert abs(noise.mean()) < 0.05 and abs(noise.std() - 1) < 0.05 and not torch.equal(noise[0], noise[1])
    assert torch.equal(network_input(-stack, given, -1.0, spawn(0, 3))[1:], noise)


def test_what_is_given_passes_bit_for_bit_and_the_rest_is_the_answer():
    answer, entered, given = torch.rand(4, 3, 8, 8), torch.rand(4, 3, 8, 8), torch.rand(4, 3) < 0.5
    result = passed_through(answer, entered, given)
    assert torch.equal(result[given], entered[given]) and torch.equal(result[~given], answer[~given])
