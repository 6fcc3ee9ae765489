"""The network of M2DN: sizes, the mask, refusals."""

import pytest
import torch

from a2a.common.errors import InputError
from a2a.networks.m2dn import M2DNNetwork, M2DNSize

TINY = M2DNSize(3, (8, 8), (8, 16), 16)


def count(size: M2DNSize) -> int:
    """Parameters, without memory for them."""
    with torch.device("meta"):
        return sum(p.numel() for p in M2DNNetwork(size).parameters())


def trained_like(size: M2DNSize = TINY) -> M2DNNetwork:
    """A network that answers something else than 0."""
    torch.manual_seed(0)
    network = M2DNNetwork(size)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return network


@pytest.mark.parametrize("modalities, millions", [(5, 1.537), (3, 1.408)])
def test_the_small_size_has_the_wanted_parameters(modalities, millions):
    assert count(M2DNSize(modalities, (16, 32), (48, 96, 96), 128)) / 1e6 == pytest.approx(millions, rel=0.02)


def test_the_default_has_128_channels_at_16_x_16_for_slices_of_256():
    size = M2DNSize(4)
    with torch.device("meta"):
        network, seen = M2DNNetwork(size), []
        network.mask.register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
        network(torch.zeros(1, 4, 256, 256), torch.zeros(1, dtype=torch.long), torch.zeros(1, 4))
    assert seen == [(1, 128, 16, 16)]


def test_a_fresh_network_answers_zero():
    x, t = torch.randn(2, 3, 16, 8), torch.tensor([3, 900])
    answer = M2DNNetwork(TINY)(x, t, torch.ones(2, 3))
    assert answer.shape == x.shape and answer.abs().max() == 0


def test_mask_time_and_every_modality_change_every_output():
    network, x = trained_like(), torch.randn(1, 3, 16, 16)
    t, v = torch.tensor([400]), torch.tensor([[1.0, 0.0, 1.0]])
    first = network(x, t, v)
    others = [network(x, t, 1 - v), network(x, torch.tensor([2]), v)]
    others += [network(x + torch.eye(3)[i, :, None, None], t, v) for i in range(3)]
    for other in others:
        assert ((first - other).abs().amax(dim=(0, 2, 3)) > 1e-4).all()


def test_batch_mates_do_not_matter():
    network, x = trained_like(), torch.randn(3, 3, 16, 16)
    t, v = torch.tensor([0, 500, 999]), torch.tensor([[1.0, 1.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    alone = torch.cat([network(x[i : i + 1], t[i : i + 1], v[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(network(x, t, v), alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 2, 16, 16), (1, 3, 18, 16), (1, 3, 16, 10)])
def test_misfits_are_refused_by_name(shape):
    with pytest.raises(InputError, match="takes 3 modalities with sides that 4 divides"):
        M2DNNetwork(TINY)(torch.zeros(shape), torch.tensor([0]), torch.ones(1, 3))
