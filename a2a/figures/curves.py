"""Figures of numbers: schedules, metrics with intervals, and the Gaussian toy."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

from a2a.common.errors import InputError
from a2a.evaluation.metrics import summary
from a2a.figures import theme
from a2a.figures.looks import Look, looks, scale


def schedule_curves(schedules: Mapping[str, ArrayLike | torch.Tensor]) -> go.Figure:
    """Show noise schedules: the share of signal and of noise over time, and the signal-to-noise ratio.

    Parameters
    ----------
    schedules
        Name to the table ``alpha_bar`` (T,), each value in (0, 1].

    Raises
    ------
    InputError
        If there is none, or a table has values outside (0, 1].
    """
    if not schedules:
        raise InputError("schedule_curves needs at least one schedule.")
    figure = make_subplots(1, 2, subplot_titles=["signal and noise in <i>x<sub>t</sub></i>", "signal-to-noise ratio"])
    for number, (name, table) in enumerate(schedules.items()):
        abar = np.asarray(table, np.float64)
        if abar.ndim != 1 or not ((abar > 0) & (abar <= 1)).all():
            raise InputError(f"The schedule {name!r} must be one row of alpha_bar values in (0, 1].")
        at = np.unique(np.linspace(0, len(abar) - 1, 201).round().astype(int))
        time, abar = at / max(len(abar) - 1, 1), abar[at]
        colour = theme.PALETTE[number % len(theme.PALETTE)]
        group = {"legendgroup": name}
        signal, noise = {"color": colour}, {"color": colour, "dash": "dash"}
        figure.add_scatter(x=time, y=np.sqrt(abar), name=f"{name}: √ᾱ", line=signal, **group, row=1, col=1)
        figure.add_scatter(x=time, y=np.sqrt(1 - abar), name=f"{name}: √(1−ᾱ)", line=noise, **group, row=1, col=1)
        ratio = 10 * np.log10(abar / np.maximum(1 - abar, 1e-12))
        figure.add_scatter(x=time, y=ratio, name=name, line=signal, showlegend=False, **group, row=1, col=2)
    figure.update_xaxes(title_text="<i>t</i> / (<i>T</i> − 1)")
    figure.update_yaxes(title_text="dB", row=1, col=2)
    figure.update_yaxes(title_text="factor", row=1, col=1)
    figure.update_layout(legend={"y": -0.28, "yanchor": "top"}, margin={"t": 30, "b": 90})
    description = f"Noise schedules {', '.join(schedules)}: signal falls and noise rises with time."
    return theme.finish(figure, description, 340)


def log_ticks(values: ArrayLike) -> dict:
    """Return labelled ticks at 1, 2 and 5 times the powers of ten that positive values span, for a logarithmic axis."""
    low, high = (int(np.floor(np.log10(v))) for v in (np.min(values), np.max(values)))
    at = [step * 10.0**power for power in range(low, high + 1) for step in (1, 2, 5)]
    return {"tickvals": at, "ticktext": [f"{tick:g}" for tick in at]}


def metric_intervals(
    table: pd.DataFrame, metric: str = "psnr", rows: str = "scenario", colour: str = "method"
) -> go.Figure:
    """Show a metric of methods and scenarios: every subject as a faint dot, the mean with its 95 % interval.

    Dots on an axis of its own range rather than bars, because decibels have no meaningful zero.

    Parameters
    ----------
    table
        Long table with ``subject, metric, value`` and the columns named by `rows` and `colour`; one value for
        each subject, row and colour.
    metric
        Which metric to draw.
    rows, colour
        Columns that give the rows (first at the top) and the colours.

    Raises
    ------
    InputError
        If a column or the metric is missing, or a subject has several values in a place.
    """
    for column in ("subject", "metric", "value", rows, colour):
        if column not in table:
            raise InputError(f"metric_intervals needs a table with the column {column!r}.")
    chosen = table.loc[table["metric"] == metric, ["subject", "metric", rows, colour, "value"]]
    if chosen.empty:
        raise InputError(f"The table has no metric {metric!r}; it has {', '.join(sorted(set(table['metric'])))}.")
    means = summary(chosen)
    row_names, colour_names = (list(dict.fromkeys(chosen[c])) for c in (rows, colour))
    figure = go.Figure()
    for number, (name, style) in enumerate(looks(colour_names).items()):
        offset = 0.6 * ((number + 0.5) / len(colour_names) - 0.5)
        place = {row: position + offset for position, row in enumerate(row_names)}
        _dots(figure, chosen[chosen[colour] == name], means[means[colour] == name], rows, place, style)
    figure.update_yaxes(tickvals=list(range(len(row_names))), ticktext=row_names, showgrid=False)
    figure.update_yaxes(range=[len(row_names) - 0.5, -0.5], ticks="")
    figure.update_xaxes(title_text=scale(metric).title)
    for border in range(1, len(row_names)):
        figure.add_hline(border - 0.5, line={"color": theme.FAINT, "width": 1})
    height = 110 + len(row_names) * (16 + 20 * len(colour_names))
    description = (
        f"{scale(metric).title} of {', '.join(colour_names)} for {', '.join(row_names)}: means with intervals."
    )
    return theme.finish(figure, description, height)


def _dots(
    figure: go.Figure,
    values: pd.DataFrame,
    means: pd.DataFrame,
    rows: str,
    place: Mapping[str, float],
    style: Look,
) -> None:
    """Draw one colour of `metric_intervals`: the subjects' dots and the means with intervals."""
    faint = {"color": style.colour, "opacity": 0.3, "size": 5, "symbol": style.symbol}
    y = [place[row] for row in values[rows]]
    text = values["subject"].astype(str)
    hover = "subject %{text}: %{x:.3f}<extra>" + style.label + "</extra>"
    common = {"legendgroup": style.label, "mode": "markers"}
    figure.add_scatter(x=values["value"], y=y, text=text, hovertemplate=hover, marker=faint, showlegend=False, **common)
    mean = means["mean"]
    reach = {"type": "data", "symmetric": False, "array": means["high"] - mean, "arrayminus": mean - means["low"]}
    figure.add_scatter(
        x=mean,
        y=[place[row] for row in means[rows]],
        name=style.label,
        marker={"color": style.colour, "size": 10, "symbol": style.symbol, "line": {"color": theme.PAPER, "width": 1}},
        error_x=reach | {"thickness": 2, "width": 5, "color": style.colour},
        hovertemplate="mean %{x:.3f}<extra>" + style.label + "</extra>",
        **common,
    )


