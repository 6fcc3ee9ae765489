"""The choice of numerics: measured, among what was asked for, without a trace in the network."""

import time

import pytest
import torch
from torch import nn

from a2a.training.numerics import CHOICES, arrange, autocast, fastest

CPU = torch.device("cpu")


class SlowWhere(nn.Module):
    """A convolution that dawdles under bf16, or else in float32."""

    def __init__(self, bf16: bool):
        super().__init__()
        self.bf16, self.conv = bf16, nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        if torch.is_autocast_enabled("cpu") == self.bf16:
            time.sleep(0.05)
        return self.conv(x) * times[:, None, None, None]


def measure(network: nn.Module) -> str:
    noisy, times = torch.randn(2, 2, 8, 8), torch.ones(2)
    return fastest({"network": network}, lambda trial: [trial["network"](noisy, times).mean()], CPU, repeats=1)


@pytest.mark.parametrize(("slow", "kept"), [(True, "float32"), (False, "bf16")])
def test_the_faster_precision_is_found_by_measuring(slow, kept):
    assert measure(SlowWhere(bf16=slow)).split()[0] == kept


def test_a_hopeless_choice_is_tried_once_and_others_as_often_as_asked():
    calls = []

    def losses(trial):
        calls.append("bf16" if torch.is_autocast_enabled("cpu") else "float32")
        time.sleep(0.3 if calls[-1] == "bf16" else 0.03)
        return []

    assert fastest({}, losses, CPU, repeats=2).startswith("float32")
    assert calls == ["float32"] * 6 + ["bf16"] * 2


def test_measuring_leaves_weights_and_gradients_as_they_were():
    network = SlowWhere(bf16=True)
    before = [p.detach().clone() for p in network.parameters()]
    measure(network)
    assert all(p.grad is None for p in network.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


@pytest.mark.parametrize("choice", CHOICES)
def test_a_choice_decides_layout_and_precision(choice):
    conv = arrange(nn.Conv2d(4, 4, 3), choice)
    last = choice.endswith("channels_last")
    assert conv.weight.is_contiguous(memory_format=torch.channels_last) == last
    with autocast(choice, CPU):
        assert conv(torch.randn(1, 4, 8, 8)).dtype == (torch.bfloat16 if "bf16" in choice else torch.float32)
