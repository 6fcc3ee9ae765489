"""Coil maps, and the settings of an acquisition."""

import numpy as np
import pytest
import sigpy.mri
import torch
from pydantic import ValidationError

from a2a.common.errors import InputError
from a2a.forward.masks import equispaced_mask
from a2a.forward.undersampling import Undersampling, birdcage_maps


@pytest.mark.parametrize(("coils", "height", "width", "radius"), [(8, 32, 32, 1.5), (5, 12, 20, 1.2), (1, 7, 9, 3.0)])
def test_birdcage_is_sigpys_and_normalised(coils, height, width, radius):
    ours = birdcage_maps(coils, height, width, radius)
    theirs = sigpy.mri.birdcage_maps((coils, height, width), r=radius)
    assert ours.dtype == torch.complex64
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-6)
    np.testing.assert_allclose(ours.abs().square().sum(dim=0).numpy(), 1, rtol=1e-5)


def test_a_conductor_on_the_corner_pixel_is_seen_there_alone():
    maps = birdcage_maps(8, 8, 8, radius=2**0.5)
    assert bool(torch.isfinite(torch.view_as_real(maps)).all()) and float(maps[5, 0, 0].abs()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: birdcage_maps(0, 8, 8), "coils = 0"),
        (lambda: birdcage_maps(8, 8, 8, 1.0), "radius = 1.0"),
        (lambda: birdcage_maps(8, 8, 8, float("nan")), "radius"),
        (lambda: Undersampling(acceleration=3).mask(64, 64), "R = 3"),
        (lambda: Undersampling(pattern="random", offset=1).mask(64, 64), "offset = 1 has no meaning"),
    ],
)
def test_impossible_maps_and_masks_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    "wrong",
    [
        {"acceleration": 0},
        {"acceleration": 2.5},
        {"offset": -1},
        {"noise_std": -0.1},
        {"noise_std": float("inf")},
        {"radius": 1.0},
        {"coils": 0},
        {"pattern": "spiral"},
        {"acelleration": 4},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Undersampling(**wrong)


def test_settings_make_the_operator_and_share_it():
    operator = Undersampling().operator(32, 24)
    assert torch.equal(operator.mask, equispaced_mask(32, 4)) and torch.equal(operator.maps, birdcage_maps(8, 32, 24))
    assert Undersampling(acceleration=4).operator(32, 24) is operator
    assert Undersampling(offset=1).operator(32, 24) is not operator
    assert Undersampling(pattern="random").operator(32, 24).acceleration == 4
    assert Undersampling(pattern="poisson").mask(32, 24).shape == (32, 24)
