"""Tables of results that a reader can sort by a click on a heading."""

import pandas as pd
from pandas.io.formats.style import Styler

from a2a.figures.looks import look, plain

_SAMPLES = {
    "psnr": ("PSNR (dB)", "{:.1f}"),
    "crps": ("CRPS", "{:.4f}"),
    "covered_80": ("in 80 %", "{:.2f}"),
    "rfd": ("rFD", "{:.0f}"),
}
"""Measures of several samples: what heads their column, and how they are written."""


def sortable_table(table: pd.DataFrame, caption: str) -> Styler:
    """Write a table of results for a page.

    Parameters
    ----------
    table
        One row for each line, as strings. Methods in a column ``method`` are called what figures call them, with
        their ``estimate`` behind a comma unless that is a single sample.
    caption
        What stands above it.
    """
    shown = table.drop(columns="estimate", errors="ignore")
    if "method" in table:
        estimates = table.get("estimate", pd.Series("single sample", table.index))
        ends = [f", {estimate}" if estimate != "single sample" else "" for estimate in estimates]
        shown["method"] = [look(method).label + end for method, end in zip(table["method"], ends, strict=True)]
    return shown.style.hide(axis="index").set_caption(caption).set_table_attributes('class="sortable"')


def samples_table(results: pd.DataFrame, caption: str) -> Styler:
    """Write what several samples say, beside one of them: too little spread flatters single samples, and not these.

    Parameters
    ----------
    results
        Long table, as `a2a.benchmark.tables` reads it, of methods with several samples: ``psnr`` of single ones and of
        their mean, ``crps``, ``covered_80``, and ``rfd`` of single ones. What is not among these is left out.
    caption
        What stands above it.
    """
    several = results["estimate"].fillna("")
    singly = ~several.str.startswith("mean")
    kept = results[(results["metric"].isin(_SAMPLES)) & (singly | results["metric"].eq("psnr"))]
    titles = kept["metric"].map({name: title for name, (title, _) in _SAMPLES.items()})
    ends = several[kept.index].where(~singly[kept.index], "").map(lambda end: f", {end}" if end else "")
    optimal = kept["settings"].fillna("").str.contains("optimal")
    rows = pd.DataFrame(
        {
            "made": kept["modality"].map(plain) + " from " + kept["scenario"].map(plain),
            "evaluations": kept["evaluations"].astype(int),
            "sampler": kept["method"].map(lambda name: look(name).label)
            + optimal.map({True: ", optimal noise", False: ""}),
            "what": titles + ends,
            "value": kept["value"],
        }
    )
    board = rows.groupby(["made", "evaluations", "sampler", "what"], sort=False)["value"].mean().unstack("what")
    forms = {title: form for title, form in _SAMPLES.values()}
    ordered = sorted(board, key=lambda what: list(forms).index(what.split(", ")[0]))
    shown = {what: board[what].map(forms[what.split(", ")[0]].format, na_action="ignore") for what in ordered}
    return sortable_table(board[[]].assign(**shown).reset_index(), caption)
