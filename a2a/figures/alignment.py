"""Figures of registration: how the agreement of two images depends on where one of them lies."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from a2a.common.errors import InputError
from a2a.figures import theme


def agreement_curves(shifts: ArrayLike, curves: Mapping[str, ArrayLike], unit: str) -> go.Figure:
    """Draw a measure of agreement over a shift, one line a series; a dot marks each largest value.

    Parameters
    ----------
    shifts
        In mm.
    curves
        Series to its values at the shifts; one to six.
    unit
        Title of the vertical axis.

    Raises
    ------
    InputError
        If there are no curves, too many, or of another length than the shifts.
    """
    x = np.asarray(shifts, np.float64)
    lines = {name: np.asarray(values, np.float64) for name, values in curves.items()}
    if not 1 <= len(lines) <= len(theme.PALETTE) or any(y.shape != x.shape for y in lines.values()):
        raise InputError(f"agreement_curves needs one to six curves of {x.size} values each.")
    figure = go.Figure()
    for number, (name, y) in enumerate(lines.items()):
        best, colour = int(y.argmax()), theme.PALETTE[number]
        look = {"color": colour, "dash": theme.DASHES[number]}
        figure.add_scatter(x=x, y=y.round(5), mode="lines", line=look, name=name)
        marker = {"color": colour, "size": 9, "symbol": theme.SYMBOLS[number]}
        figure.add_scatter(x=x[[best]], y=y[[best]], mode="markers", marker=marker, showlegend=False)
    figure.update_xaxes(title_text="shift (mm)")
    figure.update_yaxes(title_text=unit)
    found = ", ".join(f"{name} at {x[y.argmax()]:g} mm" for name, y in lines.items())
    return theme.finish(figure, f"{unit} over a shift; largest: {found}.", 320)
