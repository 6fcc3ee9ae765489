"""The U-Net of mm-gan: published size, ranges, refusals."""

import pytest
import torch

from a2a.common.errors import InputError
from a2a.networks.pix2pix import Pix2PixUNet

PUBLISHED, SMALL = (64, 128, 256, 512, 512, 512, 512, 512), (16, 32, 64, 128, 128, 128)


@pytest.mark.parametrize(("modalities", "widths", "count"), [(4, PUBLISHED, 54_407_172), (5, SMALL, 1_830_661)])
def test_parameters_are_as_many_as_published_and_as_planned(modalities, widths, count):
    with torch.device("meta"):
        network = Pix2PixUNet(modalities, widths)
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize(("head", "low", "high"), [("relu", 0, torch.inf), ("tanh", -1, 1), ("linear", -9, 9)])
def test_the_head_sets_the_range_and_size_stays(head, low, high):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 16, 32)
    y = Pix2PixUNet(3, (4, 8, 8), head)(x)
    assert y.shape == x.shape and low <= y.min() < y.max() <= high
    assert head == "relu" or y.min() < 0


def test_a_map_of_one_pixel_is_not_erased_by_a_norm():
    network = Pix2PixUNet(2, (4, 8, 8, 8), "linear").eval()
    x = torch.randn(1, 2, 16, 16)
    before = network(x)
    with torch.no_grad():
        network.up[0][0].weight.mul_(-1)
    innermost = network.down[3](network.down[2](network.down[1](network.down[0](x))))
    assert innermost.shape[-2:] == (1, 1) and innermost.abs().max() > 0
    assert not torch.allclose(before, network(x))


def test_dropout_speaks_in_training_only_and_batch_mates_never_matter():
    torch.manual_seed(1)
    network, x = Pix2PixUNet(2, (4, 8, 8, 8, 8), "linear", dropout=0.5), torch.randn(3, 2, 32, 32)
    assert not torch.equal(network(x), network(x))
    network.eval()
    alone = torch.cat([network(row[None]) for row in x])
    assert torch.equal(network(x), network(x)) and torch.allclose(network(x), alone, atol=1e-6)


def test_three_finest_levels_drop_nothing():
    torch.manual_seed(1)
    network, x = Pix2PixUNet(2, (4, 8, 8), "linear", dropout=0.5), torch.randn(3, 2, 8, 8)
    assert torch.equal(network(x), network(x))


@pytest.mark.parametrize("shape", [(1, 3, 16, 16), (1, 2, 12, 16), (1, 2, 16, 20)])
def test_misfits_are_refused_by_name(shape):
    with pytest.raises(InputError, match="takes 2 modalities with sides that 8 divides"):
        Pix2PixUNet(2, (4, 8, 8))(torch.zeros(shape))
