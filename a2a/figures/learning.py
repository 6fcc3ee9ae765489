"""Figures of what a prior learns: its loss, its error at every time and at the noisiest, its network at a glance."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from a2a.common.errors import InputError
from a2a.figures import theme
from a2a.figures.curves import log_ticks
from a2a.forward.stack import StackSpec
from a2a.networks.unet import UNetConfig

_BAR, _STEP = 0.34, 1.0  # half width of a level's bar and distance between bars, in the units of the x axis


def training_curves(
    logs: Mapping[str, pd.DataFrame], smooth: int = 5, quantity: str = "mean squared error of the noise"
) -> go.Figure:
    """Compare the losses of several training runs over the optimiser steps, both axes logarithmic.

    Parameters
    ----------
    logs
        Name to log: columns ``step``, ``loss``, and ``validation_loss`` (empty where not computed) if there is one.
    smooth
        Entries of the running mean that is drawn.
    quantity
        Title of the vertical axis: what the losses are.

    Raises
    ------
    InputError
        If there is no log, or one lacks a column or has no rows.
    """
    if not logs:
        raise InputError("training_curves needs at least one log.")
    figure = go.Figure()
    for number, (name, log) in enumerate(logs.items()):
        if log.empty or not {"step", "loss"} <= set(log):
            raise InputError(f"The log {name!r} needs rows and the columns step and loss.")
        colour = theme.PALETTE[number % len(theme.PALETTE)]
        running = log["loss"].rolling(smooth, center=True, min_periods=1).mean()
        figure.add_scatter(x=log["step"], y=running, name=f"{name}: training", line={"color": colour, "width": 2})
        if "validation_loss" in log:
            values = pd.to_numeric(log["validation_loss"], errors="coerce")
            marker = {"color": colour, "size": 8, "symbol": theme.SYMBOLS[1]}
            kept = values.notna()
            label = f"{name}: validation"
            figure.add_scatter(x=log["step"][kept], y=values[kept], name=label, mode="markers", marker=marker)
    steps, losses = (pd.concat([log[column] for log in logs.values()]) for column in ("step", "loss"))
    figure.update_xaxes(title_text="optimiser step", type="log", **log_ticks(steps))
    figure.update_yaxes(title_text=quantity, type="log", **log_ticks(losses))
    ends = ", ".join(f"{name} {log['loss'].iloc[-1]:.4f}" for name, log in logs.items())
    return theme.finish(figure, f"Training loss over the steps; at the end: {ends}.", 360)


def error_curves(times: Sequence[int], error: ArrayLike, spec: StackSpec) -> go.Figure:
    """Show the root mean squared error of the clean estimate at every time, one curve for each modality.

    Parameters
    ----------
    times
        K time indices, increasing.
    error
        Mean squared errors (K, n), squared image units, see `a2a.prior.prior.Prior.variance`.
    spec
        The n modalities.

    Raises
    ------
    InputError
        If the shapes do not fit or a value is negative.
    """
    table = np.asarray(error, np.float64)
    if table.shape != (len(times), len(spec)) or not (table >= 0).all():
        raise InputError(f"error must be ({len(times)}, {len(spec)}) values >= 0, got shape {table.shape}.")
    figure = go.Figure()
    for number, (modality, column) in enumerate(zip(spec, np.sqrt(table).T, strict=True)):
        style = {"color": theme.PALETTE[number % len(theme.PALETTE)], "dash": theme.DASHES[number % len(theme.DASHES)]}
        figure.add_scatter(x=list(times), y=column, name=modality.name, line=style)
    figure.update_xaxes(title_text="<i>t</i>")
    figure.update_yaxes(title_text="error of the clean estimate", type="log", **log_ticks(np.sqrt(table[table > 0])))
    description = f"Error of the clean estimate of {', '.join(spec.names)} over time; it grows with t."
    return theme.finish(figure, description, 340)


def linear_ratios(table: pd.DataFrame) -> go.Figure:
    """Show the error of priors at noisy times over that of the best linear estimate, one curve for each prior.

    A prior whose name ends in ``-first`` is dashed, in the colour of the one that went on from it.

    Parameters
    ----------
    table
        Columns ``prior``, ``t``, ``network`` and ``linear`` (mean squared errors).

    Raises
    ------
    InputError
        If the table has no rows or lacks a column.
    """
    if table.empty or not {"prior", "t", "network", "linear"} <= set(table):
        raise InputError("linear_ratios needs rows with the columns prior, t, network and linear.")
    figure, worst = go.Figure(), []
    kinds = list(dict.fromkeys(table["prior"].str.removesuffix("-first")))
    for name, part in table.groupby("prior", sort=False):
        number, ratio = kinds.index(name.removesuffix("-first")), part["network"] / part["linear"]
        colour, symbol = (of[number % len(of)] for of in (theme.PALETTE, theme.SYMBOLS))
        figure.add_scatter(
            x=part["t"], y=ratio, name=name, mode="lines+markers", marker={"symbol": symbol},
            line={"color": colour, "dash": "dash" if name.endswith("-first") else "solid"},
        )  # fmt: skip
        worst.append(f"{name} {ratio.max():.2f}")
    figure.add_hline(y=1, line={"color": theme.MUTED, "width": 1})
    figure.update_xaxes(title_text="<i>t</i>")
    figure.update_yaxes(title_text="squared error over that of<br>the linear estimate")
    return theme.finish(figure, f"Error over that of the linear estimate; largest: {', '.join(worst)}.", 340)


def unet_diagram(config: UNetConfig, size: int) -> go.Figure:
    """Draw a U-Net: one bar for each level of the way down and up, with its resolution, channels and attention.

    Parameters
    ----------
    config
        Sizes of the network.
    size
        Height and width of the images it is shown for.

    Raises
    ------
    InputError
        If the network cannot take images of this size.
    """
    if size % config.stride:
        raise InputError(f"size = {size} does not fit; {config.stride} must divide it.")
    levels = len(config.multipliers)
    order = [*range(levels), *reversed(range(levels))]
    figure = go.Figure()
    for place, level in enumerate(order):
        side, half = size // config.patch // 2**level, 0.5 * (levels - level) / levels
        text = f"{side} × {side}<br>{config.width * config.multipliers[level]} channels"
        _bar(figure, place * _STEP, half, theme.PALETTE[2**level in config.attention], text)
    for level in range(levels):
        left, right, y = level * _STEP + _BAR, (2 * levels - 1 - level) * _STEP - _BAR, 0.5 * (levels - level) / levels
        _arrow(figure, left, right, y - 0.06, dashed=level < levels - 1)
    ends = (-_BAR - 0.5, -_BAR), ((2 * levels - 1) * _STEP + _BAR, (2 * levels - 1) * _STEP + _BAR + 0.5)
    for (start, stop), text in zip(ends, ("<i>x<sub>t</sub></i>, <i>t</i>", "<i>ε<sub>θ</sub></i>"), strict=True):
        _arrow(figure, start, stop, 0.0)
        figure.add_annotation(x=(start + stop) / 2, y=0.08, text=text, showarrow=False, font={"size": 14})
    for name, colour in (("residual blocks", theme.PALETTE[0]), ("residual blocks and attention", theme.PALETTE[1])):
        marker = {"symbol": "square", "size": 11, "color": colour}
        figure.add_scatter(x=[None], y=[None], mode="markers", marker=marker, name=name)
    figure.update_xaxes(visible=False, range=[ends[0][0] - 0.05, ends[1][1] + 0.05])
    figure.update_yaxes(visible=False, range=[-0.72, 0.56])
    figure.update_layout(margin={"l": 8, "r": 8, "t": 30, "b": 8}, hovermode=False)
    finest, coarsest = size // config.patch, size // config.stride
    description = f"U-Net: from {finest} × {finest} pixels down to {coarsest} × {coarsest} and up again, with skips."
    return theme.finish(figure, description, 300)


def _bar(figure: go.Figure, x: float, half: float, colour: str, text: str) -> None:
    """Draw a level as a bar around (x, 0) with its text below."""
    figure.add_shape(type="rect", x0=x - _BAR, x1=x + _BAR, y0=-half, y1=half, fillcolor=colour, opacity=0.85)
    figure.add_annotation(x=x, y=-half - 0.02, text=text, showarrow=False, yanchor="top", font={"size": 11})


def _arrow(figure: go.Figure, start: float, stop: float, y: float, dashed: bool = False) -> None:
    """Draw a horizontal arrow; dashed ones are skip connections."""
    line = {"color": theme.MUTED, "width": 1.2, "dash": "dot" if dashed else "solid"}
    figure.add_shape(type="line", x0=start, x1=stop, y0=y, y1=y, line=line, layer="below")
    head = {"symbol": "triangle-right", "size": 8, "color": theme.MUTED}
    figure.add_scatter(x=[stop - 0.03], y=[y], mode="markers", marker=head, showlegend=False, hoverinfo="skip")
