"""What training at the paper's size costs: counted, measured at a reduced batch, and extrapolated to GPUs.

Operations and kept activations of ``experiments/priors/any2all-paper.yaml`` are counted exactly, without computing
anything; how fast this machine computes is measured on one training step of one stack at a smaller side::

    python benchmarks/recipe_cost.py --out results/recipe-cost.csv

Columns: ``checkpointing`` of activations, ``gpus``, ``images`` of a step on each, ``tflop_per_image`` (forward and
backward), ``memory_gib`` of each GPU (weights, gradients, two moments and the average in float32, and activations),
``step_s`` and ``days`` for all steps at ``assumed_tflops`` of each GPU. Assumptions: activations in bf16, half the
memory that the count in float32 gives; an H100 or H200 sustains `FRACTION` of its 989 TFLOP/s in bf16; the gradients'
exchange hides behind the backward pass. ``here_gflops`` is what this machine's one core reached, ``here_step_s`` what
one image at 256 x 256 would take it.
"""

import argparse
import time
from pathlib import Path

import pandas as pd
import torch
from side_by_side import write
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from a2a.common.paths import repository
from a2a.methods.recipes import load_config
from a2a.networks.unet import UNet, UNetConfig
from a2a.training import PriorConfig
from a2a.training.numerics import CHOICES, arrange, autocast

PEAK_TFLOPS, FRACTION = 989.0, 0.35
SIDE, MODALITIES = 256, 5


def build(config: PriorConfig, checkpointing: bool) -> UNet:
    """The network of the recipe."""
    return UNet(UNetConfig(MODALITIES, **config.network.model_dump()), checkpointing)


def count(config: PriorConfig, checkpointing: bool, side: int = SIDE) -> tuple[int, int, int]:
    """Operations of a training step of one image, bytes it keeps in float32, bytes of weights; computes nothing."""
    kept: dict[int, int] = {}
    with torch.device("meta"):
        network, noisy = build(config, checkpointing), torch.empty(1, MODALITIES, side, side)
        own = {id(p) for p in network.parameters()}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            if id(tensor) not in own:
                kept[id(tensor)] = 4 * tensor.numel()
                alive.append(tensor)
            return tensor

        alive: list[torch.Tensor] = []
        with FlopCounterMode(display=False) as counter:
            with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
                loss = network(noisy, torch.zeros(1, dtype=torch.long)).square().mean()
            kept_bytes = sum(kept.values())
            loss.backward()
    return counter.get_total_flops(), kept_bytes, 4 * sum(p.numel() for p in network.parameters())


def speed_here(config: PriorConfig, side: int) -> tuple[float, str]:
    """Operations a second of one core in a training step of one small stack, and the numerics that were fastest."""
    network, noisy, found = build(config, False), torch.randn(1, MODALITIES, side, side), {}
    for choice in (CHOICES[0], CHOICES[-1]):
        arrange(network, choice)
        found[choice] = min(_seconds(network, noisy, choice) for _ in range(4))
    best = min(found, key=found.get)
    return count(config, False, side)[0] / found[best], best


def _seconds(network: nn.Module, noisy: Tensor, choice: str) -> float:
    """Processor time of a training step."""
    began = time.process_time()
    with autocast(choice, noisy.device):
        network(noisy, torch.zeros(1, dtype=torch.long)).float().square().mean().backward()
    return time.process_time() - began


def rows(config: PriorConfig, side: int) -> list[dict]:
    """One line for each number of GPUs, with and without checkpointing."""
    rate, numerics = speed_here(config, side)
    table = []
    for checkpointing in (False, True):
        flops, kept, weights = count(config, checkpointing)
        for gpus in (1, 4, 8):
            images, tflops = config.batch // gpus, FRACTION * PEAK_TFLOPS
            step = images * flops / (tflops * 1e12)
            line = {"checkpointing": checkpointing, "gpus": gpus, "images": images, "parameters": weights // 4}
            line |= {"tflop_per_image": flops / 1e12, "memory_gib": (5 * weights + images * kept / 2) / 2**30}
            line |= {"step_s": step, "days": config.steps * step / 86400, "assumed_tflops": tflops}
            line |= {"here_gflops": rate / 1e9, "here_numerics": numerics, "here_step_s": flops / rate}
            table.append({k: round(v, 3) if isinstance(v, float) else v for k, v in line.items()})
    return table


def main() -> None:
    """Read the command line, count, measure, and write the table with what made it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=64, help="of the stack that is computed here")
    parser.add_argument("--out", type=Path, help="CSV file; a JSON of what made it is written beside it")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = rows(load_config(repository("experiments", "priors", "any2all-paper.yaml")), options.side)
    print(pd.DataFrame(table).to_string(index=False))
    if options.out:
        write(options.out, "recipe", table)


if __name__ == "__main__":
    main()
