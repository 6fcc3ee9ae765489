"""Timing two things side by side on a machine that others use too.

What is compared runs in turn, call by call, so that a busy minute slows all alike, and the clock is the processor
time of this process with one thread, which waiting for a core does not lengthen. What still varies (caches, a shared
memory bus) is why every figure is a median of many, with the minimum beside it.
"""

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from a2a.common.files import write_atomically, write_json
from a2a.common.paths import repository
from a2a.common.provenance import commit, machine
from a2a.forward.observation import Observation
from a2a.prior.prior import Prior


@dataclass
class Pairs:
    """Times of a thing and of its floor, taken in turn.

    Parameters
    ----------
    floors, times
        Seconds of one core, one pair for each turn.
    """

    floors: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        """Medians in milliseconds; median and quartiles of the ratios, ratio of the minima, and of the sums."""
        count = min(len(self.floors), len(self.times))
        floors, times = np.asarray(self.floors[:count]), np.asarray(self.times[:count])
        low, middle, high = np.quantile(times / floors, (0.25, 0.5, 0.75))
        return {
            "floor_ms": 1e3 * np.median(floors),
            "ms": 1e3 * np.median(times),
            "ratio": middle,
            "ratio_low": low,
            "ratio_high": high,
            "ratio_of_minima": times.min() / floors.min(),
            "ratio_of_sums": times.sum() / floors.sum(),
            "turns": count,
        }


class Laps(Pairs):
    """Times the steps of a loop that is not ours to change, with the floor measured before each."""

    def lap(self, floor: Callable[[], object]) -> None:
        """End one step, measure the floor, and begin the next step."""
        began = time.process_time()
        if self._since is not None:
            self.times.append(began - self._since)
        floor()
        self._since = time.process_time()
        self.floors.append(self._since - began)

    def drop(self) -> None:
        """Forget the step that was begun: a loop's last one ends with other work."""
        self.floors.pop()
        self._since = None

    _since: float | None = None


def in_turn(calls: Sequence[Callable[[], object]], repeats: int, warm: int = 2) -> np.ndarray:
    """Seconds of one core of each call, ``(repeats, calls)``, the calls taking turns in an order that rotates."""
    for call in calls:
        for _ in range(warm):
            call()
    seconds = np.empty((repeats, len(calls)))
    for repeat in range(repeats):
        for place in range(len(calls)):
            number = (place + repeat) % len(calls)
            began = time.process_time()
            calls[number]()
            seconds[repeat, number] = time.process_time() - began
    return seconds


def forward(network: nn.Module, x: Tensor, times: Tensor) -> None:
    """F: the network without gradient."""
    with torch.no_grad():
        network(x, times)


def forward_and_vjp(network: nn.Module, x: Tensor, times: Tensor) -> None:
    """G: the network and the product of its Jacobian with one stack."""
    x = x.detach().requires_grad_(True)
    torch.autograd.grad(network(x, times), x, x.detach())


class Bf16(nn.Module):
    """A network under bf16 autocast, as `a2a.prior.prior.Prior` runs it on machines where that is faster."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network, self.config = network, network.config

    def forward(self, x: Tensor, times: Tensor) -> Tensor:
        """Return what the network answers, in float32."""
        with torch.autocast(x.device.type, torch.bfloat16):
            return self.network(x, times).float()


class Lapped:
    """A prior that laps before each evaluation: all that the sampler's loop does is timed, its start is not."""

    def __init__(self, prior: Prior, laps: Laps, floor: Callable[..., None]):
        self.spec, self.schedule, self.like = prior.spec, prior.schedule, prior.like
        self.variance, self.clamp = prior.variance, prior.clamp
        self._prior, self._laps, self._floor = prior, laps, floor

    def predict(self, x: Tensor, t: int) -> Tensor:
        """Lap, then predict."""
        times = torch.full((len(x),), t)
        self._laps.lap(lambda: self._floor(self._prior.network, x.detach(), times))
        return self._prior.predict(x, t)


def steps_of(sampler: Callable, prior: Prior, given: Observation, floor: Callable, **options: object) -> Callable:
    """A function that runs some steps of a sampler and adds their times to laps."""

    def run(laps: Laps, steps: int) -> None:
        sampler(Lapped(prior, laps, floor), given, steps=steps + 1, **options)
        laps.drop()

    return run


def race(runs: dict[object, Callable], rounds: int, steps: int) -> dict[object, Laps]:
    """Let samplers take turns, some steps each; the first round only warms up."""
    for run in runs.values():
        run(Laps(), steps)
    laps = {name: Laps() for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            run(laps[name], steps)
    return laps


def row(what: str, floor: str, side: int, pairs: Pairs, goal: str = "", **more: object) -> dict:
    """A line of the table; a goal is written as "<= 1.03", and asked of the ratio."""
    figures = {key: round(value, 4) for key, value in pairs.figures().items()}
    return judged({"what": what, "floor": floor, "side": side} | figures, goal) | more


def judged(line: dict, goal: str) -> dict:
    """Say in a line of the table whether its ratio meets the goal."""
    met = ""
    if goal:
        sign, bound = goal.split()
        met = line["ratio"] <= float(bound) if sign == "<=" else line["ratio"] >= float(bound)
    print(f"{line['what']}, {line['side']}: {line['ratio']} {line['floor']} {goal} {met}", flush=True)
    return line | {"goal": goal, "met": met}


def write(out: Path, part: str, rows: list[dict]) -> None:
    """Put the rows of a part into a table, in place of those of its sides, and into its JSON what made them."""
    table, made = pd.DataFrame([{"part": part} | line for line in rows]), {}
    measured = _named(table)
    if out.is_file():
        former = pd.read_csv(out, keep_default_na=False)
        table = pd.concat([former[~_named(former).isin(measured)], table])
        table = table.sort_values(["part", *({"side"} & set(table))], kind="stable")
        made = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    record = machine() | {"commit": commit(repository()), "load": round(os.getloadavg()[2], 1)}
    made |= dict.fromkeys(measured, record)
    write_atomically(out, lambda path: table.to_csv(path, index=False, lineterminator="\n"))
    write_json(out.with_suffix(".json"), made)


def _named(table: pd.DataFrame) -> pd.Series:
    """The part of each row, and the side of the images where there is one: what is measured at once."""
    return table["part"] + (" at " + table["side"].astype(str) if "side" in table else "")
