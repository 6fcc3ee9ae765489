"""The parts of README.md that are computed: ``python -m a2a.bookmaking.readme --help``.

The picture shows what one prior makes of different observations of one test slice; the table comes from ``results/``.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from a2a.benchmark import tables
from a2a.common.errors import InputError
from a2a.common.files import write_text
from a2a.common.paths import repository
from a2a.common.rng import spawn
from a2a.data.store.read import SliceStore
from a2a.evaluation.metrics import summary
from a2a.figures import Example, contact_sheet, idea_sheet
from a2a.forward.observation import Observation
from a2a.methods.interface import Any2all
from a2a.prior.prior import Prior

PICTURE = ("book", "_static", "any2all.png")
SCENARIOS = ("T1 + y(T2FLAIR)", "y(T1) + y(T2star)", "T2FLAIR + CT", "nothing")
MARKS = ("<!-- results: begin -->", "<!-- results: end -->")
TABLES = ("phantom-any2all-64", "references", "open-ms-64", "open-ms-references")
NOTHING = "No results yet."
METHODS = {
    "zero-filled": "zero-filled",
    "tikhonov-sense": "SENSE",
    "linear-regression": "regression",
    "boosted-trees": "trees",
    "any2all-mds": "MDS",
    "any2all-mds-cross-modal": "MDS cross-modal",
    "any2all-mds-per-modality": "MDS per modality",
    "any2all-mps": "MPS",
}


def draw_picture(
    prior: Prior, stack: torch.Tensor, scenarios: Sequence[str], path: Path, steps: int, seed: int
) -> None:
    """Complete one slice under several scenarios and write the sheet of `a2a.figures.idea_sheet` as a PNG file.

    Parameters
    ----------
    prior
        The trained prior.
    stack
        True stack `(n, H, W)` in image units.
    scenarios
        As a person writes them; a row each.
    path
        Ends with ``.png``.
    steps
        Network evaluations of MDS; a single sample is drawn.
    seed
        Of noise and sample.
    """
    examples = []
    for text in scenarios:
        observed = Observation.simulate(stack[None], text, prior.spec, generators=spawn(seed, 1))
        done = Any2all(prior, "mds", {"steps": steps}).complete(observed, 1, spawn(seed, 1))
        examples.append(Example(str(observed.scenario), observed.kinds, observed.adjoint[0], done.samples[0, 0]))
    contact_sheet(path, idea_sheet(examples, prior.spec), panel_inches=0.78, dpi=100)


def results_table(paths: Iterable[Path]) -> str:
    """Return mean PSNR and SSIM of all result tables, with half of their 95 % intervals, as Markdown.

    A row is a data set, a scenario and a target, on the same slices for all methods; rows without Any2all are left out.

    Parameters
    ----------
    paths
        Results tables (`a2a.benchmark.table`).
    """
    table, block = tables(paths), ["dataset", "scenario", "modality", "slices"]
    table = table[table.method.isin(METHODS) & table.metric.isin(["psnr", "ssim"])]
    if table.empty:
        return NOTHING
    several = table.estimate.fillna("").str.startswith("mean")
    table["column"] = table.method.map(METHODS) + several.map({True: ", mean", False: ""})
    cells = summary(table[[*block, "column", "metric", "subject", "value"]]).set_index([*block, "column", "metric"])
    said = {name: _with_interval(part.droplevel("metric"), name) for name, part in cells.groupby("metric")}
    text = (said["psnr"] + " / " + said["ssim"]).unstack("column")
    order = [column + end for column in METHODS.values() for end in ("", ", mean") if column + end in text]
    ours = [column for column in order if column.startswith(("MDS", "MPS"))]
    text = text.loc[text[ours].notna().any(axis=1), order].fillna("")
    text = text.reindex(
        [row for row in dict.fromkeys(map(tuple, table[block].values)) if row in text.index]
    ).reset_index()
    if text.empty:
        return NOTHING
    counts = table.groupby(block).subject.nunique()
    text["slices"] = [f"{row.slices} of {counts[tuple(row[:4])]}" for _, row in text.iterrows()]
    text = text.rename(columns={"modality": "target", "slices": "slices of subjects"})
    lines = [list(text.columns), ["---"] * len(text.columns), *text.values.tolist()]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _with_interval(rows: pd.DataFrame, metric: str) -> pd.Series:
    """Write ``28.6 ± 0.4``, or the mean alone where one subject makes no interval."""
    digits = {"psnr": 1, "ssim": 2}[metric]
    reach = ((rows["high"] - rows["low"]) / 2).map(lambda value: "" if np.isnan(value) else f" ± {value:.{digits}f}")
    return rows["mean"].map(f"{{:.{digits}f}}".format) + reach


def fill(text: str, table: str) -> str:
    """Return the README with its table exchanged for `table`.

    Raises
    ------
    InputError
        If the marks around the table are missing.
    """
    head, begin, rest = text.partition(MARKS[0])
    _, end, tail = rest.partition(MARKS[1])
    if not begin or not end:
        raise InputError(f"README.md: the table must stand between {MARKS[0]} and {MARKS[1]}.")
    return f"{head}{begin}\n\n{table}\n\n{end}{tail}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Fill the table, and with ``--data`` draw the picture too."""
    parser = argparse.ArgumentParser(prog="python -m a2a.bookmaking.readme", description="Fill the table of README.md.")
    parser.add_argument("--data", type=Path, help="phantom slice store (a2a prepare); draws the picture too")
    parser.add_argument("--prior", type=Path, default=repository("weights", "phantom-any2all-64.safetensors"))
    parser.add_argument("--subject", default="205", help="test subject of the picture")
    parser.add_argument("--slice", type=int, default=6, help="which of its slices")
    parser.add_argument("--steps", type=int, default=150, help="network evaluations of each completion")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    readme = repository("README.md")
    table = results_table([repository("results", f"{name}.parquet") for name in TABLES])
    write_text(readme, fill(readme.read_text(encoding="utf-8"), table))
    if options.data:
        prior, store = Prior.load(options.prior), SliceStore.open(options.data)
        test = store.split("test")
        stack = torch.from_numpy(np.float32(test.images[test.rows(options.subject)[options.slice]]))
        draw_picture(prior, stack, SCENARIOS, repository(*PICTURE), options.steps, options.seed)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        print(f"readme: {error}", file=sys.stderr)
        sys.exit(2)
