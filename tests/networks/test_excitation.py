"""Squeeze-and-excitation."""

import torch

from a2a.networks.excitation import SqueezeExcitation


def test_a_channel_is_scaled_as_a_whole_by_what_all_channels_say():
    torch.manual_seed(0)
    block, x = SqueezeExcitation(16, 4), torch.rand(2, 16, 5, 7) + 0.5
    ratio = block(x) / x
    assert torch.allclose(ratio, ratio[:, :, :1, :1].expand_as(ratio))
    assert ratio.min() > 0 and ratio.max() < 1
    other = x.clone()
    other[:, 3] += 4
    assert not torch.allclose((block(other) / other)[:, 5], ratio[:, 5])


def test_without_weights_every_channel_is_halved():
    block, x = SqueezeExcitation(8), torch.randn(1, 8, 4, 4)
    for parameter in block.parameters():
        torch.nn.init.zeros_(parameter)
    assert torch.equal(block(x), x / 2)
