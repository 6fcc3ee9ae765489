"""What a step of a sampler costs beside its network, and beside deepinv's.

F is one forward pass of the network, G one forward pass with a vector-Jacobian product, S one solve of the
data-consistency problem. Each is timed in turn with what is compared to it, see ``side_by_side``; one thread::

    MALLOC_TRIM_THRESHOLD_=1000000000 MALLOC_MMAP_THRESHOLD_=1000000000 \\
        python benchmarks/sampler_cost.py --out results/sampler-cost.csv

With its defaults glibc gives memory back after each layer and takes it anew, which makes F longer and uneven.

The solve of a2a is exact, so it has no larger residual to offer: of deepinv's the goal is asked at 1e-6, the smallest
that it reaches in float32, and the rows at 1e-3 show what it saves by stopping early.

Columns: ``part``, ``what``, ``floor`` (what the ratio refers to), ``side`` of the images, ``ms`` and ``floor_ms``
(medians, one core), ``ratio`` (median of the ratios of neighbours; ``ratio_low`` and ``ratio_high`` its quartiles,
``ratio_of_minima`` and ``ratio_of_sums`` are what they say), ``turns``, ``goal`` and ``met``; of solves the residuals;
of ``peak memory`` the growth of the resident memory in MiB in place of milliseconds, of a process of its own each:
once with MALLOC_MMAP_THRESHOLD_=1000000, which gives back at once what is freed, so that it is what the sampler holds,
and once with glibc as it is, which keeps what is freed and often does not find it again.

The prior is the shipped one, given T1 and k-space of T2FLAIR of the phantom; the solve of a Poisson-disc mask takes
more iterations at some times than at others, ``ratio_of_sums`` counts them all. Rows of deepinv need the extra
``bench``, see ``benchmarks/peers.py``: its complex images are two channels, so the network has two, with random
weights, and a2a completes two modalities with it; ``small`` is one of 0.9 M parameters.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from peers import fewest_iterations, multi_coil, optional, peer_steps, two_channels
from side_by_side import Bf16, Pairs, forward, forward_and_vjp, in_turn, judged, race, row, steps_of, write
from torch import Tensor, nn

from a2a.common.paths import repository
from a2a.common.rng import generator
from a2a.data.phantom import PhantomConfig, generate_subject, stack_slices, stack_spec
from a2a.forward.observation import Observation
from a2a.forward.operators import CartesianSense
from a2a.forward.stack import StackSpec
from a2a.forward.undersampling import Undersampling
from a2a.networks.unet import UNet, UNetConfig
from a2a.prior.calibration import Calibration
from a2a.prior.frequency_bands import white
from a2a.prior.prior import Prior
from a2a.prior.schedule import NoiseSchedule
from a2a.samplers import mds, mps
from a2a.training.numerics import arrange

STACK = stack_spec(3.0)
PAIR = StackSpec.of("T1", "T2FLAIR")
GIVEN = "T1 + y(T2FLAIR)"
NUMERICS = "float32 channels_last"  # deepinv's images come in this layout, so all networks have it
STEPS = 4  # of one turn
SMALL = {"multipliers": (1, 2, 2), "attention": ()}
PEERS = {"small network": (SMALL, False), "shipped network": ({}, False), "shipped network in bf16": ({}, True)}
MASKS = {
    "equispaced lines": Undersampling(),
    "equispaced lines and calibration": Undersampling(acs=16),
    "random lines": Undersampling(pattern="random"),
    "Poisson disc (CG)": Undersampling(pattern="poisson", acs=16),
}


def shipped_prior(side: int) -> Prior:
    """The shipped prior, used on images of any side."""
    prior = Prior.load(repository("weights", "phantom-any2all-64.safetensors"))
    arrange(prior.network, NUMERICS)
    times = prior.calibration.times
    return replace(prior, size=side, calibration=_independent(side, times, [prior.variance(t).tolist() for t in times]))


def _independent(side: int, times: tuple[int, ...], variances: list) -> Calibration:
    """Errors that are independent between pixels and modalities, with the variances of each time."""
    return Calibration(times, torch.stack([white(variance, side, side) for variance in variances]))


def pair_prior(side: int, size: dict, bf16: bool = False) -> Prior:
    """A prior of two modalities with random weights and a made-up calibration."""
    torch.manual_seed(0)
    network = UNet(UNetConfig(2, **size)).eval().requires_grad_(False)
    for p in network.parameters():
        p.copy_(p if p.abs().sum() else 0.02 * torch.randn_like(p))
    arrange(network, NUMERICS)
    known = _independent(side, (0, 999), [[0.01, 0.01]] * 2)
    return Prior(Bf16(network) if bf16 else network, NoiseSchedule(), PAIR, side, known, predicts="velocity")


def observe(spec: StackSpec, side: int, sampling: Undersampling, items: int = 1) -> Observation:
    """T1 and measured T2FLAIR of slices of the phantom."""
    planes = torch.from_numpy(stack_slices(generate_subject(PhantomConfig(size=64, dz=4.0), 0), 12, 3.0))
    channels = [STACK.index(name) for name in spec.names]
    return Observation.simulate(_resized(planes[4:, channels][:items], side), GIVEN, spec, sampling)


def _resized(stacks: Tensor, side: int) -> Tensor:
    return nn.functional.interpolate(stacks, size=(side, side), mode="bilinear")


def sampler_rows(sides: list[int], rounds: int) -> list[dict]:
    """Steps of MDS over F, and of MPS over G."""
    table = []
    for side in sides:
        prior, runs = shipped_prior(side), {}
        for (name, sampling), samples in product(MASKS.items(), (1, 4) if side < 256 else (1,)):
            goal = "<= 1.25" if sampling.pattern == "poisson" else "<= 1.03"
            given, words = observe(STACK, side, sampling), f", {samples} samples" if samples > 1 else ""
            runs[f"MDS, {name}{words}", "F", goal] = steps_of(mds, prior, given, forward, samples=samples)
        given = observe(STACK, side, Undersampling())
        for options in ({"cg_steps": 1}, {"cg_steps": 3}, {"guidance": "norm"}):
            name, value = next(iter(options.items()))
            goal = "" if value == 3 else "<= 1.05"
            runs[f"MPS, {name} {value}", "G", goal] = steps_of(mps, prior, given, forward_and_vjp, **options)
        laps = race(runs, rounds, STEPS)
        table += [row(what, floor, side, laps[what, floor, goal], goal) for what, floor, goal in runs]
    return table


def peer_rows(deepinv: ModuleType, sides: list[int], rounds: int) -> list[dict]:
    """MDS beside DiffPIR and MPS beside DPS, each over its own floor; then one over the other."""
    table = []
    for side, (network, (size, bf16)) in product(sides, PEERS.items()):
        prior, given = pair_prior(side, size, bf16), observe(PAIR, side, Undersampling())
        runs = {
            "MDS": steps_of(mds, prior, given, forward),
            "deepinv DiffPIR": peer_steps(deepinv, "DiffPIR", prior, given, forward),
            "MPS": steps_of(mps, prior, given, forward_and_vjp),
            "deepinv DPS": peer_steps(deepinv, "DPS", prior, given, forward_and_vjp),
        }
        laps = race(runs, rounds, STEPS)
        for ours, theirs, floor, goal in (("MDS", "deepinv DiffPIR", "F", ">= 2.5"), ("MPS", "deepinv DPS", "G", "")):
            table += [row(f"{name}, {network}", floor, side, laps[name]) for name in (ours, theirs)]
            both = Pairs(laps[ours].times, laps[theirs].times)
            table.append(row(f"{theirs}, {network}", f"step of {ours}", side, both, goal))
    return table


def solve_rows(sides: list[int], repeats: int) -> list[dict]:
    """The exact solve beside deepinv's ``prox_l2`` with as few iterations as meet a residual."""
    table = []
    for side in sides:
        given = observe(PAIR, side, Undersampling())
        operator, b, y = given.operator.blocks[1], given.adjoint[:, 1], two_channels(given.data[1])
        physics = multi_coil(operator)
        z = b + 0.1 * torch.randn(b.shape, generator=generator(2))
        z2 = torch.stack([z, torch.zeros_like(z)], dim=1)
        for lam, goal in product((1.0, 0.01), (1e-3, 1e-6)):
            count, met = fewest_iterations(physics, z2, y, lam, goal)
            ours = partial(_twenty, operator, z, b, lam)
            theirs = partial(physics.prox_l2, z2, y, 1 / lam, solver="CG", max_iter=count, tol=1e-12)
            pairs = Pairs(*(in_turn([ours, theirs], repeats) / [20, 1]).T.tolist())
            residuals = {"residual": f"{_residual(operator, z, b, lam):.1e}", "peer_residual": f"{met:.1e}"}
            name = f"deepinv prox_l2, lam {lam:g}, {count} iterations to {goal:g}"
            table.append(row(name, "S", side, pairs, ">= 100" if goal < 1e-3 else "", **residuals))
    return table


