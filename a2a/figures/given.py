"""What was given, drawn: a matrix of glyphs, one column a scenario, one row a modality, and figures that stand on it.

● an image, ◐ k-space, ○ nothing; the same three signs in every figure of results.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from a2a.common.errors import InputError
from a2a.evaluation.estimates import estimates, singles
from a2a.figures import theme
from a2a.figures.looks import GLYPH_FONT, GLYPHS, look, plain, scale
from a2a.forward.scenario import Kind, Scenario
from a2a.forward.stack import StackSpec

LEGEND = "● image   ◐ k-space   ○ nothing"
"""What the glyphs mean."""

_ROW, _DODGE = 17, 0.1


def scenario_ladder(
    results: pd.DataFrame,
    spec: StackSpec,
    scenarios: Sequence[str],
    target: str,
    metrics: Sequence[str] = ("psnr", "ssim_head", "rfd"),
) -> go.Figure:
    """Show how metrics of one target change from scenario to scenario: subjects as thin lines, means with intervals.

    Below each panel stands what was given; the row of the target is set in bold.

    Parameters
    ----------
    results
        Part of a results table of `a2a.benchmark.run` with the methods to draw.
    spec
        The stack.
    scenarios
        From left to right.
    target
        The modality that is judged.
    metrics
        One panel each.

    Raises
    ------
    InputError
        If a column, a metric or a scenario of the target is missing, or a method or metric has no look.
    """
    steps = [str(Scenario.parse(text, spec)) for text in scenarios]
    part = results[(results["modality"] == target) & results["scenario"].isin(steps)]
    if absent := [text for text in steps if text not in set(part["scenario"])]:
        raise InputError(f"The results table has no {target} from {absent[0]}.")
    means, values = estimates(part, metrics), singles(part, metrics)
    methods = list(dict.fromkeys(part["method"]))
    figure = make_subplots(
        2, len(metrics), shared_xaxes=True, vertical_spacing=0.03, horizontal_spacing=0.08,
        subplot_titles=[scale(metric).hint.replace("→", "↑").replace("←", "↓") for metric in metrics],
        row_heights=[1 - _matrix_share(len(spec)), _matrix_share(len(spec))],
    )  # fmt: skip
    for column, metric in enumerate(metrics, start=1):
        mine = means[means["metric"] == metric]
        for number, method in enumerate(methods):
            shift = _DODGE * (number - (len(methods) - 1) / 2)
            lines = values[(values["metric"] == metric) & (values["method"] == method)]
            _ladder(figure, lines, mine[mine["method"] == method], steps, method, shift, column)
        if scale(metric).logarithmic:
            figure.update_yaxes(type="log", exponentformat="power", dtick=1, row=1, col=column)
        given_matrix(figure, steps, spec, 2, column, target, labels=column == 1)
    figure.update_annotations(font={"size": 13})
    figure.update_xaxes(showgrid=False, range=[-0.5, len(steps) - 0.5])
    figure.update_layout(margin={"t": 62, "b": 10}, legend={"y": 1.09, "yanchor": "bottom"})
    titles = ", ".join(scale(metric).title for metric in metrics)
    described = f"{titles} of {target} as more is given: {'; '.join(map(plain, steps))}. {LEGEND}."
    return theme.finish(figure, described, 400)


def given_matrix(
    figure: go.Figure,
    scenarios: Sequence[str],
    spec: StackSpec,
    row: int,
    column: int,
    target: str = "",
    labels: bool = True,
) -> None:
    """Draw what each scenario gives into one subplot of a figure, one column a scenario.

    Parameters
    ----------
    figure
        Made by ``make_subplots``; changed in place.
    scenarios
        From left to right, at x = 0, 1, 2, ...
    spec
        The modalities of the rows, first at the top.
    row, column
        Of the subplot.
    target
        The modality whose row is set in bold.
    labels
        Whether the names of the modalities stand at the left.
    """
    kinds = [Scenario.parse(text, spec).kinds for text in scenarios]
    add_glyphs(figure, [(x, y, kind) for x, each in enumerate(kinds) for y, kind in enumerate(each)], row, column)
    names = [f"<b>{plain(name)}</b>" if name == target else plain(name) for name in spec.names]
    quiet = {"showgrid": False, "showline": False, "ticks": ""}
    figure.update_yaxes(
        range=[len(names) - 0.4, -0.6], tickvals=list(range(len(names))), ticktext=names, showticklabels=labels,
        **quiet, row=row, col=column,
    )  # fmt: skip
    figure.update_xaxes(showticklabels=False, **quiet, row=row, col=column)


def add_glyphs(figure: go.Figure, cells: Sequence[tuple[float, float, Kind]], row: int, column: int) -> None:
    """Draw glyphs at (x, y) into one subplot of a figure, which is changed in place.

    Parameters
    ----------
    figure
        Is changed in place.
    cells
        x, y and how the modality is given.
    row, column
        The subplot, counted from 1.
    """
    xs, ys, kinds = zip(*cells, strict=True)
    figure.add_scatter(
        x=xs, y=ys, text=[GLYPHS[kind] for kind in kinds], mode="text", hoverinfo="skip", showlegend=False,
        textfont={"family": GLYPH_FONT, "size": 13, "color": theme.INK}, row=row, col=column,
    )  # fmt: skip


def _matrix_share(modalities: int) -> float:
    """Share of the height of a ladder that its matrix takes."""
    return _ROW * modalities / 328


def _ladder(
    figure: go.Figure,
    values: pd.DataFrame,
    means: pd.DataFrame,
    steps: Sequence[str],
    method: str,
    shift: float,
    column: int,
) -> None:
    """Draw one method in one panel: its subjects' lines, if there are any, and the means with their intervals."""
    style, at = look(method), {text: x + shift for x, text in enumerate(steps)}
    if means["subjects"].notna().any():
        wide = values.pivot(index="subject", columns="scenario", values="value")[list(steps)]
        broken = np.column_stack([wide.to_numpy(), np.full(len(wide), np.nan)])
        figure.add_scatter(
            x=np.tile([*at.values(), np.nan], len(wide)), y=broken.ravel(), mode="lines", showlegend=False,
            line={"color": style.colour, "width": 1}, opacity=0.25, hoverinfo="skip", row=1, col=column,
        )  # fmt: skip
    rows = means.assign(x=means["scenario"].map(at)).sort_values("x")
    figure.add_scatter(
        x=rows["x"], y=rows["mean"], mode="lines+markers", name=style.label, legendgroup=method,
        showlegend=column == 1, line={"color": style.colour, "dash": style.dash, "width": 2},
        marker={"symbol": style.symbol, "size": 9, "color": style.colour},
        error_y={"array": rows["high"] - rows["mean"], "arrayminus": rows["mean"] - rows["low"], "symmetric": False,
                 "width": 4, "thickness": 1.5, "color": style.colour},
        hovertemplate="%{y:.3f}<extra>" + style.label + "</extra>", row=1, col=column,
    )  # fmt: skip
