"""Figures of what images show of a head: labels on stacks, grey values of tissues, what one image says of another."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

from a2a.common.errors import InputError
from a2a.figures import theme
from a2a.figures.grid import image_grid
from a2a.figures.panels import Sheet, as_images, panel
from a2a.figures.stacks import stack_of
from a2a.forward.stack import Modality, StackSpec

_BINS = 48
_KEY = 26  # pixels of the line that explains the marks


def labelled_stacks(
    stacks: ArrayLike | torch.Tensor,
    spec: StackSpec,
    labels: ArrayLike,
    names: Sequence[str],
    on: str,
    row_titles: Sequence[str] = (),
) -> go.Figure:
    """Show stacks as rows of images, and once more one modality with the outlines of a label map.

    Parameters
    ----------
    stacks
        Shape (R, n, H, W), image units.
    spec
        The n modalities.
    labels
        Label maps, integers (R, H, W); 0 is background.
    names
        What the values 1, 2, ... mean, one to three.
    on
        The modality on which the outlines are drawn.
    row_titles
        R texts, or none.

    Raises
    ------
    InputError
        If the shapes, names or titles do not fit, or `on` is none of the modalities.
    """
    images, maps = stack_of(stacks, spec, 4, "stacks"), np.asarray(labels)
    if maps.shape != (len(images), *images.shape[2:]):
        raise InputError(f"labels must have shape {(len(images), *images.shape[2:])}, got {maps.shape}.")
    if not 1 <= len(names) <= len(theme.MARKS) or maps.min() < 0 or maps.max() > len(names):
        raise InputError(f"labelled_stacks needs a name for each label 1 to {maps.max()}, got {', '.join(names)}.")
    at = spec.index(on)
    rows = [[panel(image, modality) for image, modality in zip(stack, spec, strict=True)] for stack in images]
    rows = [[*row, replace(row[at], marks=marks)] for row, marks in zip(rows, maps, strict=True)]
    described = f"{len(images)} stacks, one a row: {', '.join(spec.names)}, and {on} with {', '.join(names)} outlined."
    figure = image_grid(Sheet(rows, row_titles, [*spec.names, f"{on}, labels"]), described)
    return _with_key(figure, names)


def marked_images(
    images: Sequence[ArrayLike],
    marks: Sequence[ArrayLike | None],
    titles: Sequence[str],
    names: Sequence[str] = (),
    modality: Modality | None = None,
) -> go.Figure:
    """Show images side by side, some with outlines of a label map.

    Parameters
    ----------
    images
        Arrays (H, W) of one shape, image units.
    marks
        A label map (H, W) for each, or None.
    titles
        One for each image; ``<br>`` breaks a line.
    names
        What the values 1, 2, ... of the label maps mean, at most three.
    modality
        Decides the colours; MR by default.

    Raises
    ------
    InputError
        If there are not as many marks and titles as images, or shapes differ.
    """
    if not len(images) == len(marks) == len(titles) or len(names) > len(theme.MARKS):
        raise InputError(f"marked_images needs marks and a title for each of {len(images)} images, and few names.")
    shown = [panel(as_images(image, 2, "image"), modality or Modality("MR")) for image in images]
    row = [
        item if label is None else replace(item, marks=np.asarray(label))
        for item, label in zip(shown, marks, strict=True)
    ]
    if any(item.marks is not None and item.marks.shape != item.image.shape for item in row):
        raise InputError("marked_images: each label map must have the shape of its image.")
    plain = ", ".join(title.replace("<br>", " ") for title in titles)
    figure = image_grid(Sheet([row], (), titles), f"Images side by side: {plain}.")
    return _with_key(figure, names) if names else figure


def _with_key(figure: go.Figure, names: Sequence[str]) -> go.Figure:
    """Add a line below that says what the colours of the marks mean."""
    colours = zip(theme.MARKS, names, strict=False)
    text = " &nbsp; ".join(f'<span style="color:{colour}">■</span> {name}' for colour, name in colours)
    place = {"xref": "paper", "yref": "paper", "x": 1, "y": 0, "xanchor": "right", "yanchor": "top", "yshift": -4}
    figure.add_annotation(text=text, showarrow=False, **place)
    margin = figure.layout.margin.b + _KEY
    return figure.update_layout(margin={"b": margin}, height=figure.layout.height + _KEY)


def tissue_greys(values: pd.DataFrame, greys: pd.DataFrame) -> go.Figure:
    """Draw a table of tissues and modalities in which every field has the grey that the tissue has in that image.

    Parameters
    ----------
    values
        Numbers that are written into the fields with two decimals, a row a tissue, a column a modality.
    greys
        The same table in image units [0, 1].

    Raises
    ------
    InputError
        If the tables are empty or of different rows or columns.
    """
    if values.empty or not (values.index.equals(greys.index) and values.columns.equals(greys.columns)):
        raise InputError("tissue_greys needs two tables with the same tissues and modalities.")
    shades = greys.to_numpy(np.float64).clip(0, 1)
    figure = go.Figure(
        go.Heatmap(
            z=shades.round(4),
            x=list(values.columns),
            y=list(values.index),
            zmin=0,
            zmax=1,
            xgap=3,
            ygap=3,
            colorscale=theme.colour_scale(theme.GREY),
            showscale=False,
            hoverinfo="skip",
        )  # fmt: skip
    )
    for r, tissue in enumerate(values.index):
        for c, name in enumerate(values.columns):
            font = {"color": theme.INK if shades[r, c] > 0.5 else "white", "size": 12}
            figure.add_annotation(x=name, y=tissue, text=f"{round(values.iloc[r, c], 2):g}", showarrow=False, font=font)
    figure.update_yaxes(autorange="reversed", showgrid=False, ticks="", showline=False)
    figure.update_xaxes(side="top", showgrid=False, ticks="", showline=False)
    figure.update_layout(margin={"t": 34, "b": 8})
    described = f"Grey of {', '.join(values.index)} in {', '.join(values.columns)}."
    return theme.finish(figure, described, 60 + 27 * len(values))


def joint_histograms(given: ArrayLike, targets: Mapping[str, ArrayLike], name: str) -> go.Figure:
    """Draw how the values of other images are distributed where one image has a certain value.

    Parameters
    ----------
    given
        Values of one image, any shape, image units [0, 1].
    targets
        Name to the values of another image at the same pixels; one panel each. Columns sum to one: each is the
        distribution of the target given the value below it. The line is its mean.
    name
        What `given` is.

    Raises
    ------
    InputError
        If there is no target, or shapes differ.
    """
    a = np.asarray(given, np.float64).ravel()
    others = {target: np.asarray(values, np.float64).ravel() for target, values in targets.items()}
    if not others or any(b.shape != a.shape for b in others.values()):
        raise InputError("joint_histograms needs at least one target with as many values as the given image.")
    figure = make_subplots(1, len(others), subplot_titles=list(others), shared_yaxes=True, horizontal_spacing=0.03)
    centres = ((np.arange(_BINS) + 0.5) / _BINS).round(4)
    for column, b in enumerate(others.values(), start=1):
        counts = np.histogram2d(a, b, _BINS, [[0, 1], [0, 1]])[0]
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        seen = counts.sum(axis=1) >= 50
        look = {"colorscale": theme.colour_scale(theme.SPREAD), "zmin": 0, "zmax": 0.5, "showscale": False}
        z = np.where(seen[:, None], np.sqrt(share), np.nan).T.round(3)
        figure.add_heatmap(x=centres, y=centres, z=z, hoverinfo="skip", row=1, col=column, **look)
        mean, line = (share @ centres).round(4), {"color": "white", "width": 2}
        figure.add_scatter(x=centres[seen], y=mean[seen], mode="lines", line=line, showlegend=False, row=1, col=column)
    figure.update_xaxes(range=[0, 1], title_text=name, showgrid=False)
    figure.update_yaxes(range=[0, 1], showgrid=False)
    figure.update_yaxes(title_text="image units", col=1)
    figure.update_layout(margin={"t": 30})
    return theme.finish(figure, f"Distribution of {', '.join(others)} given the value of {name}.", 300)
