"""How often intervals of 95 % cover the mean: Student's and bootstrap ones, for few and for more subjects.

``python benchmarks/interval_coverage.py --out results/coverage.csv`` draws subjects from a normal distribution and
from a skewed one (log-normal), and counts.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from a2a.common.paths import repository
from a2a.evaluation.statistics import mean_interval

DRAWS = {"normal": stats.norm(), "skewed": stats.lognorm(0.5)}
SUBJECTS = (8, 21)


def bootstrapped(values: np.ndarray, method: str, rng: np.random.Generator) -> tuple[float, float]:
    """Return a bootstrap interval of the mean."""
    found = stats.bootstrap((values,), np.mean, n_resamples=999, method=method, rng=rng).confidence_interval
    return found.low, found.high


def main() -> None:
    """Count and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=4000)
    parser.add_argument("--out", type=Path, default=repository("results", "coverage.csv"))
    options = parser.parse_args()
    rows = []
    for (name, draw), subjects in ((pair, n) for pair in DRAWS.items() for n in SUBJECTS):
        rng = np.random.default_rng(0)
        sample = draw.rvs((options.trials, subjects), random_state=rng)
        for kind in ("student", "percentile", "BCa"):
            intervals = [mean_interval(d) if kind == "student" else bootstrapped(d, kind, rng) for d in sample]
            covered = np.mean([low <= draw.mean() <= high for low, high in intervals])
            rows.append({"subjects": subjects, "distribution": name, "interval": kind, "covered": round(covered, 3)})
            print(rows[-1], flush=True)
    pd.DataFrame(rows).to_csv(options.out, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
