"""The network of DisC-Diff: sizes, three equal encoders that share nothing, refusals."""

import pytest
import torch

from a2a.common.errors import InputError
from a2a.networks.discdiff import DisCDiffNetwork
from a2a.networks.unet import UNetConfig

PUBLISHED = UNetConfig(1, 96, (1, 1, 2, 2, 3, 3), 2, (8, 16, 32), 48)
TINY = UNetConfig(1, 8, (1, 2), 1, (2,), 8)


def small(width: int) -> UNetConfig:
    """The size for 64 x 64."""
    return UNetConfig(1, width, (1, 2, 2), 1, (4,), width)


@pytest.mark.parametrize(
    "size, outputs, wanted, tolerance",
    [(PUBLISHED, 2, 86_164_322, 0), (small(24), 1, 1.167e6, 0.02), (small(32), 1, 2.069e6, 0.02)],
)
def test_sizes_have_the_wanted_parameters(size, outputs, wanted, tolerance):
    with torch.device("meta"):
        found = sum(p.numel() for p in DisCDiffNetwork(size, outputs).parameters())
    assert found == pytest.approx(wanted, rel=tolerance)


def test_equal_inputs_have_equal_common_features_at_first():
    torch.manual_seed(0)
    x = torch.randn(2, 1, 16, 16)
    found = DisCDiffNetwork(TINY)(x, torch.tensor([5, 700]), x, x)
    assert found.common.shape == found.distinct.shape == (2, 3, 8, 8, 8)
    assert torch.equal(found.common[:, 0], found.common[:, 1]) and torch.equal(found.common[:, 0], found.common[:, 2])
    assert not torch.equal(found.distinct[:, 0], found.distinct[:, 1])


def test_encoders_begin_equal_and_share_no_parameter():
    network = DisCDiffNetwork(TINY)
    first, *others = [list(encoder.parameters()) for encoder in network.encoders]
    for other in others:
        assert all(torch.equal(a, b) and a.data_ptr() != b.data_ptr() for a, b in zip(first, other, strict=True))
    torch.nn.init.zeros_(network.encoders[0].head.weight)
    assert network.encoders[1].head.weight.abs().max() > 0


def test_one_common_and_one_distinct_convolution_serve_all_streams():
    network, calls = DisCDiffNetwork(TINY), {"common": 0, "distinct": 0}
    for name in calls:

        def counted(module, inputs, output, name=name):
            calls[name] += 1

        getattr(network, name).register_forward_hook(counted)
    x = torch.zeros(1, 1, 16, 16)
    network(x, torch.tensor([0]), x, x)
    assert calls == {"common": 3, "distinct": 3}


@pytest.mark.parametrize("outputs", [1, 2])
def test_a_fresh_network_predicts_zero_and_a_trained_one_hears_every_stream(outputs):
    torch.manual_seed(0)
    images, t = [torch.randn(1, 1, 16, 8) for _ in range(3)], torch.tensor([9])
    network = DisCDiffNetwork(TINY, outputs)
    fresh = network(images[0], t, *images[1:]).out
    assert fresh.shape == (1, outputs, 16, 8) and fresh.abs().max() == 0
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    first = network(images[0], t, *images[1:]).out
    for i in range(3):
        x, zero_filled, reference = [image + (i == k) for k, image in enumerate(images)]
        assert (network(x, t, zero_filled, reference).out - first).abs().max() > 1e-4
    assert (network(images[0], torch.tensor([900]), *images[1:]).out - first).abs().max() > 1e-4


def test_misfits_are_refused_by_name():
    network, good, t = DisCDiffNetwork(TINY), torch.zeros(1, 1, 16, 16), torch.tensor([0])
    for bad in (torch.zeros(1, 2, 16, 16), torch.zeros(1, 1, 16, 14)):
        with pytest.raises(InputError, match="takes three"):
            network(good, t, bad, good)
    odd = torch.zeros(1, 1, 15, 16)
    with pytest.raises(InputError, match="sides that 2 divides"):
        network(odd, t, odd, odd)
