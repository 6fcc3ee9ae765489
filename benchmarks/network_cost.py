"""What a training step and a forward pass of the network cost, by numerics and patch size, and beside diffusers.

Whole training steps (forward, backward, AdamW) and forward passes without gradient, each timed in turn with what it
is compared to, see ``side_by_side``; one thread::

    python benchmarks/network_cost.py --out results/network-cost.csv

Columns: ``part``, ``what`` (training step or forward pass), ``network`` and ``numerics`` of the thing and, as
``floor``, of what the ratio refers to; ``batch``, ``side``, ``parameters`` in millions, ``ms`` and ``floor_ms``
(medians, one core), ``ratio`` (median of the ratios of neighbours; ``ratio_low`` and ``ratio_high`` its quartiles,
``ratio_of_minima`` and ``ratio_of_sums`` are what they say), ``goal`` and ``met``.

The U-Net has the size of the shipped prior. The rows of `diffusers.UNet2DModel` need the extra ``bench``, see
``benchmarks/peers.py``: same widths, levels, attention, groups and time embedding, compared in each numerics and,
last, as users get them: a2a in the fastest numerics, which it finds by itself, and diffusers in float32, its default.
The part ``engines`` needs the extra ``onnx``.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

import torch
from peers import optional
from side_by_side import Pairs, in_turn, row, write
from torch import Tensor, nn

from a2a.forward.stack import StackSpec
from a2a.networks.plain import PlainConfig, PlainUNet
from a2a.networks.unet import UNet, UNetConfig
from a2a.prior.engine import OnnxPrior
from a2a.prior.linear import LinearEstimate
from a2a.prior.prior import Prior
from a2a.prior.schedule import NoiseSchedule
from a2a.training.numerics import CHOICES, arrange, autocast, fastest

MODALITIES = 5
CPU = torch.device("cpu")


class Plain(nn.Module):
    """diffusers' model with tensors in and out."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Predicted noise."""
        return self.model(x, t).sample


@dataclass(frozen=True)
class Job:
    """A network at work on stacks of one size.

    Parameters
    ----------
    name
        Of the network.
    make
        Builds it.
    numerics
        One of `a2a.training.numerics.CHOICES`.
    side, batch
        Of the stacks.
    """

    name: str
    make: Callable[[], nn.Module]
    numerics: str
    side: int = 64
    batch: int = 16

    def training(self) -> Callable[[], None]:
        """A function that takes one training step."""
        network = arrange(self.make(), self.numerics)
        optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4)
        noisy, times = self.input()

        def step() -> None:
            with autocast(self.numerics, CPU):
                loss = (network(noisy, times).float() - noisy).square().mean()
            loss.backward()
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

        return step

    def sampling(self) -> Callable[[], None]:
        """A function that makes one forward pass."""
        network = arrange(self.make(), self.numerics).eval()
        noisy, times = self.input()

        def predict() -> None:
            with torch.no_grad(), autocast(self.numerics, CPU):
                network(noisy, times)

        return predict

    def input(self) -> tuple[Tensor, Tensor]:
        """Noise, and times."""
        return torch.randn(self.batch, MODALITIES, self.side, self.side), torch.arange(self.batch) * 50


def ours(patch: int = 1) -> nn.Module:
    """The network of the shipped prior."""
    return UNet(UNetConfig(MODALITIES, patch=patch))


def theirs(diffusers: ModuleType) -> nn.Module:
    """The same sizes as diffusers builds them."""
    plain, attended = ["{}Block2D"] * 2, ["Attn{}Block2D"] * 2
    return Plain(
        diffusers.UNet2DModel(
            in_channels=MODALITIES,
            out_channels=MODALITIES,
            layers_per_block=1,
            block_out_channels=(32, 64, 64, 128),
            down_block_types=tuple(name.format("Down") for name in plain + attended),
            up_block_types=tuple(name.format("Up") for name in attended + plain),
            attention_head_dim=32,
            norm_num_groups=16,
            resnet_time_scale_shift="scale_shift",
        )
    )


