"""Figures of reconstructions: one modality of several slices, as several methods give it back."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
import torch
from numpy.typing import ArrayLike

from a2a.common.errors import InputError
from a2a.evaluation.metrics import psnr
from a2a.figures import theme
from a2a.figures.grid import image_grid
from a2a.figures.panels import Panel, Sheet, as_images, panel
from a2a.forward.stack import Modality

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
    grey = Modality("image")
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
    sheet = _answers({"answer": {**given, **answers}}, as_images(truth, 2, "truth"), "methods_grid", set(given))
    return image_grid(sheet, f"One slice by {', '.join(answers)} beside the truth, errors below.", width)


def answers_grid(
    answers: Mapping[str, Mapping[str, ArrayLike | torch.Tensor]],
    truth: ArrayLike | torch.Tensor,
    modality: Modality,
    width: int = theme.WIDTH,
) -> go.Figure:
    """Show answers to several questions about one image, the error of each below it, all errors on one scale.

    Parameters
    ----------
    answers
        Row title to column title to image (H, W), image units; every row has the same columns. Corners give the PSNR.
    truth
        Image (H, W), image units; the last column.
    modality
        Decides the colours.
    width
        Pixels.

    Raises
    ------
    InputError
        If there is no answer, rows have other columns, or an image has another shape than the truth.
    """
    if not answers or not all(answers.values()):
        raise InputError("answers_grid needs at least one answer in each row.")
    sheet = _answers(answers, as_images(truth, 2, "truth"), "answers_grid", modality=modality)
    columns = ", ".join(title.replace("<br>", " ") for title in sheet.column_titles)
    rows = ", ".join(title.replace("<br>", " ") for title in answers)
    return image_grid(sheet, f"Rows: {rows}, each with its errors below. Columns: {columns}.", width)


def _answers(
    answers: Mapping[str, Mapping[str, ArrayLike | torch.Tensor]],
    true: np.ndarray,
    caller: str,
    given: Collection[str] = (),
    modality: Modality = Modality("image"),  # noqa: B008 - frozen, so one default serves all calls
) -> Sheet:
    """Rows of answers with their errors below, and the truth; columns of `given` have no score and no error."""
    columns = list(next(iter(answers.values())))
    if odd := [row for row, each in answers.items() if list(each) != columns]:
        raise InputError(f"{caller}: the row {odd[0]!r} must have the columns {', '.join(columns)}.")
    images = {row: {c: as_images(image, 2, c) for c, image in each.items()} for row, each in answers.items()}
    wrong = [c for each in images.values() for c, image in each.items() if image.shape != true.shape]
    if wrong:
        raise InputError(f"{caller}: {', '.join(wrong)} must have the shape {true.shape} of the truth.")
    errors = {r: {c: np.abs(im - true) for c, im in each.items() if c not in given} for r, each in images.items()}
    largest = np.percentile(np.stack([e for each in errors.values() for e in each.values()]), _SHOWN)
    limits, rows = (0.0, max(float(largest), 0.01)), []
    for row, each in images.items():
        notes = {c: "" if c in given else f"{float(psnr(true, image)):.1f} dB" for c, image in each.items()}
        upper = [panel(image, modality, notes[c], own_window=c in given) for c, image in each.items()]
        rows.append([*upper, panel(true, modality) if not rows else Panel(None)])
        rows.append([Panel(errors[row].get(c), theme.SPREAD, limits) for c in [*columns, ""]])
    titles = [title for row in answers for title in (row, "error")]
    return Sheet(rows, titles, [*columns, "truth"], (Panel(None, theme.SPREAD, limits), "error (image units)"))
