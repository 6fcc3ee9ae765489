"""Lean layers: the gradient by the input is PyTorch's, and less is kept for it."""

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F

from a2a.networks import lean
from a2a.networks.lean import Convolution, activated
from a2a.networks.unet import UNet, UNetConfig


@pytest.fixture(autouse=True)
def small_maps_are_large(monkeypatch):
    """Let the layers be lean for the maps of these tests."""
    monkeypatch.setattr(lean, "LARGE", 1)


def gradient_and_kept(run, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, set[tuple]]:
    """What `run` returns, its vector-Jacobian product with it, and the shapes of what was kept."""
    kept, x = set(), x.clone().requires_grad_(True)
    with saved_tensors_hooks(lambda s: kept.add(tuple(s.shape)) or s, lambda s: s):
        y = run(x)
    return y.detach(), torch.autograd.grad(y, x, y.detach())[0], kept


@pytest.mark.parametrize("options", [{"padding": 1}, {"padding": 1, "stride": 2}, {"bias": False}])
def test_frozen_convolution_keeps_no_map_and_has_the_same_gradient(options):
    own = Convolution(3, 5, 3, **options).double().requires_grad_(False)
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    y, gradient, kept = gradient_and_kept(own, x)
    expected, reference, much = gradient_and_kept(
        lambda x: F.conv2d(x, own.weight, own.bias, own.stride, own.padding), x
    )
    assert torch.equal(y, expected) and torch.equal(gradient, reference)
    assert tuple(x.shape) in much and kept == {tuple(own.weight.shape)}


@pytest.mark.parametrize("told", [False, True])
def test_frozen_norm_and_silu_keep_the_input_alone(told):
    norm = nn.GroupNorm(2, 6).double()
    for p in norm.parameters():
        nn.init.normal_(p)
    norm.requires_grad_(False)
    x = torch.randn(3, 6, 4, 5, dtype=torch.float64) + 1
    scale, shift = torch.randn(2, 3, 6, 1, 1, dtype=torch.float64) if told else (None, None)
    y, gradient, kept = gradient_and_kept(lambda x: activated(norm, x, scale, shift), x)
    again = (lambda h: h * (1 + scale) + shift) if told else (lambda h: h)
    expected, reference, _ = gradient_and_kept(lambda x: F.silu(again(norm(x))), x)
    torch.testing.assert_close(y, expected, rtol=0, atol=0)
    torch.testing.assert_close(gradient, reference, rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(lambda x: activated(norm, x, scale, shift), x.requires_grad_(True))
    assert kept == {tuple(x.shape), (3, 2)} | ({(3, 6, 1, 1)} if told else set())


def test_layers_that_are_trained_get_their_gradients():
    convolution, norm = Convolution(4, 4, 3, padding=1), nn.GroupNorm(2, 4)
    x = torch.randn(1, 4, 6, 6)
    activated(norm, convolution(x)).sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in (*convolution.parameters(), *norm.parameters()))


@pytest.mark.parametrize(("bf16", "share"), [(False, 0.75), (True, 0.8)])
def test_a_frozen_network_keeps_less_and_differentiates_alike(monkeypatch, bf16, share):
    torch.manual_seed(0)
    network = UNet(UNetConfig(2, width=8, multipliers=(1, 2), attention=(2,), head_width=8))
    for p in network.parameters():
        p.data.normal_(std=0.2)
    network.requires_grad_(False)
    x, t = torch.randn(2, 2, 16, 16, requires_grad=True), torch.tensor([3, 700])

    def measured(large: int) -> tuple[torch.Tensor, int]:
        monkeypatch.setattr(lean, "LARGE", large)
        kept = {}
        hooks = saved_tensors_hooks(lambda s: kept.update({s.untyped_storage().data_ptr(): s.nbytes}) or s, lambda s: s)
        with hooks, torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            y = network(x, t)
        return torch.autograd.grad(y, x, torch.ones_like(y))[0], sum(kept.values())

    (plain, much), (gradient, little) = measured(10**9), measured(1)
    tolerance = 0.05 if bf16 else 1e-4
    torch.testing.assert_close(gradient, plain, rtol=tolerance, atol=tolerance * float(plain.abs().max()))
    assert gradient.dtype == torch.float32 and little < share * much
