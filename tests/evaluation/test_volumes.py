"""Measures of completed volumes, each against a case with a known answer."""

import numpy as np
import pytest

from a2a.common.errors import InputError
from a2a.evaluation.volumes import best_affine, contrast, fine_energy, jump, volume_measures


@pytest.fixture
def truth() -> np.ndarray:
    return np.random.default_rng(0).uniform(0.2, 0.8, (6, 32, 32))


@pytest.fixture
def brain() -> np.ndarray:
    mask = np.zeros((6, 32, 32), bool)
    mask[:, 4:28, 4:28] = True
    return mask


def test_an_affine_map_is_found_and_taken_out(truth, brain):
    truth = np.where(brain, truth, 0)
    estimate = np.where(brain, (truth - 0.1) / 1.25, 0)
    assert best_affine(estimate, truth, brain) == pytest.approx((1.25, 0.1))
    found = volume_measures(estimate, truth, brain)
    assert found["psnr"] < 25 and found["psnr_affine"] > 60
    assert found["psnr_brain"] == pytest.approx(found["psnr"] + 10 * np.log10(brain.mean()))


def test_the_truth_is_as_fine_and_as_even_as_itself_and_a_blurred_one_is_less_fine(truth, brain):
    same = volume_measures(truth, truth, brain)
    assert (same["psnr"], same["fine"], same["jump"]) == (100, 1, 1)
    blurred = (truth + np.roll(truth, 1, 1) + np.roll(truth, 1, 2)) / 3
    assert volume_measures(blurred, truth, brain)["fine"] < 0.5
    x = np.cos(2 * np.pi * 2 * np.arange(32) / 32)
    assert fine_energy(np.broadcast_to(x, (1, 32, 32))) < 1e-9


def test_a_jump_is_the_step_between_the_means_of_neighbours(brain):
    volume = np.broadcast_to(np.array([0, 1, 0, 1, 0, 1.0])[:, None, None] * 0.1, brain.shape)
    assert jump(volume, brain) == pytest.approx(0.1)
    apart = brain.copy()
    apart[1::2] = False
    assert np.isnan(jump(volume, apart))


def test_lesions_are_compared_with_what_surrounds_them(brain):
    volume, lesions = np.where(brain, 0.4, 0.0), np.zeros_like(brain)
    lesions[:, 10:14, 10:14] = True
    bright = np.where(lesions, 0.8, volume)
    assert contrast(bright, lesions, brain) == pytest.approx(2)
    lost = volume_measures(np.where(lesions, 0.6, volume), bright, brain, lesions)
    assert lost["lesion_contrast"] == pytest.approx(0.75) and lost["psnr_lesions"] == pytest.approx(-20 * np.log10(0.2))
    assert "lesion_contrast" not in volume_measures(volume, volume + 1e-3, brain, np.zeros_like(brain))


def test_volumes_that_do_not_fit_are_refused(truth, brain):
    with pytest.raises(InputError, match="one shape"):
        best_affine(truth[1:], truth, brain)
    with pytest.raises(InputError, match="a mask"):
        best_affine(truth, truth, np.zeros_like(brain))
