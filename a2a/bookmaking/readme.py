"""What is computed in README.md and on the front page of the book: ``python -m a2a.bookmaking.readme --help``.

The picture shows what one prior makes of different observations of one test slice; the numbers come from ``results/``.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
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
PAGES = (("README.md",), ("book", "intro.md"))
HEAD = "T1 + y(FLAIR)"
MARKS = ("<!-- numbers: begin -->", "<!-- numbers: end -->")


@dataclass(frozen=True)
class Number:
    """A mean PSNR of Any2all, and that of a method without a prior on the same slices.

    Parameters
    ----------
    says
        The sentence; ``{ours}`` and ``{theirs}`` are the means in dB with half of their intervals, ``{slices}`` and
        ``{subjects}`` how many.
    command
        Measures it again.
    tables
        Names of the results tables.
    scenario, target
        What was given, and the modality in question.
    ours, theirs
        Names of the methods in the tables.
    """

    says: str
    command: str
    tables: tuple[str, str]
    scenario: str
    target: str
    ours: str
    theirs: str


NUMBERS = (
    Number(
        "**{ours} dB** for T2FLAIR from T1 and a quarter of its k-space, {slices} slices of {subjects} synthetic "
        "heads; least squares without a prior (SENSE) has {theirs} dB",
        "a2a bench experiments/phantom-any2all-64.yaml",
        ("phantom-any2all-64", "references"),
        "T1 + y(T2FLAIR)",
        "T2FLAIR",
        "any2all-mds",
        "tikhonov-sense",
    ),
    Number(
        "**{ours} dB** for CT from three MR contrasts, {slices} slices of {subjects} synthetic heads; boosted trees, "
        "which predict the mean, have {theirs} dB",
        "a2a bench experiments/phantom-any2all-64.yaml",
        ("phantom-any2all-64", "references"),
        "T1 + T2FLAIR + T2star",
        "CT",
        "any2all-mds-per-modality",
        "boosted-trees",
    ),
)


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


def sentence(number: Number, table: pd.DataFrame) -> str:
    """Return a number as an item of a Markdown list.

    Parameters
    ----------
    number
        What to look up.
    table
        As `a2a.benchmark.tables` returns it; means of several samples are left out.

    Raises
    ------
    InputError
        If a method was not measured, or not on as many slices as the other.
    """
    rows = table[(table.scenario == number.scenario) & (table.modality == number.target) & (table.metric == "psnr")]
    rows = rows[~rows.estimate.fillna("").str.startswith("mean")]
    told = {}
    for key, method in (("ours", number.ours), ("theirs", number.theirs)):
        found = rows[rows.method == method]
        if found.empty:
            raise InputError(f"{number.scenario}: the tables {', '.join(number.tables)} have no {method}.")
        told[key] = _with_interval(summary(found[["method", "metric", "subject", "value"]]).iloc[0])
        told[f"{key} on"] = (found.slices.iloc[0], found.subject.nunique())
    if told["ours on"] != told["theirs on"]:
        raise InputError(f"{number.scenario}: {number.ours} and {number.theirs} were not measured on the same slices.")
    slices, subjects = told["ours on"]
    said = number.says.format(ours=told["ours"], theirs=told["theirs"], slices=slices, subjects=subjects)
    return f"- {said}: `{number.command}`"


def of_a_head(table: pd.DataFrame, samples: int) -> str:
    """Return what a prior makes of a real head as an item of a Markdown list.

    Parameters
    ----------
    table
        ``results/open-ms-1mm-heads.csv``, as `a2a.benchmark.heads` writes it.
    samples
        How many of them the mean is of, see the JSON beside it.

    Raises
    ------
    InputError
        If a method was not measured.
    """
    found = table[table.given == HEAD].set_index(["method", "of"])["psnr"]
    rows = {"one": ("prior, 10 evaluations", "sample"), "mean": ("prior, 10 evaluations", "mean of samples"),
            "sense": ("SENSE", "estimate"), "trees": ("boosted trees", "estimate")}  # fmt: skip
    for row in rows.values():
        if row not in found.index:
            raise InputError(f"{HEAD}: the table of real heads has no {' of '.join(row)}.")
    one, mean, sense, trees = (f"{found[row]:.1f}" for row in rows.values())
    return (
        f"- **{mean} dB** for the FLAIR of a real head at 1 mm that the prior has not seen, from T1 and a quarter of "
        f"its simulated k-space, the mean of {samples} samples (a single one has {one} dB); SENSE has {sense} dB, "
        f"trees, which see T1 only, {trees} dB: `python -m a2a.benchmark.heads`"
    )


def _with_interval(row: pd.Series) -> str:
    """Write ``28.6 ± 0.4``, or the mean alone where one subject makes no interval."""
    reach = (row["high"] - row["low"]) / 2
    return f"{row['mean']:.1f}" + ("" if np.isnan(reach) else f" ± {reach:.1f}")


def numbers() -> str:
    """Return all of `NUMBERS`, and that of a real head, as a Markdown list."""
    files = [[repository("results", f"{name}.parquet") for name in number.tables] for number in NUMBERS]
    said = [sentence(number, tables(paths)) for number, paths in zip(NUMBERS, files, strict=True)]
    heads = repository("results", "open-ms-1mm-heads.csv")
    samples = json.loads(heads.with_suffix(".json").read_text(encoding="utf-8"))["samples"]
    return "\n".join([*said, of_a_head(pd.read_csv(heads), samples)])


def fill(text: str, made: str, name: str = "README.md") -> str:
    """Return a page with what stands between the marks exchanged.

    Parameters
    ----------
    text
        The page.
    made
        What stands between the marks then.
    name
        Of the page, for the message.

    Raises
    ------
    InputError
        If the marks are missing.
    """
    head, begin, rest = text.partition(MARKS[0])
    _, end, tail = rest.partition(MARKS[1])
    if not begin or not end:
        raise InputError(f"{name}: the numbers must stand between {MARKS[0]} and {MARKS[1]}.")
    return f"{head}{begin}\n\n{made}\n\n{end}{tail}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Fill in the numbers, and with ``--data`` draw the picture too."""
    what = "Fill in the numbers of README.md and of the front page of the book."
    parser = argparse.ArgumentParser(prog="python -m a2a.bookmaking.readme", description=what)
    parser.add_argument("--data", type=Path, help="phantom slice store (a2a prepare); draws the picture too")
    parser.add_argument("--prior", type=Path, default=repository("weights", "phantom-any2all-64.safetensors"))
    parser.add_argument("--subject", default="205", help="test subject of the picture")
    parser.add_argument("--slice", type=int, default=6, help="which of its slices")
    parser.add_argument("--steps", type=int, default=150, help="network evaluations of each completion")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    made = numbers()
    for page in (repository(*names) for names in PAGES):
        write_text(page, fill(page.read_text(encoding="utf-8"), made, page.name))
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
