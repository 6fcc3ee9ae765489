"""Where a figure comes from, in a line below it: profile, data, weights, commit, device."""

import textwrap
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go

from a2a.common.errors import InputError
from a2a.common.provenance import commit, machine
from a2a.figures import theme

_LINE, _LETTER, _AIR = 15, 5.0, 5
_NEEDED = ("dataset", "slices", "evaluations", "method", "weights", "commit", "device", "finished")


def sourced(figure: go.Figure, source: str) -> go.Figure:
    """Write a line below a figure, which is changed in place and returned.

    Parameters
    ----------
    figure
        As from any function of this package.
    source
        As from `table_source` or `live_source`; wrapped to the width of the figure.
    """
    lines = textwrap.wrap(source, round(figure.layout.width / _LETTER))
    room = _LINE * len(lines) + 4 + _AIR
    bottom = figure.layout.margin.b if figure.layout.margin.b is not None else theme.template().layout.margin.b
    figure.update_layout(height=figure.layout.height + room, margin={"b": bottom + room})
    look = {"font": {"size": 10, "color": theme.MUTED}, "xref": "container", "x": 0.006, "xanchor": "left"}
    place = {"yref": "container", "y": (room - _AIR) / figure.layout.height, "yanchor": "top"}
    figure.update_layout(title=look | place | {"text": "<br>".join(lines)})
    return figure


def table_source(rows: pd.DataFrame) -> str:
    """Say where rows of a results table come from.

    Parameters
    ----------
    rows
        All columns, as from `a2a.benchmark.table.read_table`, of what is drawn.

    Raises
    ------
    InputError
        If a column is missing or there are no rows.
    """
    if missing := [name for name in _NEEDED if name not in rows]:
        raise InputError(f"table_source needs rows with the column {missing[0]!r}.")
    if rows.empty:
        raise InputError("table_source: there are no rows.")
    said = {name: ", ".join(dict.fromkeys(rows[name].dropna().astype(str))) for name in ("dataset", "device")}
    own = rows.loc[rows["method"].str.startswith("any2all"), "evaluations"]
    size = f"{_span(rows['slices'])} slices" + (f", {_span(own)} evaluations of Any2all" if own.notna().any() else "")
    weights = rows.dropna(subset="weights").groupby("method", sort=False)["weights"].first()
    mine = [digest[:8] for method, digest in weights.items() if method.startswith("any2all")]
    others = weights.nunique() - len(set(mine))
    digests = ", ".join(dict.fromkeys(mine)) + (f" + {others} more" if mine and others else f"{others}" * bool(others))
    date = f"{rows['finished'].max():%Y-%m-%d}"
    commits = list(dict.fromkeys(rows.sort_values("finished")["commit"].dropna()))
    made_by = commits[0] if len(commits) == 1 else f"{commits[0]} to {commits[-1]}"
    parts = f"{said['dataset']}, {size}", f"weights {digests}", f"commit {made_by}"
    return " · ".join(("Measured: " + parts[0], *parts[1:], said["device"], date))


def _span(counts: pd.Series) -> str:
    """Write a number, or the least and the largest of several."""
    return " to ".join(dict.fromkeys(f"{count:.0f}" for count in (counts.min(), counts.max())))


def live_source(profile: str, dataset: str, digest: str, root: Path) -> str:
    """Say where a figure comes from that was computed just now.

    Parameters
    ----------
    profile
        Of the chapter.
    dataset
        Such as ``"phantom-any2all/ci"``.
    digest
        SHA-256 of the weights.
    root
        Of the repository, for the commit.
    """
    parts = f"profile {profile}", f"data {dataset}", f"weights {digest[:8]}", f"commit {commit(root)}"
    return " · ".join(("Made on this page: " + parts[0], *parts[1:], str(machine()["device"])))
