"""Whether the scan that samples recommend is the one that helps: predicted and measured, on test subjects.

For each of some observations and targets: `a2a.evaluation.next_scan.value_of_scans` predicts the share of the target's
variance that each scan would remove; then each scan is really given, and the share of the squared error of the mean of
the samples that it removes is measured::

    python benchmarks/next_scan.py --data runs/data/phantom-any2all-64-ci --out results/next-scan.csv

Columns: ``given, target, scan``; ``predicted`` with its 95 % interval over samples, ``low, high``; ``measured`` with
its 95 % interval over subjects, ``measured_low, measured_high``; ``spread`` and ``error``, root mean variance of the
samples and root mean squared error of their mean, before the scan, image units; ``subjects, samples, steps``.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from a2a.common.files import write_atomically
from a2a.common.paths import repository
from a2a.common.rng import spawn
from a2a.data.store.read import SliceStore
from a2a.evaluation.next_scan import share_removed, value_of_scans
from a2a.evaluation.statistics import mean_interval
from a2a.forward.observation import Observation
from a2a.prior.prior import Prior
from a2a.samplers import mds

CASES = [
    ("T1 + y(T2FLAIR)", "PET"),
    ("T1", "CT"),
    ("T1", "T2FLAIR"),
]
EVERY = 12  # slices of the test split of profile ci have 12 a subject: one of each
NOISE, REAL = 100, 200  # seeds


def compared(prior: Prior, truth: Tensor, given: str, target: str, samples: int, steps: int) -> pd.DataFrame:
    """Predict and measure one case.

    Parameters
    ----------
    prior
        The trained prior.
    truth
        A slice of each subject, ``(B, n, H, W)``.
    given, target
        What is given, and what matters.
    samples, steps
        Of MDS.
    """
    noise, goal = partial(spawn, NOISE, len(truth)), prior.spec.index(target)
    draw = partial(mds, prior, steps=steps, spacing=1.25, noise_levels=prior.noise_levels, batch=32)

    def error(observation: Observation) -> np.ndarray:
        """Squared error of the mean of infinitely many samples, for each subject, from a few."""
        done = draw(observation, samples=samples, generators=spawn(REAL, len(truth), samples)).samples[:, :, goal]
        of_mean = (done.mean(dim=0) - truth[:, goal]).square().mean(dim=(1, 2))
        return (of_mean - done.var(dim=0).mean(dim=(1, 2)) / samples).double().numpy()

    observation = Observation.simulate(truth, given, prior.spec, generators=noise())
    values = value_of_scans(draw, observation, target, samples=samples)
    before, rows = error(observation), []
    for scan in values.scans:
        really = share_removed(
            before, error(observation.joined(Observation.simulate(truth, scan, prior.spec, generators=noise())))
        )
        low, high = mean_interval(really)
        rows.append({"scan": scan, "measured": really.mean(), "measured_low": low, "measured_high": high})
    table = values.table()[["scan", "removed", "low", "high"]].rename(columns={"removed": "predicted"})
    sizes = {"spread": values.now.mean() ** 0.5, "error": before.mean() ** 0.5}
    counts = {"subjects": len(truth), "samples": samples, "steps": steps}
    return table.merge(pd.DataFrame(rows), on="scan").assign(given=given, target=target, **sizes, **counts)


def main() -> None:
    """Read the command line, compute all cases, and write the table after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prior", type=Path, default=repository("weights", "phantom-any2all-64.safetensors"))
    parser.add_argument("--data", type=Path, required=True, help="slice store")
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--out", type=Path, required=True, help="CSV file")
    options = parser.parse_args()
    split, prior, tables = SliceStore.open(options.data).split("test"), Prior.load(options.prior, bf16=True), []
    truth = torch.from_numpy(np.float32(split.images[split.thinned(EVERY)]))
    for given, target in CASES:
        tables.append(compared(prior, truth, given, target, options.samples, options.steps))
        table = pd.concat(tables)[["given", "target", *tables[0].columns.drop(["given", "target"])]]
        write_atomically(options.out, partial(table.round(4).to_csv, index=False, lineterminator="\n"))
        print(tables[-1].round(3).to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
