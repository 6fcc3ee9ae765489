"""The way past a network of patches: a matrix for the pixels of each patch, by modality and time."""

import torch
import torch.nn.functional as F

from a2a.networks.bypass import Bypass
from a2a.networks.unet import UNet, UNetConfig


def opened(bypass: Bypass) -> Bypass:
    torch.nn.init.normal_(bypass.maps.weight)
    torch.nn.init.normal_(bypass.maps.bias)
    return bypass


def test_each_patch_of_each_modality_meets_its_matrix():
    torch.manual_seed(0)
    bypass, x, embedding = opened(Bypass(2, 2, 8)), torch.randn(3, 2, 6, 4), torch.randn(3, 8)
    found = F.pixel_shuffle(bypass(F.pixel_unshuffle(x, 2), embedding), 2)
    maps = bypass.maps(F.silu(embedding)).reshape(3, 2, 4, 4)
    for row in range(0, 6, 2):
        for column in range(0, 4, 2):
            patch = x[:, :, row : row + 2, column : column + 2].reshape(3, 2, 4, 1)
            expected = (maps @ patch).reshape(3, 2, 2, 2)
            torch.testing.assert_close(found[:, :, row : row + 2, column : column + 2], expected)


def test_it_begins_closed_and_only_where_there_are_patches():
    config = {"width": 8, "multipliers": (1, 2), "attention": ()}
    assert UNet(UNetConfig(2, **config)).bypass is None
    network, x = UNet(UNetConfig(2, patch=2, **config)), torch.randn(1, 2, 16, 16)
    assert not network(x, torch.tensor([5])).any()
    opened(network.bypass)
    assert network(x, torch.tensor([5])).any()
