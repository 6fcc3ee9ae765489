"""Methods in rows, sorted within each group, metrics in columns: every subject, the mean, its interval.

The form of the comparisons of methods (Figures 2a, 3c, 4a, 5a and 6a of the paper of Any2all). Dots rather than bars,
because decibels have no meaningful zero; the label of a row says which method it is, so that colour is not needed.
"""

import math
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.ticker import MaxNLocator
from plotly.subplots import make_subplots

from a2a.evaluation.comparison import compare
from a2a.evaluation.estimates import estimates, singles
from a2a.figures import theme
from a2a.figures.looks import look, plain, scale

_ROW, _GAP = 19, 0.35
_LINE, _NARROW = 16, 15  # height of a further line of a title, and the letters of one in narrow columns
_STEPS = (1, 2, 2.5, 4, 5, 10)  # of ticks
_LOGARITHMIC = ((1,), (3,), (1, 3), (1, 2, 5), (1, 1.2, 1.5, 2, 3, 4, 5, 6, 8))  # the first with two ticks in reach


class _Rows(NamedTuple):
    """Where the rows lie: y of each (scenario, modality, method), and of the headings."""

    place: dict[tuple[str, str, str], float]
    headings: dict[str, float]
    height: float


def method_dots(
    results: pd.DataFrame, metrics: Sequence[str] = ("psnr", "ssim_head", "rfd"), by: str = "scenario"
) -> go.Figure:
    """Show metrics of methods: each subject as a faint dot, the mean with its 95 % interval.

    Parameters
    ----------
    results
        Part of a results table of `a2a.benchmark.run`: the scenarios, modalities and methods to draw.
    metrics
        One column each; the first sorts the rows of a group, best at the top.
    by
        What heads the groups of rows: ``"scenario"`` or ``"modality"``; of the other there may be one for each.

    Returns
    -------
    go.Figure
        A distance of all subjects has no dots of subjects; its interval is that of
        `a2a.evaluation.estimates.estimates`.

    Raises
    ------
    InputError
        If a column or a metric is missing, or a method or metric has no look.
    """
    means, values = estimates(results, metrics), singles(results, metrics)
    rows = _rows(means, metrics[0], by, _sign(metrics[0]))
    figure = make_subplots(1, len(metrics), shared_yaxes=True, horizontal_spacing=0.03)
    narrow = len(metrics) > 4
    for column, metric in enumerate(metrics, start=1):
        for method in dict.fromkeys(means["method"]):
            dots, mean = (t[(t["metric"] == metric) & (t["method"] == method)] for t in (values, means))
            if mean["subjects"].notna().any():
                _subjects(figure, dots, rows, method, column)
            _means(figure, mean, rows, method, column)
        bounds, dots = (table.loc[table["metric"] == metric] for table in (means, values))
        drawn = pd.concat([bounds["low"], bounds["high"], dots["value"]])
        title = textwrap.wrap(scale(metric).hint, _NARROW if narrow else 99)
        axis = {"title_text": "<br>".join(title), "row": 1, "col": column, "tickangle": 0}
        if scale(metric).logarithmic:
            axis |= {"type": "log"} | _ticks(drawn.min(), drawn.max())
        else:
            ticks = MaxNLocator(3, steps=_STEPS).tick_values(drawn.min(), drawn.max())
            inside = ticks[(ticks >= drawn.min()) & (ticks <= drawn.max())]
            axis["tickvals"] = inside[:: len(inside) - 1] if narrow and len(inside) > 2 else ticks
        if scale(metric).better == "one":
            figure.add_vline(1, line={"color": theme.MUTED, "width": 1, "dash": "dot"}, row=1, col=column)
        figure.update_xaxes(**axis)
    titles = ", ".join(scale(metric).title for metric in metrics)
    return _finish(figure, rows, f"{titles} with 95 % intervals. {_best(means, metrics[0], by)}")


def method_differences(
    results: pd.DataFrame,
    against: str = "any2all-mps",
    metrics: Sequence[str] = ("psnr", "ssim_head"),
    by: str = "scenario",
) -> go.Figure:
    """Show how much better or worse methods are than one of them on the same subjects, with 95 % intervals.

    Better than `against` lies on the right. A mark is filled where the interval leaves out 0; the corrected p-value of
    Wilcoxon's test, one family for each metric drawn, appears under the pointer (`a2a.evaluation.comparison.compare`).

    Parameters
    ----------
    results, by
        As in `method_dots`.
    against
        The method that the others are compared with.
    metrics
        One column each; of those with a value for each subject and no best value in between.

    Raises
    ------
    InputError
        If a column is missing, a method or metric has no look, `against` has no rows, or subjects differ.
    """
    found = compare(singles(results, metrics), against)
    sign = found["metric"].map(_sign)
    low, high = found["low"] * sign, found["high"] * sign
    found = found.assign(mean=found["difference"] * sign, low=np.minimum(low, high), high=np.maximum(low, high))
    rows = _rows(found, metrics[0], by, 1)
    figure = make_subplots(1, len(metrics), shared_yaxes=True, horizontal_spacing=0.03)
    for column, metric in enumerate(metrics, start=1):
        for _, row in found[found["metric"] == metric].iterrows():
            _difference(figure, row, rows, column)
        figure.add_vline(0, line={"color": theme.INK, "width": 1}, row=1, col=column)
        figure.update_xaxes(title_text=f"{scale(metric).title}: better →", row=1, col=column)
    described = (
        f"Differences to {look(against).label} on the same subjects in {', '.join(metrics)}, with 95 % intervals"
    )
    return _finish(figure, rows, f"{described}; right is better, filled where 0 is left out.")