def _twenty(operator: CartesianSense, z: Tensor, b: Tensor, lam: float) -> None:
    """Twenty solves: one is too short for the clock."""
    for _ in range(20):
        operator.prox(z, b, lam)


def _residual(operator: CartesianSense, z: Tensor, b: Tensor, lam: float) -> float:
    """Relative residual of the normal equations, evaluated in double precision."""
    x, right = operator.prox(z, b, lam).double(), b.double() + lam * z.double()
    return float((operator.normal(x) + lam * x - right).norm() / right.norm())


def batch_rows(side: int, repeats: int) -> list[dict]:
    """Four samples of four stacks in one batch, beside sixteen rows one by one."""
    prior, given = shipped_prior(side), observe(STACK, side, Undersampling(), items=4)
    table = []
    for name, sampler, steps in (("MDS", mds, 8), ("MPS", mps, 4)):
        calls = [lambda b=b, f=sampler, n=steps: f(prior, given, samples=4, steps=n, batch=b) for b in (1, 16)]
        pairs = Pairs(*(in_turn(calls, repeats, warm=1) / (16 * steps)).T.tolist())
        table.append(row(f"{name}, a row's step in a batch of 16 (4 samples of 4 stacks)", "alone", side, pairs))
    return table


def memory_rows(side: int) -> list[dict]:
    """Peak memory of short and long runs, each in a process of its own: where freed memory goes back, and as it is."""
    runs = (("mds", 12, "<= 1.1", ()), ("mps", 3, "<= 2.6", ()), ("mps", 12, "<= 2.6", ()))
    runs = (*runs, ("mps", 3, "<= 2.6", ("--checkpointing",)))
    return [line for back in (True, False) for line in _memory_lines(side, runs, back)]


