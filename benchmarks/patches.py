"""What folding pixels into patches costs in quality: networks for 128 x 128 that trained for equally long.

Patches of P x P pixels make a network P^2 times cheaper, so in the same time it takes P^2 as many steps. Each network
has the size of the shipped prior for 64 x 64 and begins with its weights (`a2a.networks.warm_start`), trains for as
many minutes of one core, and then completes test slices of the phantom by MDS with levels of their own::

    a2a prepare phantom-any2all --profile full --size 128 --out runs/data/phantom-any2all-128-full
    python benchmarks/patches.py --out results/patches.csv

Columns: ``patch``, ``minutes`` and ``steps`` of training, ``step_ms`` of one, ``evaluation_ms`` of the trained network
for one stack, ``modality``, ``psnr`` and ``ssim`` (means over the test subjects; single samples, T1 and T2star given),
``sharpness`` (energy above half the Nyquist frequency, over that of the truth).
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from side_by_side import forward, in_turn, write
from torch import nn

from a2a.common.paths import repository
from a2a.common.rng import spawn
from a2a.data.store.read import SliceStore
from a2a.evaluation.metrics import subject_table
from a2a.evaluation.sharpness import high_frequency_energy
from a2a.forward.observation import Observation
from a2a.methods.recipes import load_config
from a2a.prior.prior import Prior
from a2a.samplers import mds
from a2a.training import PriorObjective, train
from a2a.training.config import PriorConfig

GIVEN, EVALUATIONS, TIMED = "T1 + T2star", 10, 20


@dataclass(frozen=True, eq=False)
class Uncalibrated(PriorObjective):
    """Ends without the calibration, which completing from clean images does not use."""

    def finished(self, network: nn.Module, card: dict) -> Prior:
        """The network as it is."""
        return Prior(network, self.schedule, self.store.spec, self.store.size, card=card, predicts=self.config.predicts)


def configurations() -> Iterator[PriorConfig]:
    """The runs to compare."""
    recipe = load_config(repository("experiments", "priors", "phantom-any2all-128-first.yaml"))
    start = repository(*recipe.start.parts)
    for patch in (1, 2):
        change = {"network": recipe.network.model_copy(update={"patch": patch}), "start": start}
        yield recipe.model_copy(update=change | {"batch": 4, "checkpoint_every": 10**6, "precision": "bf16"})


def seconds_of_a_step(config: PriorConfig, store: SliceStore) -> float:
    """Processor time of a step: of a longer run over a shorter one, which are thrown away."""
    spent = []
    for steps in (2, 2 + TIMED):
        with tempfile.TemporaryDirectory() as folder:
            began = time.process_time()
            train(Uncalibrated(config, store), Path(folder, "run"), stop_after=steps)
            spent.append(time.process_time() - began)
    return (spent[1] - spent[0]) / TIMED


def trained(config: PriorConfig, store: SliceStore, minutes: float) -> tuple[Prior, dict[str, float]]:
    """A prior that trained for so long, and what that took."""
    step = seconds_of_a_step(config, store)
    steps = max(round(60 * minutes / step), 1)
    with tempfile.TemporaryDirectory() as folder:
        file = train(Uncalibrated(config.model_copy(update={"steps": steps}), store), Path(folder, "run"))
        prior = Prior.load(file)
    return prior, {"minutes": minutes, "steps": steps, "step_ms": round(1e3 * step, 1)}


def evaluation_ms(prior: Prior) -> float:
    """Median time of the network for one stack."""
    x, times = torch.rand(1, len(prior.spec), prior.size, prior.size), torch.full((1,), 500)
    return round(1e3 * float(np.median(in_turn([lambda: forward(prior.network, x, times)], repeats=7))), 1)


def quality(prior: Prior, store: SliceStore, every: int) -> pd.DataFrame:
    """Mean PSNR, SSIM and sharpness of what was missing in some test slices."""
    test = store.split("test")
    rows = test.thinned(every)
    truth = torch.from_numpy(np.float32(test.images[rows]))
    given = Observation.simulate(truth, GIVEN, store.spec)
    options = {"steps": EVALUATIONS, "noise_levels": "per-modality"}
    done = mds(prior, given, **options, generators=spawn(0, rows.tolist())).samples[0]
    missing = [name for name, kind in zip(store.spec.names, given.kinds, strict=True) if kind == "missing"]
    table = subject_table(truth, done, test.subjects[rows], store.spec, missing)
    wide = table.pivot_table("value", "modality", "metric")[["psnr", "ssim"]].loc[missing].round(3)
    for name in missing:
        real, made = truth[:, store.spec.index(name)], done[:, store.spec.index(name)]
        energies = [np.nansum(high_frequency_energy(image, real)) for image in (made, real)]
        wide.loc[name, "sharpness"] = round(float(energies[0] / energies[1]), 3)
    return wide.reset_index()


def main() -> None:
    """Read the command line, train, measure, and write the table with what made it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=repository("runs", "data", "phantom-any2all-128-full"))
    parser.add_argument("--minutes", type=float, default=4.0, help="of training, for each network")
    parser.add_argument("--every", type=int, default=7, help="complete each N-th slice of the test subjects")
    parser.add_argument("--out", type=Path, help="CSV file; a JSON of what made it is written beside it")
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["A2A_QUIET"] = "1"
    store, rows = SliceStore.open(options.data), []
    for config in configurations():
        prior, cost = trained(config, store, options.minutes)
        cost |= {"evaluation_ms": evaluation_ms(prior)}
        lines = quality(prior, store, options.every).to_dict("records")
        rows += [{"patch": config.network.patch} | cost | line for line in lines]
        print(pd.DataFrame(rows[-len(lines) :]).to_string(index=False), flush=True)
        if options.out:
            write(options.out, "patches", rows)


if __name__ == "__main__":
    main()
