"""How to compute fast on the machine at hand, found by measuring and not by assuming.

On one processor bf16 with channels_last is three times faster than float32, on another it is slower.
"""

import copy
import math
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

CHOICES = ("float32", "float32 channels_last", "bf16", "bf16 channels_last")
HOPELESS = 5


def arrange(network: nn.Module, numerics: str) -> nn.Module:
    """Lay the weights out as `numerics` (one of `CHOICES`) says."""
    last = numerics.endswith("channels_last")
    return network.to(memory_format=torch.channels_last if last else torch.contiguous_format)


def autocast(numerics: str, device: torch.device) -> AbstractContextManager:
    """Return the autocast context of `numerics`."""
    return torch.autocast(device.type, torch.bfloat16, enabled=numerics.startswith("bf16"))


def fastest(
    networks: Mapping[str, nn.Module],
    losses: Callable[[Mapping[str, nn.Module]], Iterable[Tensor]],
    device: torch.device,
    repeats: int = 3,
) -> str:
    """Time a step's losses, forwards and backwards, with each of `CHOICES` (minimum of `repeats`).

    Works on copies: the networks stay as they are. A choice is given up as soon as it takes `HOPELESS` times as long as
    the best so far: bf16 can take fifty times as long on a processor without it.

    Parameters
    ----------
    networks
        Are copied.
    losses
        Returns the losses of a step.
    device
        Where it runs.
    repeats
        Steps of each choice.
    """
    seconds = {}
    for choice in CHOICES:
        trial = {name: arrange(copy.deepcopy(network), choice) for name, network in networks.items()}
        seconds[choice] = math.inf
        for _ in range(repeats + 1):
            seconds[choice] = min(seconds[choice], _once(trial, losses, choice, device))
            if seconds[choice] > HOPELESS * min(seconds.values()):
                break
    return min(seconds, key=seconds.get)


def _once(networks: Mapping[str, nn.Module], losses: Callable, choice: str, device: torch.device) -> float:
    start = time.perf_counter()
    with autocast(choice, device):
        for loss in losses(networks):
            loss.backward()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start
