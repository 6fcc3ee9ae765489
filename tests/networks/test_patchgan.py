"""The discriminator: published size, one patch map for each modality, and what it looks at."""

import pytest
import torch

from a2a.networks.patchgan import PatchDiscriminator


@pytest.mark.parametrize(
    ("modalities", "widths", "count"), [(4, (64, 128, 256, 512), 2_794_432), (5, (32, 64, 128), 179_424)]
)
def test_parameters_are_as_many_as_published_and_as_planned(modalities, widths, count):
    with torch.device("meta"):
        network = PatchDiscriminator(modalities, widths)
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize(("side", "widths"), [(64, (4, 8, 8)), (32, (4, 8, 8, 8)), (16, (4,))])
def test_each_modality_has_a_map_of_patches(side, widths):
    stack = torch.randn(2, 3, side, side)
    maps = PatchDiscriminator(3, widths)(stack, stack)
    assert maps.shape == (2, 3, side // 2 ** len(widths), side // 2 ** len(widths))


def test_stack_and_condition_both_count_and_batch_mates_do_not():
    torch.manual_seed(0)
    network, (stack, condition) = PatchDiscriminator(2, (8, 8)), torch.randn(2, 3, 2, 16, 16)
    together = network(stack, condition)
    alone = torch.cat([network(stack[i : i + 1], condition[i : i + 1]) for i in range(3)])
    assert torch.allclose(together, alone, atol=1e-6)
    assert not torch.allclose(together, network(stack, -condition))
    assert not torch.allclose(together, network(-stack, condition))
