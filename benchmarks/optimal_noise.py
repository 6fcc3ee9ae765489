r"""What ``eta="optimal"`` does to samples of a trained prior, with few evaluations.

A step takes the clean estimate for the truth, so that few steps make samples too alike; ``optimal`` draws what the
estimate does not know (`a2a.samplers.spread.noise_of_a_step`). CRPS says which of the two is better: it rewards an
honest spread and an exact mean alike::

    python benchmarks/optimal_noise.py weights/phantom-any2all-64.safetensors \
        --data runs/data/phantom-any2all-64-full --out results/optimal-noise.csv

Columns: ``prior``, ``split``, ``given``, ``modality``, ``evaluations``, ``eta``; ``crps`` (fair), ``ratio`` of spread
and skill, ``inside`` (share of the truth in the central interval of nominally 80 %), all over pixels where the true
stack is not black; ``psnr`` of the mean of the samples. MDS with levels of their own.
"""

import argparse
import os
from pathlib import Path

import pandas as pd
import torch
from one_evaluation import Question, questions, samples

from a2a.common.files import write_atomically
from a2a.data.store.read import SliceStore
from a2a.evaluation.calibration import coverage, fair_crps, spread_skill
from a2a.prior.prior import Prior

LEVEL, BLACK = 0.8, 0.05


def rows(prior: Prior, question: Question, evaluations: int, eta: float | str, count: int) -> list[dict]:
    """One row for each wanted modality."""
    made, truth, spec = samples(prior, question, evaluations, count, eta), question.truth, question.store.spec
    region = (truth.amax(dim=1) > BLACK).numpy()
    known = [table.set_index("modality") for table in (
        fair_crps(truth, made, spec, region), spread_skill(truth, made, spec, region),
        coverage(truth, made, spec, (LEVEL,), region),
    )]  # fmt: skip
    crps, spread, inside = (table.loc[list(question.wanted)] for table in known)
    measured = {"crps": crps["crps"], "ratio": spread["ratio"], "inside": inside["covered"]}
    table = pd.DataFrame(measured).round(5).reset_index()
    table["psnr"] = question.score(made.mean(dim=0)).round(3)
    return table.to_dict("records")


def main() -> None:
    """Read the command line, sample, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prior", type=Path, help="weights of a prior with levels of its own")
    parser.add_argument("--data", type=Path, required=True, help="the slice store that it was trained on")
    parser.add_argument("--split", default="val", choices=("val", "test"))
    parser.add_argument("--slices", type=int, default=12)
    parser.add_argument("--samples", type=int, default=9)
    parser.add_argument("--evaluations", type=int, action="append", help="by default 10")
    parser.add_argument("--out", type=Path, help="CSV file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["A2A_QUIET"] = "1"
    store, found = SliceStore.open(options.data), []
    prior = Prior.load(options.prior, store.spec)
    for question in questions(store, [options.split], options.slices):
        for evaluations in options.evaluations or [10]:
            for eta in (1.0, "optimal"):
                labels = {"prior": options.prior.stem, "split": options.split, "given": question.given}
                labels |= {"evaluations": evaluations, "eta": eta}
                found += [labels | row for row in rows(prior, question, evaluations, eta, options.samples)]
                print(pd.DataFrame(found[-len(question.wanted) :]).to_string(index=False, header=False), flush=True)
    if options.out:
        write_atomically(options.out, lambda p: pd.DataFrame(found).to_csv(p, index=False, lineterminator="\n"))


if __name__ == "__main__":
    main()
