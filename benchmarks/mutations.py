# ruff: noqa: E501 - a mutation is a line
"""Do the tests notice a wrong line? Thirty lines of samplers, operators, statistics and store, each made wrong once.

Each mutation is made in a copy of the package, on which the tests named beside it run until the first failure::

    python benchmarks/mutations.py --out results/mutations.csv

A row says whether it was noticed (killed) or not (survived). It takes about ten minutes of one core.
"""

import argparse
import csv
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
LAWS, WEIGHT = "tests/samplers/test_laws.py", "tests/samplers/test_prior_weight.py"
CROSS = f"tests/samplers/test_cross_modal.py {LAWS}"
SENSE, STATS = "tests/forward/operators", "tests/evaluation/test_statistics.py"
OBSERVED, STORE = "tests/forward/test_observation.py", "tests/data/store tests/data/prepare/test_prepare.py"
SCHEDULE = "tests/prior/test_schedule.py"

MUTATIONS = [
    ("samplers/mds.py", "samples=copy_exact(observation, done.samples)", "samples=done.samples", LAWS),
    ("samplers/mds.py", "torch.where(self.data.missing, x0, guess)", "x0", CROSS),
    ("samplers/mds.py", "schedule.left_in(x, guess, t)", "schedule.left_in(x, x0, t)", LAWS),
    ("samplers/mps.py", "self.scale * (t - s) * gradient", "self.scale * gradient", "tests/samplers/test_norm_step.py"),
    ("samplers/mps.py", "guess.detach() + 2 * shift", "guess.detach() + shift", LAWS),
    ("samplers/mps.py", "(1 - abar) / abar**0.5 * gradient / 4", "(1 - abar) * gradient / 4", "tests/samplers/test_matched_step.py"),
    ("samplers/matched.py", "v, weight) / variance[:, None, None]", "v, weight)", LAWS),
    ("samplers/prior_weight.py", "(residual - expected) / trace", "residual / trace", WEIGHT),
    ("samplers/prior_weight.py", "noise / variance.clamp(min=1e-12)", "variance.clamp(min=1e-12)", WEIGHT),
    ("samplers/cross_modal.py", "covariance - gain @ covariance[:, clean]", "covariance", CROSS),
    ("samplers/reverse.py", "abar**0.5 * x0 + (1 - abar) ** 0.5 * draws.images()", "draws.images()", "tests/samplers/test_restarts.py"),
    ("samplers/draws.py", "draws.data(part), prior_weight", "0 * part.adjoint, prior_weight", "tests/samplers/test_family.py"),
    ("samplers/daps.py", "answered(part, to_image(x0), of_estimate)", "to_image(x0)", "tests/samplers/test_family.py"),
    ("samplers/pula.py", "(2 * self.gamma) ** 0.5", "self.gamma**0.5", "tests/samplers/test_family.py"),
    ("benchmark/measures.py", "region=head[rows]).assign", "region=None).assign", "tests/benchmark/test_measures.py"),
    ("samplers/noise_levels.py", "[0 if known else t for known in clean]", "t", "tests/samplers/test_noise_levels.py"),
    ("prior/schedule.py", "max(1 - abar - sigma**2, 0.0) ** 0.5", "(1 - abar) ** 0.5", SCHEDULE),
    ("prior/schedule.py", "(1 - b) / (1 - a)", "(1 - a) / (1 - b)", SCHEDULE),
    ("forward/operators/base.py", "torch.lerp(b, z, lam / (1 + lam))", "torch.lerp(b, z, lam)", SENSE),
    ("forward/operators/base.py", "z + solved(self.normal, b - image, lam)", "solved(self.normal, b - image, lam)", SENSE),
    ("forward/operators/sense.py", "self.sampled(super().noisy(", "(super().noisy(", OBSERVED),
    ("forward/operators/sense.py", ".double().square().sum()) / self.acceleration", ".double().square().sum())", SENSE),
    ("forward/operators/spectrum.py", "known = self.values.where(self.values > rounding, torch.inf)", "known = self.values", SENSE),
    ("forward/operators/stack.py", "block.same_as(self.blocks[g[0]])", "True", SENSE),
    ("forward/operators/solvers.py", "alive = alive & (rr > goal)", "alive = alive", SENSE),
    ("forward/observation.py", "(self.operator.normal(x) - self.adjoint) * inverse", "self.operator.normal(x) * inverse", OBSERVED),
    ("forward/observation.py", "torch.where(norm > 0, 1 / norm, 0.0)", "1 / norm", OBSERVED),
    ("forward/measured.py", "_PLAUSIBLE = (-1.0, 2.0)", "_PLAUSIBLE = (-1.5, 2.5)", OBSERVED),
    ("evaluation/statistics.py", "means[\"size\"].nunique() > 1", "False", STATS),
    ("evaluation/statistics.py", "FEWEST_FOR_A_TEST = 8", "FEWEST_FOR_A_TEST = 5", STATS + " tests/evaluation/test_comparison.py"),
    ("benchmark/run.py", "experiment.seed + NOISE_SEEDS[experiment.split]", "experiment.seed", "tests/benchmark/test_benchmark.py"),
    ("data/store/read.py", "self.subjects == str(subject)", "self.subjects != str(subject)", STORE),
    ("common/rng.py", "for s in range(samples) for i in ids", "for i in ids for s in range(samples)", LAWS),
    ("common/units.py", "(model + 1).mul_(0.5)", "(model + 1).mul_(0.5).clamp(0, 1)", LAWS),
]  # fmt: skip


def main() -> None:
    """Make each line wrong and write what the tests said."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "mutations.csv")
    parser.add_argument("--only", type=int, nargs="*", help="numbers of mutations, counted from 0")
    options = parser.parse_args()
    chosen = range(len(MUTATIONS)) if options.only is None else options.only
    rows = [row(*MUTATIONS[number]) for number in chosen]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with open(options.out, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([("file", "line", "made", "tests", "result"), *rows])


def row(name: str, line: str, made: str, tests: str) -> tuple[str, ...]:
    """Test one mutation in a copy of the package."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "a2a", Path(folder, "a2a"), ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(ROOT / "tests", Path(folder, "tests"), ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        for shared in ("weights", "book", "experiments", "data_cards", "results"):
            Path(folder, shared).symlink_to(ROOT / shared)
        path = Path(folder, "a2a", name)
        text = path.read_text(encoding="utf-8")
        if text.count(line) != 1:
            raise SystemExit(f"{name}: {line!r} stands there {text.count(line)} times, not once.")
        path.write_text(text.replace(line, made), encoding="utf-8")
        words = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests.split()]
        environment = os.environ | {"PYTHONPATH": folder, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    result = {0: "survived", 1: "killed"}.get(done.returncode, f"could not run: {done.stdout[-300:]}")
    print(f"{name}: {line} -> {made}: {result}", flush=True)
    return name, line, made, tests, result


if __name__ == "__main__":
    main()
