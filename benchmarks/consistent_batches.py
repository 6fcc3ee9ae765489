"""How long an epoch of PMM-Synth takes with batches of one kind and without (Figure 2d of Zhang et al. 2026).

Whole training steps of the small recipe (generator and discriminators), with batches of 16 slices of one kind and with
single slices, in turn; one thread::

    python benchmarks/consistent_batches.py --data runs/data/four-hospitals-64-full --out results/consistent-batches.csv

An epoch has as many steps as `a2a.training.batches.consistent_rows` cuts, or as there are slices. The paper reports
8724 s and 2078 s on an A100, a ratio of 4.2; a processor gains less from batches than a GPU.
"""

import argparse
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from side_by_side import in_turn

from a2a.common.files import write_atomically
from a2a.common.paths import repository
from a2a.data.store.read import SliceStore
from a2a.methods.recipes import load_config, objective
from a2a.training.loader import Steps
from a2a.training.state import State, build

BATCH = 16


class Training:
    """Steps of one recipe, one after the other."""

    def __init__(self, batches: str, batch: int, store: SliceStore) -> None:
        config = load_config(repository("experiments", "baselines", "pmmsynth-64.yaml"))
        config = type(config).model_validate(config.model_dump() | {"batches": batches, "batch": batch})
        self.objective, self.step = objective(config, store), 0
        self.state: State = build(self.objective)
        self.inputs = Steps(self.objective)
        counts = np.array(list(Counter(self.objective.keys).values()))
        self.steps = len(self.objective.keys) if batch == 1 else int((-(-counts // batch)).sum())

    def __call__(self) -> None:
        networks, tensors = self.state.networks, self.inputs[self.step]
        for name in networks:
            for other, frozen in networks.items():
                frozen.requires_grad_(other == name)
            self.objective.loss(name, networks, tensors).backward()
            self.state.optimisers[name].step()
            self.state.optimisers[name].zero_grad()
        self.step += 1


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--out", type=Path, help="CSV table")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    store = SliceStore.open(asked.data)
    runs = {"of one kind": Training("consistent", BATCH, store), "single": Training("shuffled", 1, store)}
    seconds = np.median(in_turn(list(runs.values()), asked.turns, warm=1), axis=0)
    table = pd.DataFrame(
        {"batches": list(runs), "steps": [run.steps for run in runs.values()], "seconds_a_step": seconds}
    )
    table["seconds_an_epoch"] = table["steps"] * table["seconds_a_step"]
    print(table.round(3).to_string(index=False))
    print(f"ratio {table.seconds_an_epoch[1] / table.seconds_an_epoch[0]:.2f}")
    if asked.out:
        write_atomically(asked.out, partial(table.round(4).to_csv, index=False, lineterminator="\n"))


if __name__ == "__main__":
    main()
