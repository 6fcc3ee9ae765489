"""Tables of results that a reader can sort by a click on a heading."""

import pandas as pd
from pandas.io.formats.style import Styler

from a2a.figures.looks import look


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
