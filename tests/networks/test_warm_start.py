"""A grown network predicts what the trained one did."""

import pytest
import torch
import torch.nn.functional as F

from a2a.networks.unet import UNet, UNetConfig
from a2a.networks.warm_start import folded, grown, own_levels


@pytest.fixture
def network() -> UNet:
    torch.manual_seed(1)
    network = UNet(UNetConfig(2, width=8, multipliers=(1, 2), attention=()))
    for p in network.parameters():
        torch.nn.init.normal_(p, std=0.05)
    return network


def test_levels_of_their_own_go_on_from_shared_ones(network):
    x, t = torch.randn(3, 2, 16, 16), torch.tensor([0, 400, 999])
    found = own_levels(network)
    assert found.config.noise_levels == "own"
    torch.testing.assert_close(found(x, t[:, None].expand(-1, 2)), network(x, t), atol=1e-5, rtol=0)


@pytest.mark.parametrize("patch", [2, 4])
def test_a_folded_network_reads_the_mean_of_each_patch(network, patch):
    x, t = torch.randn(3, 2, 16 * patch, 16 * patch), torch.tensor([0, 400, 999])
    found = folded(network, patch)
    assert found.config.patch == patch
    expected = F.interpolate(network(F.avg_pool2d(x, patch), t), scale_factor=patch)
    torch.testing.assert_close(found(x, t), expected, atol=1e-5, rtol=0)


def test_both_at_once_and_nothing_that_is_not_asked_for(network):
    size = {"width": 8, "multipliers": (1, 2), "attention": (), "patch": 2}
    both = grown(network, UNetConfig(2, **size, noise_levels="per-modality"))
    assert (both.config.patch, both.config.noise_levels) == (2, "per-modality")
    wider = UNetConfig(2, width=16, multipliers=(1, 2), attention=())
    assert grown(network, wider) is network
