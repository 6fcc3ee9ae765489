"""How to compute fast on the machine at hand, found by measuring and not by assuming.

On one processor bf16 with channels_last is three times faster than float32, on another it is slower.
"""

import time
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

CHOICES = ("float32", "float32 channels_last", "bf16", "bf16 channels_last")


def arrange(network: nn.Module, numerics: str) -> nn.Module:
    """Lay the weights out as `numerics` (one of `CHOICES`) says."""
    last = numerics.endswith("channels_last")
    return network.to(memory_format=torch.channels_last if last else torch.contiguous_format)


def autocast(numerics: str, device: torch.device) -> AbstractContextManager:
    """Return the autocast context of `numerics`."""
    return torch.autocast(device.type, torch.bfloat16, enabled=numerics.startswith("bf16"))


def fastest(network: nn.Module, noisy: Tensor, times: Tensor, precision: str, repeats: int = 3) -> str:
    """Time one forward and backward pass of each choice (minimum of `repeats`) and return the fastest.

    Parameters
    ----------
    precision
        ``"auto"``, or ``"float32"`` / ``"bf16"`` to compare only memory layouts.
    """
    seconds = {}
    for choice in CHOICES:
        if precision in ("auto", choice.split()[0]):
            arrange(network, choice)
            seconds[choice] = min(_once(network, noisy, times, choice) for _ in range(repeats + 1))
    network.zero_grad(set_to_none=True)
    return min(seconds, key=seconds.get)


def _once(network: nn.Module, noisy: Tensor, times: Tensor, choice: str) -> float:
    start = time.perf_counter()
    with autocast(choice, noisy.device):
        network(noisy, times).float().square().mean().backward()
    if noisy.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start
