"""Figures of reconstructions: one modality of several slices, as several methods give it back."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
import torch
from numpy.typing import ArrayLike

from a2a.errors import InputError
from a2a.evaluation.metrics import psnr
from a2a.figures import theme
from a2a.figures.grid import image_grid
from a2a.figures.panels import Panel, Sheet, as_images, panel
from a2a.stack import Modality

_SHOWN = 99.5  # per cent of the errors lie within the colours


def reconstruction_grid(
    given: Mapping[str, ArrayLike | torch.Tensor],
    answers: Mapping[str, ArrayLike | torch.Tensor],
    truth: ArrayLike | torch.Tensor,
    row_titles: Sequence[str] = (),
    width: int = theme.WIDTH,
) -> go.Figure:
    """Show slices as rows: what was given, what the methods answer, the truth, and the error of each answer.

    Corners of the answers give the PSNR of the slice.

    Parameters
    ----------
    given
        Column title to images (R, H, W); each is drawn in a window of its own.
    answers
        Name of a method to its images (R, H, W), image units.
    truth
        Images (R, H, W), image units.
    row_titles
        R texts, or none.
    width
        Pixels.

    Raises
    ------
    InputError
        If there is no answer, or the shapes or titles do not fit.
    """
    if not answers:
        raise InputError("reconstruction_grid needs the answer of at least one method.")
    true = as_images(truth, 3, "truth")
    columns = {name: as_images(images, 3, name) for name, images in {**given, **answers}.items()}
    if wrong := [name for name, images in columns.items() if images.shape != true.shape]:
        raise InputError(f"reconstruction_grid: {', '.join(wrong)} must have the shape {true.shape} of the truth.")
    errors = {name: np.abs(columns[name] - true) for name in answers}
    limits = (0.0, max(float(np.percentile(np.stack(list(errors.values())), _SHOWN)), 0.01))
    scores = {name: psnr(true, columns[name]) for name in answers}
    grey = Modality("")
    cells = {name: [panel(image, grey, own_window=True) for image in columns[name]] for name in given}
    for name in answers:
        notes = [f"{float(score):.1f} dB" for score in scores[name]]
        cells[name] = [panel(image, grey, note) for image, note in zip(columns[name], notes, strict=True)]
    cells["truth"] = [panel(image, grey) for image in true]
    cells |= {f"error of<br>{name}": [Panel(e, theme.SPREAD, limits) for e in maps] for name, maps in errors.items()}
    bar = (Panel(None, theme.SPREAD, limits), "image units")
    sheet = Sheet(list(zip(*cells.values(), strict=True)), row_titles, list(cells), bar)
    names = ", ".join(title.replace("<br>", " ") for title in cells)
    return image_grid(sheet, f"{len(true)} slices, one a row. Columns: {names}.", width)


def methods_grid(
    given: Mapping[str, ArrayLike | torch.Tensor],
    answers: Mapping[str, ArrayLike | torch.Tensor],
    truth: ArrayLike | torch.Tensor,
    width: int = theme.WIDTH,
) -> go.Figure:
    """Show one slice as many methods answer it, with the error of each answer below it.

    Parameters
    ----------
    given
        Column title to image (H, W), drawn in a window of its own.
    answers
        Name of a method to its image (H, W), image units; corners give the PSNR.
    truth
        Image (H, W), image units.
    width
        Pixels.

    Raises
    ------
    InputError
        If there is no answer, or an image has another shape than the truth.
    """
    if not answers:
        raise InputError("methods_grid needs the answer of at least one method.")
    true, grey = as_images(truth, 2, "truth"), Modality("")
    columns = {name: as_images(image, 2, name) for name, image in {**given, **answers}.items()}
    if wrong := [name for name, image in columns.items() if image.shape != true.shape]:
        raise InputError(f"methods_grid: {', '.join(wrong)} must have the shape {true.shape} of the truth.")
    errors = {name: np.abs(columns[name] - true) for name in answers}
    limits = (0.0, max(float(np.percentile(np.stack(list(errors.values())), _SHOWN)), 0.01))
    score = {name: f"{float(psnr(true, columns[name])):.1f} dB" for name in answers}
    upper = [panel(columns[name], grey, score.get(name, ""), own_window=name in given) for name in columns]
    lower = [Panel(errors.get(name), theme.SPREAD, limits) for name in columns]
    rows = [[*upper, panel(true, grey)], [*lower, Panel(None, theme.SPREAD, limits)]]
    sheet = Sheet(rows, ["answer", "error"], [*columns, "truth"], (Panel(None, theme.SPREAD, limits), "image units"))
    return image_grid(sheet, f"One slice by {', '.join(answers)} beside the truth, errors below.", width)
