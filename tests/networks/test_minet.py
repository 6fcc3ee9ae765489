"""MINet's network: sizes, identities at the start, and which way information flows."""

import pytest
import torch
from torch import nn

from a2a.networks.minet import ChannelSpatialAttention, LayerAttention, MINetNetwork, MINetSize

TINY = MINetSize(features=6, groups=2, blocks=1, reduction=1)


def spoken(network: nn.Module) -> nn.Module:
    """A network whose scalars that start at zero speak, so that properties are not trivially true."""
    torch.manual_seed(0)
    for name, p in network.named_parameters():
        if name.endswith("gamma"):
            nn.init.constant_(p, 0.7)
    return network


@pytest.mark.parametrize("size, count", [(MINetSize(), 6.564e6), (MINetSize(24, 3, 2, 8), 0.231e6)])
def test_sizes_are_those_of_the_paper_and_of_64_pixels(size, count):
    with torch.device("meta"):
        network = MINetNetwork(size)
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(count, rel=0.005)


def test_both_attentions_begin_as_the_identity():
    stages, features = torch.randn(2, 5, 4, 6, 6), torch.randn(2, 4, 6, 6)
    assert torch.equal(LayerAttention()(stages), stages)
    assert torch.equal(ChannelSpatialAttention()(features), features)


def test_weights_of_the_stages_sum_to_one_and_follow_their_order():
    stages, order = 0.1 * torch.randn(2, 5, 3, 4, 4), torch.tensor([3, 0, 4, 1, 2])
    attention = spoken(LayerAttention())
    weights = attention.weights(stages)
    assert torch.allclose(weights.sum(dim=-1), torch.ones(2, 5))
    assert torch.allclose(attention.weights(stages[:, order]), weights[:, order][:, :, order], atol=1e-6)
    assert torch.allclose(attention(stages[:, order]), attention(stages)[:, order], atol=1e-6)


def test_a_stage_attends_least_to_the_stage_most_like_it():
    stages = torch.zeros(1, 3, 1, 1, 2)
    stages[0, :, 0, 0] = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    weights = LayerAttention().weights(stages)[0]
    assert weights[0].argmax() == 2 and weights[0, 0] < weights[0, 1]


@pytest.mark.parametrize("height, width", [(16, 16), (12, 20), (9, 7)])
def test_images_keep_their_size(height, width):
    reference, target = MINetNetwork(TINY)(*torch.rand(2, 2, 1, height, width))
    assert reference.shape == target.shape == (2, 1, height, width)


def test_the_reference_is_told_nothing_by_the_target():
    network = spoken(MINetNetwork(TINY))
    reference, zero_filled = (torch.rand(2, 1, 12, 12, requires_grad=True) for _ in range(2))
    back, target = network(reference, zero_filled)
    assert torch.autograd.grad(back.sum(), zero_filled, allow_unused=True, retain_graph=True) == (None,)
    assert all(g.abs().max() > 0 for g in torch.autograd.grad(target.sum(), (reference, zero_filled)))


def test_every_weight_has_a_say():
    network = spoken(MINetNetwork(TINY))
    back, target = network(*torch.rand(2, 2, 1, 12, 12))
    gradients = torch.autograd.grad((back + target).square().sum(), list(network.parameters()))
    assert all(g.abs().max() > 0 for g in gradients)


def test_batch_mates_do_not_matter():
    network, images = spoken(MINetNetwork(TINY)).eval(), torch.rand(2, 3, 1, 12, 12)
    together, alone = network(*images)[1], torch.cat([network(*images[:, i : i + 1])[1] for i in range(3)])
    assert torch.allclose(together, alone, atol=1e-5)
