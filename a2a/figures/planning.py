"""What scans were predicted to be worth beside what they were worth. Chapter "All 108 observations"."""

from collections.abc import Iterator

import pandas as pd
import plotly.graph_objects as go

from a2a.common.errors import InputError
from a2a.figures import theme
from a2a.figures.looks import plain

_KINDS = {
    "predicted": ("low", "high", -0.17, "circle-open", theme.MUTED),
    "measured": ("measured_low", "measured_high", 0.17, "circle", theme.PALETTE[0]),
}
_GAP, _ROW = 0.5, 17


def scan_forecasts(table: pd.DataFrame) -> go.Figure:
    """Draw, for each target and what is given, the share of its variance that each scan removes.

    Parameters
    ----------
    table
        Of ``benchmarks/next_scan.py``: ``given, target, scan, predicted, low, high, measured, measured_low,
        measured_high``. The scan that was measured to help most stands first.

    Raises
    ------
    InputError
        If a column is missing.
    """
    needed = ["given", "target", "scan", *_KINDS, *(bound for kind in _KINDS.values() for bound in kind[:2])]
    if missing := [name for name in needed if name not in table]:
        raise InputError(f"The table of scans has no column {missing[0]!r}.")
    figure, labels = go.Figure(), {}
    placed = pd.concat(_placed(table, labels))
    for name, (low, high, shift, symbol, colour) in _KINDS.items():
        figure.add_scatter(
            x=placed[name], y=placed["y"] + shift, mode="markers", name=name,
            marker={"symbol": symbol, "size": 8, "color": colour, "line": {"width": 1.5}},
            error_x={"array": placed[high] - placed[name], "arrayminus": placed[name] - placed[low],
                     "symmetric": False, "width": 0, "thickness": 1.5, "color": colour},
            text=placed["scan"], hovertemplate="%{text}: %{x:.0%}<extra></extra>",
        )  # fmt: skip
    figure.add_vline(0, line={"color": theme.INK, "width": 1})
    bottom, left = placed["y"].max() + 0.6, min(-0.35, placed["predicted"].min(), placed["measured"].min())
    figure.update_yaxes(tickvals=list(labels), ticktext=list(labels.values()), range=[bottom, -0.7], showgrid=False,
                        ticks="")  # fmt: skip
    figure.update_xaxes(title_text="share of the target's variance that the scan removes", tickformat=".0%",
                        range=[left - 0.02, 1.02])  # fmt: skip
    figure.update_layout(margin={"t": 34, "b": 56}, legend={"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0})
    best = placed.loc[placed.groupby(["given", "target"], sort=False)["measured"].idxmax()]
    parts = "; ".join(f"{r.target} given {r.given} most by {r.scan} ({r.measured:.0%})" for r in best.itertuples())
    return theme.finish(figure, f"Predicted and measured worth of the next scan. {parts}.", round(92 + _ROW * bottom))


def _placed(table: pd.DataFrame, labels: dict[float, str]) -> Iterator[pd.DataFrame]:
    """Yield the rows of each case with their heights, and write the labels of the axis."""
    y = 0.0
    for (given, target), rows in table.groupby(["given", "target"], sort=False):
        labels[y] = f"<b>{plain(str(target))}</b> given {plain(str(given))}"
        rows = rows.sort_values("measured", ascending=False)
        rows = rows.assign(y=[y + 1 + i for i in range(len(rows))])
        labels |= {height: plain(scan) for height, scan in zip(rows["y"], rows["scan"], strict=True)}
        y = rows["y"].max() + 1 + _GAP
        yield rows