def gaussian_posterior(
    samples: Mapping[str, ArrayLike | torch.Tensor],
    mean: ArrayLike | torch.Tensor,
    cov: ArrayLike | torch.Tensor,
    prior: tuple[ArrayLike, ArrayLike] | None = None,
    names: Sequence[str] = ("x₁", "x₂"),
    exact: str = "exact posterior",
) -> go.Figure:
    """Show samplers' samples of two modalities against the exact Gaussian posterior.

    Parameters
    ----------
    samples
        Sampler's name to its samples (S, 2), image units; one panel each.
    mean, cov
        Exact posterior mean (2,) and covariance (2, 2); ellipses at one and two standard deviations.
    prior
        Prior mean and covariance, drawn in grey, or None.
    names
        Names of the two modalities.
    exact
        What `mean` and `cov` are of, for the legend.

    Raises
    ------
    InputError
        If there are no samples or shapes are wrong.
    """
    if not samples or len(samples) > 4:
        raise InputError(f"gaussian_posterior draws one to four sets of samples, got {len(samples)}.")
    figure = make_subplots(
        1, len(samples), subplot_titles=list(samples), shared_xaxes="all", shared_yaxes="all", horizontal_spacing=0.03
    )
    curves = [(exact, theme.INK, _ellipses(mean, cov))]
    if prior is not None:
        curves.insert(0, ("prior", theme.MUTED, _ellipses(*prior)))
    for column, (name, drawn) in enumerate(samples.items(), start=1):
        points = np.asarray(drawn, np.float64)
        if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
            raise InputError(f"The samples of {name!r} must be finite and of shape (S, 2), got {points.shape}.")
        first = {"showlegend": column == 1, "row": 1, "col": column}
        dots = {"color": theme.PALETTE[0], "size": 4, "opacity": 0.35}
        x, y = points.round(4).T
        figure.add_scatter(x=x, y=y, mode="markers", marker=dots, name="samples", hoverinfo="skip", **first)
        for label, colour, (xs, ys) in curves:
            line = {"color": colour, "width": 2, "dash": "dot" if label == "prior" else "solid"}
            figure.add_scatter(x=xs, y=ys, mode="lines", line=line, name=label, hoverinfo="skip", **first)
    figure.update_xaxes(title_text=names[0])
    figure.update_yaxes(title_text=names[1], scaleanchor="x", scaleratio=1, col=1)
    figure.update_layout(legend={"y": -0.22, "yanchor": "top"}, margin={"t": 30, "b": 80})
    description = f"Samples of {', '.join(samples)} in the plane of {names[0]} and {names[1]}, with the {exact}."
    return theme.finish(figure, description, 380)


def _ellipses(mean: ArrayLike, cov: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return the ellipses at one and two standard deviations as one line with a break."""
    centre, matrix = (np.asarray(a, np.float64) for a in (mean, cov))
    if centre.shape != (2,) or matrix.shape != (2, 2):
        raise InputError(
            f"A Gaussian of two modalities has mean (2,) and covariance (2, 2), got {centre.shape}, {matrix.shape}."
        )
    values, vectors = np.linalg.eigh(matrix)
    angle = np.linspace(0, 2 * np.pi, 100)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    unit = vectors @ (np.sqrt(np.maximum(values, 0))[:, None] * circle)
    xs, ys = (np.concatenate([m + u, [np.nan], m + 2 * u]) for m, u in zip(centre, unit, strict=True))
    return xs.round(5), ys.round(5)
