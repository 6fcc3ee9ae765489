"""The U-Net: shapes, refusals, independence of batch mates."""

import pytest
import torch

from a2a.common.errors import InputError
from a2a.networks.unet import UNet, UNetConfig, timestep_embedding


def trained_like(config: UNetConfig) -> UNet:
    """A network whose zero-initialised branches speak, so that properties are not trivially true."""
    torch.manual_seed(0)
    network = UNet(config)
    for p in network.parameters():
        torch.nn.init.normal_(p, std=0.05)
    return network


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("patch", [1, 2])
def test_output_has_the_shape_of_the_input(channels, patch):
    config = UNetConfig(channels, width=8, multipliers=(1, 2), attention=(2,), head_width=8, patch=patch)
    x = torch.randn(2, channels, 16, 8)
    assert UNet(config)(x, torch.tensor([0, 999])).shape == x.shape


def test_a_fresh_network_predicts_zero_noise():
    x = torch.randn(1, 2, 16, 16)
    assert UNet(UNetConfig(2, width=8))(x, torch.tensor([5])).abs().max() == 0


def test_batch_mates_do_not_matter():
    network = trained_like(UNetConfig(2, width=8, multipliers=(1, 2), head_width=8))
    x, t = torch.randn(3, 2, 16, 16), torch.tensor([3, 500, 990])
    together = network(x, t)
    alone = torch.cat([network(x[i : i + 1], t[i : i + 1]) for i in range(3)])
    assert torch.allclose(together, alone, atol=1e-4 * float(together.detach().abs().max()))


def test_time_and_every_input_pixel_reach_the_output():
    network = trained_like(UNetConfig(2, width=8, multipliers=(1, 2), head_width=8))
    x = torch.randn(1, 2, 8, 8, requires_grad=True)
    assert not torch.allclose(network(x, torch.tensor([1])), network(x, torch.tensor([900])))
    (gradient,) = torch.autograd.grad(network(x, torch.tensor([1]))[0, 0, 0, 0], x)
    assert (gradient != 0).all()


def test_levels_of_their_own_are_told_apart():
    network = trained_like(UNetConfig(3, width=8, multipliers=(1, 2), head_width=8, noise_levels="per-modality"))
    x, one = torch.randn(1, 3, 8, 8), torch.tensor([[5]])
    answers = [network(x, torch.tensor([times])) for times in ((5, 5, 5), (900, 5, 5), (5, 900, 5), (5, 5, 900))]
    assert torch.equal(network(x, one), answers[0])
    for i, answer in enumerate(answers):
        assert not any(torch.allclose(answer, other) for other in answers[:i])


@pytest.mark.parametrize("shape", [(1, 3, 16, 16), (1, 2, 12, 16), (1, 2, 16, 20)])
def test_misfits_are_refused_by_name(shape):
    with pytest.raises(InputError, match="takes 2 modalities with sides that 8 divides"):
        UNet(UNetConfig(2, width=8))(torch.zeros(shape), torch.tensor([0]))


def test_embedding_separates_all_times():
    embedding = timestep_embedding(torch.arange(1000), 32)
    distance = torch.cdist(embedding, embedding) + 10 * torch.eye(1000)
    assert embedding.shape == (1000, 32) and distance.min() > 1e-2


def test_checkpointing_changes_no_gradient_and_keeps_less():
    config = UNetConfig(2, width=8, multipliers=(1, 2), attention=(2,), head_width=8)
    x, t, network = torch.randn(2, 2, 16, 16), torch.tensor([3, 700]), trained_like(config)

    def kept_and_gradients(checkpointing: bool) -> tuple[int, list[torch.Tensor]]:
        network.checkpointing, kept = checkpointing, []
        with torch.autograd.graph.saved_tensors_hooks(lambda s: kept.append(s.numel()) or s, lambda s: s):
            loss = network(x, t).square().mean()
        return sum(kept), torch.autograd.grad(loss, list(network.parameters()))

    (much, plain), (little, again) = kept_and_gradients(False), kept_and_gradients(True)
    assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))
    assert little < 0.3 * much
