r"""What a prior's clean estimate knows at the noisiest times, beside what a linear estimate knows there.

The linear one is the conditional mean of a Gaussian with mean m and the leading principal components V of the training
slices, of variance :math:`\lambda`,

.. math:: m + V \,\mathrm{diag}\Bigl(\frac{\sqrt{\bar\alpha}\,\lambda}{\bar\alpha\lambda + 1 - \bar\alpha}\Bigr)
          V^\top (x_t - \sqrt{\bar\alpha}\, m) .

A network that is worse has not learned there what a table of averages knows, and its samples decide too little::

    python benchmarks/noisy_times.py weights/phantom-adni-64.safetensors \
        --data runs/data/phantom-adni-64-full --out results/noisy-times.csv

Columns: ``prior``, ``t``, mean squared errors on validation slices, image units: ``network``, ``linear``, ``mean`` (of
the mean training stack), and ``spread``, the variance of the network's estimates over that of the linear ones.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from a2a.common.files import write_atomically
from a2a.common.progress import progress
from a2a.common.rng import randn, spawn
from a2a.common.units import to_model
from a2a.data.store.read import SliceStore
from a2a.prior.prior import Prior

TIMES = (700, 750, 800, 850, 875, 900, 920, 940, 960, 970, 980, 990)
SLICES, COMPONENTS, BATCH = 48, 300, 8


class Linear:
    """The conditional mean of the Gaussian of some stacks `(N, n, H, W)`, model range."""

    def __init__(self, stacks: Tensor):
        rows = stacks.flatten(1)
        self.mean = rows.mean(dim=0)
        torch.manual_seed(0)
        _, values, self.vectors = torch.pca_lowrank(rows - self.mean, min(COMPONENTS, len(rows)), center=False)
        self.variances = values.square() / len(rows)

    def predict(self, x: Tensor, abar: float) -> Tensor:
        """Return the clean estimate of noisy stacks."""
        gain = abar**0.5 * self.variances / (abar * self.variances + 1 - abar)
        seen = (x.flatten(1) - abar**0.5 * self.mean) @ self.vectors
        return (self.mean + (gain * seen) @ self.vectors.T).reshape(x.shape)


def rows(prior: Prior, linear: Linear, clean: Tensor, name: str) -> list[dict]:
    """One row for each time."""
    table, noise = [], randn(clean.shape[1:], spawn(0, len(clean)))
    for t in progress(TIMES, name):
        x = prior.schedule.diffuse(clean, torch.full((len(clean),), t), noise)
        with torch.no_grad():
            found = torch.cat([prior.predict(part, t) for part in x.split(BATCH)])
        straight = linear.predict(x, prior.schedule.abar(t))
        answers = {"network": found, "linear": straight, "mean": linear.mean.reshape(clean.shape[1:])}
        errors = {key: float((value - clean).square().mean()) / 4 for key, value in answers.items()}
        table.append({"prior": name, "t": t} | errors | {"spread": float(found.var(0).sum() / straight.var(0).sum())})
    return table


def _stacks(images: np.ndarray) -> Tensor:
    return to_model(torch.from_numpy(np.array(images, dtype=np.float32)))


def main() -> None:
    """Read the command line, measure, and put the rows into the table in place of the prior's former ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prior", type=Path, help="weights (.safetensors)")
    parser.add_argument("--data", type=Path, required=True, help="the slice store that it was trained on")
    parser.add_argument("--name", help="name in the table (default: of the file)")
    parser.add_argument("--out", type=Path, required=True, help="CSV file")
    options = parser.parse_args()
    store, name = SliceStore.open(options.data), options.name or options.prior.stem
    prior, held_out = Prior.load(options.prior, store.spec), store.split("val").images
    chosen = np.linspace(0, len(held_out) - 1, min(SLICES, len(held_out))).round().astype(int)
    found = rows(prior, Linear(_stacks(store.split("train").images)), _stacks(held_out[chosen]), name)
    table = pd.DataFrame(found).round(6)
    if options.out.is_file():
        former = pd.read_csv(options.out)
        table = pd.concat([former[former["prior"] != name], table])
    write_atomically(options.out, lambda path: table.to_csv(path, index=False, lineterminator="\n"))


if __name__ == "__main__":
    main()