def compare(what: str, jobs: list[Job], repeats: int, goal: str = "") -> list[dict]:
    """Time all jobs in turn; each is set against the first."""
    seconds = in_turn([job.training() if what == "training step" else job.sampling() for job in jobs], repeats, 1)
    table = []
    for job, column in zip(jobs[1:], seconds.T[1:], strict=True):
        sizes = {"batch": job.batch, "parameters": round(sum(p.numel() for p in job.make().parameters()) / 1e6, 2)}
        named = {"network": job.name, "numerics": job.numerics}
        floor = f"{jobs[0].name}, {jobs[0].numerics}, side {jobs[0].side}"
        label = f"{what}, {job.name}, {job.numerics}"
        line = row(label, floor, job.side, Pairs(seconds[:, 0].tolist(), column.tolist()), goal)
        table.append(line | named | sizes | {"what": what})
    return table


def numerics(repeats: int) -> list[dict]:
    """Each numerics against float32."""
    table = []
    for what, batch in (("training step", 8), ("forward pass", 8), ("forward pass", 1)):
        table += compare(what, [Job("a2a", ours, choice, batch=batch) for choice in CHOICES], repeats)
    return table


def found() -> str:
    """The numerics that a2a finds to be fastest, as at the start of a training run."""
    noisy, times = Job("a2a", ours, CHOICES[0], batch=8).input()
    return fastest({"network": ours()}, lambda trial: [trial["network"](noisy, times).float().square().mean()], CPU)


def patches(repeats: int) -> list[dict]:
    """128 x 128 in patches of two pixels, and plain, against 64 x 64."""
    best, sizes = found(), [("a2a", 64, 1), ("a2a, patch 2", 128, 2), ("a2a", 128, 1)]
    jobs = [Job(name, partial(ours, patch), best, side, 4) for name, side, patch in sizes]
    return compare("training step", jobs, repeats) + compare("forward pass", jobs, repeats)


def peers(repeats: int) -> list[dict]:
    """Training steps of diffusers in each numerics, and in its default against the fastest of a2a."""
    if not (diffusers := optional("diffusers")):
        return []
    other, best, table = partial(theirs, diffusers), found(), []
    pairs = [(choice, choice) for choice in CHOICES] + [(best, CHOICES[0])]
    for mine, its in pairs:
        pair = [Job("a2a", ours, mine, batch=8), Job("diffusers", other, its, batch=8)]
        table += compare("training step", pair, repeats, ">= 1.3")
    return table


def engines(repeats: int) -> list[dict]:
    """Evaluations of 192 x 224 pixels by a plain network: PyTorch as it is, channels last, ONNX Runtime."""
    pooled = LinearEstimate(torch.full((4, 1, 1), 0.4), (0.01 + 0.03 * torch.eye(4))[:, :, None, None])
    names, mask = StackSpec.of("T1", "T1POST", "T2", "FLAIR"), torch.ones(224, 224, dtype=torch.bool)
    mask[:24], mask[200:] = False, False  # and 8 more on both sides are looked at
    priors = [
        Prior(PlainUNet(PlainConfig(4)).eval().to(memory_format=layout), NoiseSchedule(), names, 224,
              predicts="clean", linear=pooled)
        for layout in (torch.contiguous_format, torch.channels_last)
    ]  # fmt: skip
    seen = [prior.within(mask) for prior in priors] + [OnnxPrior.of(priors[0]).within(mask)]
    noisy, labels = torch.randn(4, 4, 224, 224), ("float32", "float32 channels_last", "float32 ONNX Runtime")
    with torch.no_grad():
        seconds = in_turn([partial(each.predict, noisy, 500) for each in seen], repeats, 1)
    sizes = {"batch": 4, "parameters": round(sum(p.numel() for p in priors[0].network.parameters()) / 1e6, 2)}
    table = []
    for label, column in zip(labels[1:], seconds.T[1:], strict=True):
        named = {"network": "plain, 192 x 224", "numerics": label, "what": "evaluation"}
        floor = "plain, 192 x 224, float32"
        line = row(f"evaluation, {label}", floor, 224, Pairs(seconds[:, 0].tolist(), column.tolist()), "")
        table.append(line | named | sizes)
    return table


PARTS = {"numerics": numerics, "patches": patches, "diffusers": peers, "engines": engines}


def main() -> None:
    """Read the command line, measure, and write the table with what made it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what to measure (anew)")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--out", type=Path, help="CSV file; a JSON of what made it is written beside it")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for part in options.parts:
        rows = PARTS[part](options.repeats)
        if options.out and rows:
            write(options.out, part, rows)


if __name__ == "__main__":
    main()