def _sign(metric: str) -> int:
    """1 where more is better, -1 where less is."""
    return -1 if scale(metric).better == "less" else 1


def _rows(means: pd.DataFrame, metric: str, by: str, sign: int) -> _Rows:
    """Lay the rows of each group below its heading, the largest ``sign * mean`` first."""
    first = means[means["metric"] == metric]
    place, headings, y = {}, {}, 0.0
    for name in dict.fromkeys(first[by]):
        group = first[first[by] == name]
        headings[f"<b>{plain(str(name))}</b>"], y = y, y + 1
        for _, row in group.assign(order=-sign * group["mean"]).sort_values("order").iterrows():
            place[row["scenario"], row["modality"], row["method"]], y = y, y + 1
        y += _GAP
    return _Rows(place, headings, y)


def _places(part: pd.DataFrame, rows: _Rows) -> list[float]:
    keys = part[["scenario", "modality", "method"]].itertuples(index=False, name=None)
    return [rows.place[key] for key in keys]


def _subjects(figure: go.Figure, part: pd.DataFrame, rows: _Rows, method: str, column: int) -> None:
    """Draw the subjects of one method in one column."""
    style = look(method)
    figure.add_scatter(
        x=part["value"], y=_places(part, rows), text=part["subject"].astype(str), mode="markers", showlegend=False,
        marker={"color": style.colour, "opacity": 0.35, "size": 4, "symbol": "circle"},
        hovertemplate="subject %{text}: %{x:.3f}<extra>" + style.label + "</extra>", row=1, col=column,
    )  # fmt: skip


def _means(figure: go.Figure, part: pd.DataFrame, rows: _Rows, method: str, column: int) -> None:
    """Draw the means of one method in one column."""
    style, mean = look(method), part["mean"]
    figure.add_scatter(
        x=mean, y=_places(part, rows), mode="markers", name=style.label, showlegend=False,
        marker={"color": style.colour, "size": 9, "symbol": style.symbol, "line": {"color": theme.PAPER, "width": 1}},
        error_x={"array": part["high"] - mean, "arrayminus": mean - part["low"], "symmetric": False, "thickness": 2,
                 "width": 4, "color": style.colour},
        hovertemplate="mean %{x:.3f}<extra>" + style.label + "</extra>", row=1, col=column,
    )  # fmt: skip


def _difference(figure: go.Figure, row: pd.Series, rows: _Rows, column: int) -> None:
    """Draw one mark of `method_differences`."""
    style, value = look(row["method"]), row["mean"]
    symbol = style.symbol + "-open" * bool(row["low"] <= 0 <= row["high"])
    said = f"{value:.3f} ({row['low']:.3f} to {row['high']:.3f}), p {row['p_holm']:.3f}<extra>{style.label}</extra>"
    reach = {"array": [row["high"] - value], "arrayminus": [value - row["low"]], "symmetric": False}
    figure.add_scatter(
        x=[value], y=[rows.place[row["scenario"], row["modality"], row["method"]]], mode="markers", showlegend=False,
        error_x=reach | {"thickness": 2, "width": 4, "color": style.colour},
        marker={"symbol": symbol, "size": 9, "color": style.colour, "line": {"width": 1.5, "color": style.colour}},
        hovertemplate=said, name=style.label, row=1, col=column,
    )  # fmt: skip


def _ticks(low: float, high: float) -> dict:
    """Ticks of a logarithmic axis, few enough for a narrow column: powers of ten, else steps between."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in _LOGARITHMIC:
        at = [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]
        if len(at) > 1:
            break
    at = at[:: math.ceil(len(at) / 4)]
    texts = [f"10<sup>{math.log10(tick):.0f}</sup>" if steps == (1,) and at[-1] > 999 else f"{tick:g}" for tick in at]
    return {"tickvals": at, "ticktext": texts}


def _finish(figure: go.Figure, rows: _Rows, description: str) -> go.Figure:
    """Label the rows and give the figure its size."""
    labels = {y: look(method).label for (*_, method), y in rows.place.items()}
    labels |= {y: text for text, y in rows.headings.items()}
    figure.update_yaxes(showgrid=False, ticks="", range=[rows.height - 0.4, -0.7], zeroline=False)
    figure.update_yaxes(tickvals=list(labels), ticktext=list(labels.values()), col=1)
    for y in list(rows.headings.values())[1:]:
        figure.add_hline(y - 0.5 - _GAP / 2, line={"color": theme.FAINT, "width": 1})
    further = _LINE * max((axis.title.text or "").count("<br>") for axis in figure.select_xaxes())
    figure.update_layout(margin={"t": 10, "b": 54 + further})
    return theme.finish(figure, description, round(78 + further + _ROW * rows.height))


def _best(means: pd.DataFrame, metric: str, by: str) -> str:
    """Say which method leads each group."""
    first = means[means["metric"] == metric]
    leading = first.loc[(_sign(metric) * first["mean"]).groupby(first[by], sort=False).idxmax()]
    parts = [f"{plain(str(row[by]))}: {look(row['method']).label}" for _, row in leading.iterrows()]
    return f"Best in {scale(metric).title} for {'; '.join(parts)}."
