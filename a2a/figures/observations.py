"""Every observation in one picture: how well each target comes out of each way to give the others.

Three MR contrasts that are each an image, k-space or missing, and CT and PET that are there or not, make 108
observations. The chapter "All 108 observations" reads the figures.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from a2a.common.errors import InputError
from a2a.evaluation.estimates import estimates, singles
from a2a.evaluation.statistics import mean_interval
from a2a.figures import theme
from a2a.figures.given import add_glyphs, given_matrix
from a2a.figures.looks import GLYPH_FONT, GLYPHS, plain, scale
from a2a.forward.scenario import Kind, Scenario
from a2a.forward.stack import StackSpec

Status = dict[str, Kind]
"""How some modalities are given, by name."""

_WORTH = {"missing": 0, "measured": 1, "clean": 2}
_PALE = ["#ffffe5", "#c7e9b4", "#41b6c4"]  # numbers in ink can be read on each of them
_ROW, _MATRIX, _TOP = 17, 36, 62


def observation_map(results: pd.DataFrame, spec: StackSpec, metric: str = "psnr") -> go.Figure:
    """Draw a metric of every target over everything that can be given, one panel a target.

    Rows are the ways to give the MR contrasts, ordered by how much is given; columns those to give CT and PET. A cell
    is empty where the target itself was given as an image, or was not measured.

    Parameters
    ----------
    results
        Results of one method (`a2a.benchmark.run`).
    spec
        The stack; modalities of kind MR make the rows, the others the columns.
    metric
        Which one; the number in a cell is its mean over subjects.

    Raises
    ------
    InputError
        If a column or the metric is missing, or there are several methods.
    """
    means = estimates(open_targets(results, spec), [metric])
    value = means.set_index(["scenario", "modality"])["mean"].to_dict()
    rows, columns = statuses(spec, measured=True), statuses(spec, measured=False)
    open_ = {name: [c for c in columns if c.get(name) != "clean"] for name in spec.names}
    figure = make_subplots(
        2, 1 + len(spec), row_heights=[_ROW * len(rows), _MATRIX], vertical_spacing=0.01, horizontal_spacing=0.012,
        column_widths=[1.9, *(len(each) for each in open_.values())],
    )  # fmt: skip
    for column, name in enumerate(spec.names, start=2):
        cells = [[value.get((_text(spec, r | c), name), np.nan) for c in open_[name]] for r in rows]
        _heat(figure, np.array(cells), means["mean"], name, column)
        side = spec.only([spec.index(n) for n in columns[0]])
        given_matrix(figure, [_text(side, c) for c in open_[name]], side, 2, column, name, labels=column == 2)
        figure.update_xaxes(range=[-0.5, len(open_[name]) - 0.5], row=2, col=column)
    _left(figure, rows)
    figure.update_layout(margin={"l": 4, "t": _TOP, "b": 10, "r": 4})
    figure.update_coloraxes(showscale=False, colorscale=_PALE)
    ends = means["mean"].min(), means["mean"].max()
    described = f"{scale(metric).title} of each target for {len(value)} observations: {ends[0]:.3g} to {ends[1]:.3g}."
    return theme.finish(figure, described, _ROW * len(rows) + _MATRIX + _TOP + 16)


def statuses(spec: StackSpec, measured: bool) -> list[Status]:
    """All ways to give the MR contrasts (``measured``) or the other modalities, the least first."""
    names = [m.name for m in spec if (m.kind == "MR") == measured]
    kinds: Sequence[Kind] = ("missing", "measured", "clean") if measured else ("missing", "clean")
    found = [dict(zip(names, each, strict=True)) for each in product(kinds, repeat=len(names))]
    return sorted(found, key=lambda status: sum(_WORTH[kind] for kind in status.values()))


def open_targets(results: pd.DataFrame, spec: StackSpec) -> pd.DataFrame:
    """Return the rows whose modality was not given as an image.

    Raises
    ------
    InputError
        If a column is missing, or there are several methods.
    """
    if missing := [name for name in ("scenario", "modality", "method") if name not in results]:
        raise InputError(f"The results table has no column {missing[0]!r}.")
    if len(methods := results["method"].unique()) != 1:
        raise InputError(f"A figure of all observations is of one method, got {', '.join(methods) or 'none'}.")
    given = {text: Scenario.parse(text, spec) for text in results["scenario"].unique()}
    clean = {(text, spec.names[i]) for text, scenario in given.items() for i in scenario.indices("clean")}
    keys = pd.MultiIndex.from_frame(results[["scenario", "modality"]])
    return results[~keys.isin(clean)]


def _text(spec: StackSpec, status: Status) -> str:
    """Scenario of a status as the results table writes it."""
    return str(Scenario(spec.names, tuple(status[name] for name in spec.names)))


def _heat(figure: go.Figure, cells: np.ndarray, values: pd.Series, name: str, column: int) -> None:
    """Draw the panel of one target."""
    figure.add_heatmap(
        z=cells, coloraxis="coloraxis", xgap=1, ygap=1, texttemplate="%{z:.1f}",
        textfont={"size": 10, "color": theme.INK}, hovertemplate="%{z:.2f}<extra></extra>", hoverongaps=False,
        row=1, col=column,
    )  # fmt: skip
    figure.update_coloraxes(cmin=values.min(), cmax=values.max())
    figure.update_xaxes(showticklabels=False, ticks="", showgrid=False, showline=False, row=1, col=column)
    figure.add_annotation(text=f"<b>{plain(name)}</b>", x=0.5, xref="x domain", y=1, yref="y domain", yanchor="bottom",
                          showarrow=False, font={"size": 13}, row=1, col=column)  # fmt: skip


def _left(figure: go.Figure, rows: Sequence[Status]) -> None:
    """Draw what each row gives, and lines where the amount changes."""
    names = list(rows[0])
    add_glyphs(figure, [(x, y, row[name]) for y, row in enumerate(rows) for x, name in enumerate(names)], 1, 1)
    figure.update_xaxes(
        side="top", tickvals=list(range(len(names))), ticktext=[plain(name) for name in names], tickangle=-70,
        range=[-0.7, len(names) - 0.3], showgrid=False, showline=False, ticks="", row=1, col=1,
    )  # fmt: skip
    figure.update_yaxes(
        range=[len(rows) - 0.5, -0.5], showgrid=False, showline=False, showticklabels=False, ticks="", row=1
    )
    amount = [sum(_WORTH[kind] for kind in row.values()) for row in rows]
    for y in np.flatnonzero(np.diff(amount)) + 0.5:
        figure.add_hline(y, line={"color": theme.INK, "width": 1}, row=1, col="all")


def modality_gains(results: pd.DataFrame, spec: StackSpec, metric: str = "psnr") -> pd.DataFrame:
    """How much a target gains from each modality, averaged over all ways to give the others.

    The gain of a kind is the mean difference, subject by subject, between observations that give the modality as this
    kind and the same observations without it. For other modalities than the target the target is missing.

    Parameters
    ----------
    results, spec, metric
        As in `observation_map`; the table must hold all observations.

    Returns
    -------
    pandas.DataFrame
        ``target, modality, kind, gain, low, high`` (95 % over subjects), more being better; the largest gain first
        within a target.

    Raises
    ------
    InputError
        If a column, the metric or an observation is missing, or there are several methods.
    """
    wide = singles(open_targets(results, spec), [metric]).pivot(
        index=["modality", "scenario"], columns="subject", values="value"
    )
    every = [r | c for r in statuses(spec, measured=True) for c in statuses(spec, measured=False)]
    rows = []
    for target, given in product(spec.names, spec.names):
        kinds: list[Kind] = ["measured", "clean"] if spec[given].kind == "MR" else ["clean"]
        without = [s for s in every if s[given] == "missing" and s[target] == "missing"]
        for kind in kinds if given != target else kinds[:-1]:
            pairs = [(_text(spec, s | {given: kind}), _text(spec, s)) for s in without]
            if absent := [text for pair in pairs for text in pair if (target, text) not in wide.index]:
                raise InputError(f"The results table lacks {target} from {absent[0]}.")
            gains = np.mean([wide.loc[(target, a)] - wide.loc[(target, b)] for a, b in pairs], axis=0)
            gains = -gains if scale(metric).better == "less" else gains
            low, high = mean_interval(gains)
            labels = {"target": target, "modality": given, "kind": kind}
            rows.append(labels | {"gain": gains.mean(), "low": low, "high": high})
    found = pd.DataFrame(rows)
    largest = found.groupby(["target", "modality"])["gain"].transform("max")
    order = [found["target"].map(spec.index), -largest]
    return found.iloc[np.lexsort([order[1], order[0]])].reset_index(drop=True)


def modality_worth(gains: pd.DataFrame, unit: str = "dB") -> go.Figure:
    """Draw `modality_gains`: what k-space and an image of each modality are worth to each target.

    Parameters
    ----------
    gains
        As from `modality_gains`.
    unit
        Of the gains.
    """
    figure, labels, y = go.Figure(), {}, 0.0
    for target in dict.fromkeys(gains["target"]):
        labels[y], y = f"<b>{plain(target)}</b> from", y + 1
        mine = gains[gains["target"] == target]
        for name in dict.fromkeys(mine["modality"]):
            part = mine[mine["modality"] == name]
            labels[y] = "its own k-space" if name == target else plain(name)
            _gains(figure, part, y)
            y += 1
        y += 0.4
    figure.add_vline(0, line={"color": theme.INK, "width": 1})
    figure.update_yaxes(tickvals=list(labels), ticktext=list(labels.values()), range=[y - 0.6, -0.7], showgrid=False,
                        ticks="")  # fmt: skip
    figure.update_xaxes(title_text=f"gain ({unit}): ◐ k-space, ● image instead of nothing")
    figure.update_layout(margin={"t": 8, "b": 56})
    best = gains.loc[gains.groupby("target", sort=False)["gain"].idxmax()]
    parts = "; ".join(f"{r.target} most from {r.modality} ({r.gain:.1f} {unit})" for r in best.itertuples())
    return theme.finish(figure, f"Mean gain of each target from each modality: {parts}.", round(76 + 17 * y))


def _gains(figure: go.Figure, part: pd.DataFrame, y: float) -> None:
    """Draw one row: a stem from 0, and a glyph with its interval for each kind."""
    colours = {"measured": theme.MUTED, "clean": theme.PALETTE[0]}
    figure.add_scatter(
        x=[0, part["gain"].max()], y=[y, y], mode="lines", line={"color": theme.FAINT, "width": 3}, hoverinfo="skip",
        showlegend=False,
    )  # fmt: skip
    for r in part.itertuples():
        figure.add_scatter(
            x=[r.gain], y=[y], mode="text", text=[GLYPHS[r.kind]], showlegend=False,
            textfont={"size": 15, "color": colours[r.kind], "family": GLYPH_FONT},
            error_x={"array": [r.high - r.gain], "arrayminus": [r.gain - r.low], "symmetric": False, "width": 4,
                     "thickness": 1.5, "color": colours[r.kind]},
            hovertemplate=f"{r.gain:.2f} ({r.low:.2f} to {r.high:.2f})<extra>{r.modality} as {r.kind}</extra>",
        )  # fmt: skip
