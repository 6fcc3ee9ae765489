"""The plain U-Net: what it says of a pixel depends on what is near, wherever the slice was cut."""

import pytest
import torch

from a2a.common.errors import InputError
from a2a.networks.plain import PlainConfig, PlainUNet, places


def trained_like(config: PlainConfig) -> PlainUNet:
    """A network whose last layers are not silent."""
    network = PlainUNet(config).eval().requires_grad_(False)
    draw = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.copy_(0.1 * torch.randn(parameter.shape, generator=draw))
    return network


@pytest.fixture
def network() -> PlainUNet:
    return trained_like(PlainConfig(2, (8, 16), stacks=3))


def test_it_begins_with_silence_and_keeps_the_size():
    answer = PlainUNet(PlainConfig(2, (8, 16)))(torch.randn(3, 6, 16, 24))
    assert answer.shape == (3, 2, 16, 24) and not answer.any()


def test_a_part_with_its_place_is_answered_as_in_the_whole_slice_but_for_the_border(network):
    x = torch.randn(1, 6, 64, 64)
    whole = network(x)
    part = network(torch.cat([x, places(64, 64)[None]], dim=1)[:, :, 8:48, 16:64])
    border = 12
    inside = (slice(None), slice(None), slice(border, -border), slice(border, -border))
    assert torch.allclose(part[inside], whole[:, :, 8:48, 16:64][inside], atol=1e-5)
    moved = network(torch.cat([x, places(64, 64)[None]], dim=1)[:, :, 8:48, 16:64] * 1.0 + 0.1)
    assert not torch.allclose(moved[inside], whole[:, :, 8:48, 16:64][inside], atol=1e-3)


def test_places_run_from_minus_one_to_one():
    found = places(5, 3)
    assert found[0, :, 0].tolist() == [-1, -0.5, 0, 0.5, 1] and found[1, 0].tolist() == [-1, 0, 1]


@pytest.mark.parametrize("shape", [(1, 5, 16, 16), (1, 6, 15, 16), (1, 9, 16, 16)])
def test_what_does_not_fit_is_refused(network, shape):
    with pytest.raises(InputError, match="2 modalities"):
        network(torch.zeros(shape))


@pytest.mark.parametrize("sizes", [{"widths": ()}, {"widths": (0,)}, {"stacks": 4}, {"widths": (8,) * 11}])
def test_sizes_that_make_no_network_are_refused(sizes):
    with pytest.raises(InputError):
        PlainConfig(2, **sizes)


def test_what_lies_below_and_above_is_seen_and_may_be_unknown():
    network, x = trained_like(PlainConfig(2, (8, 16), adjacent=True)), torch.randn(2, 6, 16, 16)
    beside = torch.randn(2, 4, 16, 16)
    unknown = network(x)
    torch.testing.assert_close(network(x, None, torch.zeros_like(beside)), unknown)
    moved = network(x, None, beside)
    assert not torch.allclose(moved, unknown, atol=1e-3)
    placed = torch.cat([x, places(16, 16).expand(2, -1, -1, -1)], dim=1)
    torch.testing.assert_close(network(placed, None, beside), moved)
