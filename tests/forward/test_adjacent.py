"""The slices below and above each item, whatever is cut, repeated or left out."""

from dataclasses import replace

import torch

from a2a.forward.adjacent import Adjacent
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec

IMAGES = torch.rand(4, 2, 6, 6, generator=torch.Generator().manual_seed(0))


def same(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    return torch.equal(found.nan_to_num(-1), wanted.nan_to_num(-1))


def test_each_slice_of_a_volume_lies_between_two_others():
    found = Adjacent.of_volume(IMAGES).gathered()
    assert found.shape == (4, 2, 2, 6, 6)
    nothing = torch.full((2, 6, 6), torch.nan)
    for item, (below, above) in enumerate(found):
        assert same(below, IMAGES[item - 1] if item else nothing)
        assert same(above, IMAGES[item + 1] if item < 3 else nothing)


def test_parts_of_an_observation_and_its_samples_keep_what_lies_beside_them():
    spec = StackSpec.of("T1", "T2")
    volume = Adjacent.of_volume(IMAGES)
    whole = replace(Observation.simulate(IMAGES, "T1", spec), adjacent=volume)
    assert same(whole[1:3].adjacent.gathered(), volume.gathered()[1:3])
    repeated = whole.repeat(2)
    assert repeated.adjacent.images is IMAGES  # no copies of a whole head
    assert same(repeated[3:6].adjacent.gathered(), volume.gathered()[[3, 0, 1]])
