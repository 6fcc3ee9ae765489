"""Figures of what quality costs."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from a2a.common.errors import InputError
from a2a.evaluation.metrics import summary
from a2a.figures import theme
from a2a.figures.curves import log_ticks
from a2a.figures.looks import looks


def quality_curves(
    table: pd.DataFrame,
    metric: str = "psnr",
    unit: str = "PSNR (dB)",
    over: str = "evaluations",
    title: str = "network evaluations",
    logarithmic: bool = True,
) -> go.Figure:
    """Draw a metric over a number such as that of network evaluations, one line a method, one panel a modality.

    Parameters
    ----------
    table
        Long table with ``subject, modality, method, metric, value`` and the column `over`, one value for each subject
        in a place.
    metric, unit
        Which metric, and how its axis is called.
    over, title
        Column of numbers along the horizontal axis, and how that is called.
    logarithmic
        Whether this axis is; its numbers are then positive.

    Raises
    ------
    InputError
        If a column or the metric is missing.
    """
    needed = ["subject", "modality", "method", over, "metric", "value"]
    if missing := [column for column in needed if column not in table]:
        raise InputError(f"quality_curves needs a table with the column {missing[0]!r}.")
    chosen = table.loc[table["metric"] == metric, needed]
    if chosen.empty:
        raise InputError(f"The table has no metric {metric!r}.")
    means, panels = summary(chosen), list(dict.fromkeys(chosen["modality"]))
    figure = make_subplots(1, len(panels), subplot_titles=panels, horizontal_spacing=0.1)
    for method, style in looks(list(dict.fromkeys(chosen["method"]))).items():
        for column, modality in enumerate(panels, start=1):
            rows = means[(means["method"] == method) & (means["modality"] == modality)].sort_values(over)
            reach = {"array": rows["high"] - rows["mean"], "arrayminus": rows["mean"] - rows["low"], "symmetric": False}
            figure.add_scatter(
                x=rows[over], y=rows["mean"], error_y=reach | {"width": 3, "thickness": 1},
                name=style.label, legendgroup=method, showlegend=column == 1, mode="lines+markers",
                line={"color": style.colour, "dash": style.dash}, marker={"symbol": style.symbol, "size": 8},
                row=1, col=column,
            )  # fmt: skip
    ticks = [first * 10.0**power for power in range(-2, 4) for first in (1, 2.5, 5)]
    if logarithmic:
        figure.update_xaxes(type="log", tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])
    figure.update_xaxes(title_text=title)
    figure.update_yaxes(title_text=unit, col=1)
    figure.update_layout(legend={"y": -0.28, "yanchor": "top"}, margin={"t": 30, "b": 90})
    methods = ", ".join(dict.fromkeys(chosen["method"]))
    described = f"{unit} over {title} for {', '.join(panels)}, lines for {methods}."
    return theme.finish(figure, described, 400)


def cost_ratios(table: pd.DataFrame, floors: Mapping[str, str], logarithmic: bool = False) -> go.Figure:
    """Show how many times its floor each thing costs: median and quartiles, and what was aimed at.

    Parameters
    ----------
    table
        As ``benchmarks/sampler_cost.py`` writes it: columns ``what, floor, ratio, ratio_low, ratio_high`` (quartiles;
        NaN where there are none) and ``goal`` (such as ``"<= 1.03"``, NaN for none).
    floors
        What the floors are, in words, by their name in the table.
    logarithmic
        Whether the axis is.

    Raises
    ------
    InputError
        If a column is missing, or a ratio is not positive.
    """
    needed = ["what", "floor", "ratio", "ratio_low", "ratio_high", "goal"]
    if missing := [column for column in needed if column not in table]:
        raise InputError(f"cost_ratios needs a table with the column {missing[0]!r}.")
    if not (table["ratio"] > 0).all():
        raise InputError("cost_ratios: ratios must be above 0.")
    figure = go.Figure()
    for number, floor in enumerate(dict.fromkeys(table["floor"])):
        rows = table[table["floor"] == floor]
        reach = {"array": rows["ratio_high"] - rows["ratio"], "arrayminus": rows["ratio"] - rows["ratio_low"]}
        figure.add_scatter(
            x=rows["ratio"], y=rows["what"], name=f"times {floors.get(floor, floor)}", mode="markers",
            error_x=reach | {"symmetric": False, "width": 5, "thickness": 2},
            marker={"symbol": theme.SYMBOLS[number], "size": 10, "color": theme.PALETTE[number]},
        )  # fmt: skip
    goals = table[table["goal"].notna()]
    if len(goals):
        figure.add_scatter(
            x=goals["goal"].str.split().str[-1].astype(float), y=goals["what"], name="aim", mode="markers",
            marker={"symbol": "line-ns", "size": 16, "line": {"width": 2, "color": theme.INK}},
        )  # fmt: skip
    figure.update_yaxes(categoryorder="array", categoryarray=table["what"].tolist()[::-1], showgrid=False)
    figure.update_xaxes(title_text="ratio (median and quartiles)")
    if logarithmic:
        figure.update_xaxes(type="log", **log_ticks(table["ratio"]))
    figure.update_layout(legend={"y": 1.02, "yanchor": "bottom", "orientation": "h"}, margin={"t": 40})
    parts = "; ".join(f"{r.what} {r.ratio:.2f} times {floors.get(r.floor, r.floor)}" for r in table.itertuples())
    return theme.finish(figure, f"Ratios of costs: {parts}.", 130 + 28 * len(table))
