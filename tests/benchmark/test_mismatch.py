"""What a method is told that is not so: the data stay what physics makes of the truth, and only one thing is wrong."""

from functools import partial

import numpy as np
import pytest
import torch

from a2a.benchmark.experiment import Job
from a2a.benchmark.mismatch import Mismatch, acquired, moved
from a2a.common.errors import InputError
from a2a.common.rng import spawn
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.forward.undersampling import Undersampling

SPEC, SIDE = StackSpec.of("T1", "T2FLAIR", "CT"), 16
SCAN = Undersampling(acceleration=2, coils=3, noise_std=0.02)


@pytest.fixture
def truth() -> torch.Tensor:
    """Two stacks that are 0 near the edges."""
    stacks = torch.zeros(2, 3, SIDE, SIDE)
    stacks[:, :, 5:11, 5:11] = 0.2 + 0.6 * torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    return stacks


def told(truth, given: str = "T1 + y(T2FLAIR)", scan: Undersampling = SCAN, **wrong: float) -> Observation:
    return acquired(truth, given, SPEC, scan, partial(spawn, 5, len(truth)), Mismatch(**wrong))


def simulated(truth, given: str = "T1 + y(T2FLAIR)") -> Observation:
    return Observation.simulate(truth, given, SPEC, SCAN, spawn(5, len(truth)))


def test_by_default_everything_is_so(truth):
    seen, right = told(truth), simulated(truth)
    assert all(torch.equal(a, b) for a, b in zip(seen.data, right.data, strict=True))
    assert seen.noise_std == right.noise_std and seen.operator.blocks == right.operator.blocks


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_of_a_wrong_noise_level_the_data_know_nothing(truth, factor):
    seen, right = told(truth, noise=factor), simulated(truth)
    assert torch.equal(seen.data[1], right.data[1])
    assert seen.noise_std == (0.0, factor * 0.02, 0.0)


def test_a_shift_moves_the_first_given_image_off_the_others(truth):
    seen, right = told(truth, "T1 + CT + y(T2FLAIR)", shift=2), simulated(truth, "T1 + CT + y(T2FLAIR)")
    torch.testing.assert_close(seen.data[0], truth[:, 0].roll(2, dims=-1), rtol=0, atol=1e-5)
    assert torch.equal(seen.data[2], truth[:, 2]) and torch.equal(seen.data[1], right.data[1])


def test_half_a_pixel_twice_is_nearly_a_pixel():
    row = torch.exp(-((torch.arange(64.0) - 30) ** 2) / 50).expand(1, 8, 64)
    there = moved(moved(row, 0.5, axis=-1), 0.5, axis=-1)
    assert (there - row.roll(1, dims=-1)).abs().max() < 1e-4


def test_wrong_maps_are_told_and_the_data_are_those_of_the_right_ones(truth):
    seen, right = told(truth, maps=1), simulated(truth)
    assert torch.equal(seen.data[1], right.data[1])
    believed, true = (o.operator.blocks[1].maps for o in (seen, right))
    torch.testing.assert_close(believed[..., 1:], true[..., :-1], rtol=0, atol=1e-5)
    assert torch.equal(seen.operator.blocks[1].mask, right.operator.blocks[1].mask)


def test_after_the_head_moved_lines_have_the_phase_of_the_shift(truth):
    scan = Undersampling(acceleration=1, coils=1, noise_std=0.0)
    seen = told(truth, "y(T2FLAIR)", scan, motion=2)
    right = Observation.simulate(truth, "y(T2FLAIR)", SPEC, scan, spawn(5, 2))
    maps = right.operator.blocks[1].maps[0]
    lines = torch.arange(SIDE) - SIDE // 2
    image = torch.from_numpy(np.roll(truth[:, 1].numpy(), 2, axis=-2)) * maps  # by NumPy's transform, not ours
    spectrum = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image.numpy(), axes=(-2, -1)), norm="ortho"), axes=(-2, -1))
    assert torch.equal(seen.data[1][..., lines < 0, :], right.data[1][..., lines < 0, :])
    np.testing.assert_allclose(seen.data[1][:, 0, lines >= 0].numpy(), spectrum[:, lines >= 0], atol=1e-5)


@pytest.mark.parametrize(
    ("given", "wrong", "words"),
    [
        ("T1", {"shift": 1}, "shift moves one given image off another, but T1 has no two"),
        ("y(T1) + y(CT)", {"shift": 1}, "shift moves one given image off another"),
        ("T1 + CT", {"noise": 2}, "noise is of k-space, and T1 . CT gives none"),
        ("T1 + CT", {"maps": 1}, "maps is of k-space"),
        ("T1 + CT", {"motion": 1}, "motion is of k-space"),
    ],
)
def test_a_difference_that_would_change_nothing_is_refused(truth, given, wrong, words):
    with pytest.raises(InputError, match=words):
        told(truth, given, **wrong)


@pytest.mark.parametrize("wrong", [{"noise": 0}, {"noise": -1}, {"shift": -1}, {"maps": 65}, {"tilt": 1}])
def test_impossible_differences_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Mismatch(**wrong)


def test_a_job_says_what_is_wrong_and_is_the_same_job_where_nothing_is():
    said = {"given": "T1 + y(T2FLAIR)", "targets": ["T2FLAIR"], "eta": 0.5}
    plain, wrong = Job(**said), Job(**said, mismatch={"noise": 2, "maps": 0.5})
    assert plain.key == Job(**said, mismatch={}).key and plain.settings == "eta 0.5"
    assert wrong.settings == "eta 0.5, noise 2, maps 0.5" and wrong.key != plain.key
    assert Job(given="T1", targets=("CT",), method="mmgan", mismatch={"shift": 1}).settings == "shift 1"
