"""Figures about samples: whether they cover the truth, and how they spread beside what could be known."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

from a2a.common.errors import InputError
from a2a.figures import theme


def coverage_curves(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Draw the share of truths inside central intervals against the share promised; the diagonal is calibrated.

    Parameters
    ----------
    tables
        Name of a set of samples to its table from `a2a.evaluation.calibration.coverage`; one panel a modality.

    Raises
    ------
    InputError
        If there is no table, or the tables have different modalities.
    """
    names = [tuple(dict.fromkeys(table["modality"])) for table in tables.values()]
    if not names or len(set(names)) != 1:
        raise InputError("coverage_curves needs at least one table, all with the same modalities.")
    figure = make_subplots(1, len(names[0]), subplot_titles=names[0], shared_yaxes=True, horizontal_spacing=0.06)
    for column, modality in enumerate(names[0], start=1):
        once = {"row": 1, "col": column, "showlegend": column == 1}
        line = {"color": theme.MUTED, "dash": "dot"}
        figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line=line, name="calibrated", **once)
        for number, (name, table) in enumerate(tables.items()):
            rows = table[table["modality"] == modality].sort_values("nominal")
            look = {"line": {"color": theme.PALETTE[number], "dash": theme.DASHES[number]}}
            marker = {"symbol": theme.SYMBOLS[number], "size": 8}
            figure.add_scatter(x=rows["nominal"], y=rows["covered"], name=name, marker=marker, **look, **once)
    figure.update_xaxes(range=[0, 1], title_text="probability promised")
    figure.update_yaxes(range=[0, 1], title_text="truths inside", col=1)
    figure.update_layout(legend={"y": -0.28, "yanchor": "top"}, margin={"t": 30, "b": 90})
    described = f"Coverage of central intervals for {', '.join(names[0])}: {', '.join(tables)}, and the diagonal."
    return theme.finish(figure, described, 360)


def draw_strips(rows: Mapping[str, Mapping[str, ArrayLike]], title: str) -> go.Figure:
    """Draw several kinds of values as strips of dots, one row a case.

    Parameters
    ----------
    rows
        Case (a subject) to kind (truth, samples, ...) to values; every case has the same kinds, at most six.
    title
        What the values are, with the unit.

    Raises
    ------
    InputError
        If there is no case, or the cases have different kinds.
    """
    kinds = [tuple(row) for row in rows.values()]
    if not kinds or len(set(kinds)) != 1 or not 1 <= len(kinds[0]) <= len(theme.PALETTE):
        raise InputError("draw_strips needs at least one case, and the same one to six kinds of values in each.")
    figure = go.Figure()
    heights = np.linspace(0.27, -0.27, len(kinds[0]))
    for number, kind in enumerate(kinds[0]):
        values = [np.atleast_1d(np.asarray(row[kind], np.float64)) for row in rows.values()]
        at = [np.full(len(v), len(rows) - 1 - place + heights[number]) for place, v in enumerate(values)]
        marker = {"color": theme.PALETTE[number], "symbol": theme.SYMBOLS[number], "size": 9 - number, "opacity": 0.75}
        figure.add_scatter(x=np.concatenate(values), y=np.concatenate(at), mode="markers", marker=marker, name=kind)
    for edge in range(len(rows) - 1):
        figure.add_hline(y=edge + 0.5, line={"color": theme.FAINT})
    labels = {"tickvals": list(range(len(rows)))[::-1], "ticktext": list(rows), "showgrid": False}
    figure.update_yaxes(range=[-0.5, len(rows) - 0.5], **labels)
    figure.update_xaxes(title_text=title)
    described = f"{title} of {len(rows)} cases, dots for {', '.join(kinds[0])}."
    return theme.finish(figure, described, 110 + 46 * len(rows))
