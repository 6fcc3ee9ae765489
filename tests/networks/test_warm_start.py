"""A grown network predicts what the trained one did."""

import pytest
import torch
import torch.nn.functional as F

from a2a.networks.plain import PlainConfig, PlainUNet
from a2a.networks.unet import UNet, UNetConfig
from a2a.networks.warm_start import folded, grown, own_levels, seeing_adjacent, shown_more


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
    assert found.config.noise_levels == "per-modality"
    torch.testing.assert_close(found(x, t[:, None].expand(-1, 2)), network(x, t), atol=1e-5, rtol=0)


@pytest.mark.parametrize("patch", [2, 4])
def test_a_folded_network_reads_the_mean_of_each_patch(network, patch):
    x, t = torch.randn(3, 2, 16 * patch, 16 * patch), torch.tensor([0, 400, 999])
    found = folded(network, patch)
    assert found.config.patch == patch
    expected = F.interpolate(network(F.avg_pool2d(x, patch), t), scale_factor=patch)
    torch.testing.assert_close(found(x, t), expected, atol=1e-5, rtol=0)


def test_what_is_shown_besides_changes_nothing_at_first(network):
    x, t = torch.randn(3, 4, 16, 16), torch.tensor([0, 400, 999])
    found = shown_more(network, 2)
    assert found.config.stacks == 2
    torch.testing.assert_close(found(x, t), network(x[:, :2], t))
    torch.nn.init.normal_(found.head.weight)
    assert not torch.allclose(found(x, t), found(torch.cat([x[:, :2], -x[:, 2:]], dim=1), t))


def test_all_at_once_and_nothing_that_is_not_asked_for(network):
    wanted = UNetConfig(2, width=8, multipliers=(1, 2), attention=(), patch=2, noise_levels="per-modality", stacks=2)
    everything, x, t = grown(network, wanted), torch.randn(2, 2, 32, 32), torch.tensor([0, 700])
    assert everything.config == wanted
    found = everything(torch.cat([x, torch.randn_like(x)], dim=1), t[:, None].expand(-1, 2))
    torch.testing.assert_close(found, folded(network, 2)(x, t), atol=1e-5, rtol=0)
    wider = UNetConfig(2, width=16, multipliers=(1, 2), attention=())
    assert grown(network, wider) is network


def test_a_plain_network_goes_on_seeing_what_lies_beside():
    torch.manual_seed(2)
    network = PlainUNet(PlainConfig(2, (8, 16)))
    for p in network.parameters():
        torch.nn.init.normal_(p, std=0.05)
    found, x, beside = seeing_adjacent(network), torch.randn(3, 6, 16, 16), torch.randn(3, 4, 16, 16)
    assert found.config.adjacent
    torch.testing.assert_close(found(x, None, beside), network(x), atol=1e-5, rtol=0)