def _memory_lines(side: int, runs: tuple, back: bool) -> list[dict]:
    """Lines of `runs` with glibc told to give freed memory back at once, or as it is."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    environment |= {"MALLOC_MMAP_THRESHOLD_": "1000000"} if back else {}

    def grown(sampler: str, steps: int, *how: str) -> float:
        words = [sys.executable, __file__, "--peak", sampler, "--sides", str(side), "--steps", str(steps), *how]
        peaks = [subprocess.run(words, capture_output=True, text=True, check=True, env=environment) for _ in range(3)]
        return float(np.median([float(done.stdout.split()[-1]) for done in peaks]))

    base, lines = grown("mds", 3), []
    for sampler, steps, goal, how in runs:
        peak = grown(sampler, steps, *how)
        name = f"peak memory of {sampler.upper()}, {steps} steps" + (", checkpointing" if how else "")
        line = {"what": name + ("" if back else ", glibc as it is"), "floor": "peak memory of MDS, 3 steps"}
        figures = {"side": side, "floor_ms": base, "ms": peak, "ratio": round(peak / base, 3), "turns": 3}
        lines.append(judged(line | figures, goal))
    return lines


def peak_mib(sampler: str, side: int, steps: int, checkpointing: bool) -> float:
    """Growth of this process's resident memory while it samples one stack."""
    prior = shipped_prior(side)
    prior.network.checkpointing = checkpointing
    given = Observation.simulate(torch.rand(1, len(STACK), side, side), GIVEN, STACK)
    given.residual_norm2(given.adjoint)  # what is made once, however many steps there are
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmHWM")
    {"mds": mds, "mps": mps}[sampler](prior, given, steps=steps)
    return _status("VmHWM") - before


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def with_deepinv(rows: Callable[..., list[dict]]) -> Callable[..., list[dict]]:
    """A part that is empty where deepinv is not installed."""

    def part(sides: list[int], rounds: int) -> list[dict]:
        deepinv = optional("deepinv")
        return rows(deepinv, [side for side in sides if side > 64], rounds) if deepinv else []

    return part


PARTS = {
    "steps": sampler_rows,
    "batches": lambda sides, rounds: batch_rows(min(sides), rounds),
    "memory": lambda sides, _: memory_rows(max(sides)),
    "deepinv steps": with_deepinv(peer_rows),
    "deepinv solves": with_deepinv(lambda _, sides, rounds: solve_rows(sides, 3 * rounds)),
}


def main() -> None:
    """Read the command line, measure, and write the table with what made it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what to measure (anew)")
    parser.add_argument("--sides", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--rounds", type=int, default=5, help="turns of each sampler, of several steps each")
    parser.add_argument("--peak", choices=("mds", "mps"), help="print only the peak memory of one run, in MiB")
    parser.add_argument("--steps", type=int, default=3, help="of the run of --peak")
    parser.add_argument("--checkpointing", action="store_true", help="of the network in the run of --peak")
    parser.add_argument("--out", type=Path, help="CSV file; a JSON of what made it is written beside it")
    options = parser.parse_args()
    os.environ["A2A_QUIET"] = "1"
    torch.set_num_threads(1)
    if options.peak:
        print(peak_mib(options.peak, options.sides[0], options.steps, options.checkpointing))
        return
    for part in options.parts:
        rows = PARTS[part](options.sides, options.rounds)
        if options.out and rows:
            write(options.out, part, rows)


if __name__ == "__main__":
    main()
