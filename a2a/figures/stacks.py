"""Figures of stacks: samples, slices or methods side by side, and one completed slice in detail.

Every function takes arrays (or tensors) in image units and returns a new Plotly figure; inputs are not
changed. Rows or columns are the modalities of a `StackSpec`, which also decides the colour maps.
"""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import torch
from numpy.typing import ArrayLike

from a2a.common.errors import InputError
from a2a.evaluation.metrics import IDENTICAL_DB, psnr
from a2a.figures import theme
from a2a.figures.grid import image_grid
from a2a.figures.panels import Panel, Sheet, as_images, panel
from a2a.forward.stack import StackSpec

_KINDS = {"clean": "given", "measured": "undersampled", "missing": "missing"}


def stack_grid(
    stacks: ArrayLike | torch.Tensor,
    spec: StackSpec,
    row_titles: Sequence[str] = (),
    notes: Sequence[Sequence[str]] = (),
    width: int = theme.WIDTH,
) -> go.Figure:
    """Show stacks as rows of images: samples, slices or methods, with one column for each modality.

    Parameters
    ----------
    stacks
        Shape (R, n, H, W), image units.
    spec
        The n modalities.
    row_titles
        R texts, or none.
    notes
        R x n short texts for the corners of the images (for example a PSNR), or none.
    width
        Pixels.

    Raises
    ------
    InputError
        If the shapes, titles or notes do not fit.
    """
    images = stack_of(stacks, spec, 4, "stacks")
    if notes and [len(row) for row in notes] != [len(spec)] * len(images):
        raise InputError(f"stack_grid needs {len(images)} x {len(spec)} notes or none.")
    texts = notes or [[""] * len(spec)] * len(images)
    rows = [
        [panel(*cell) for cell in zip(stack, spec, row, strict=True)] for stack, row in zip(images, texts, strict=True)
    ]
    description = f"{len(images)} stacks of images, one a row, with the modalities {', '.join(spec.names)} as columns."
    return image_grid(Sheet(rows, row_titles, spec.names), description, width)


def incomplete_grid(
    stacks: ArrayLike | torch.Tensor,
    spec: StackSpec,
    row_titles: Sequence[str] = (),
    width: int = theme.WIDTH,
) -> go.Figure:
    """Show stacks that lack modalities as rows of images; what is missing is an empty box.

    Parameters
    ----------
    stacks
        Shape (R, n, H, W), image units; NaN at every pixel of what is missing.
    spec
        The n modalities.
    row_titles
        R texts, or none.
    width
        Pixels.

    Raises
    ------
    InputError
        If the shapes or titles do not fit.
    """
    found = torch.as_tensor(np.asarray(stacks))
    images = stack_of(found.nan_to_num(0.0), spec, 4, "stacks")
    kinds = [["missing" if bool(image.isnan().all()) else "clean" for image in stack] for stack in found]
    rows = [given_panels(stack, each, spec) for stack, each in zip(images, kinds, strict=True)]
    names = ", ".join(spec.names)
    description = f"{len(images)} stacks, one a row, with the modalities {names} as columns; some are missing."
    return image_grid(Sheet(rows, row_titles, spec.names), description, width)


def realism_sheet(generated: ArrayLike | torch.Tensor, real: ArrayLike | torch.Tensor, spec: StackSpec) -> Sheet:
    """Lay out samples of a prior beside real slices, one stack a column, one modality a row.

    Parameters
    ----------
    generated, real
        Shapes (G, n, H, W) and (R, n, H, W), image units.
    spec
        The n modalities.

    Raises
    ------
    InputError
        If the shapes do not fit.
    """
    made, true = stack_of(generated, spec, 4, "generated"), stack_of(real, spec, 4, "real")
    columns = [[panel(*cell) for cell in zip(stack, spec, strict=True)] for stack in (*made, *true)]
    titles = [f"{kind} {i + 1}" for kind, shown in (("sample", made), ("real", true)) for i in range(len(shown))]
    return Sheet(list(zip(*columns, strict=True)), spec.names, titles, wide_after=(len(made) - 1,))


def completion_sheet(
    given: ArrayLike | torch.Tensor,
    kinds: Sequence[str],
    samples: ArrayLike | torch.Tensor,
    spec: StackSpec,
    truth: ArrayLike | torch.Tensor | None = None,
) -> Sheet:
    """Lay out one completed slice, a row for each modality.

    Columns: the input (a missing modality is an empty box, an undersampled one its zero-filled image in a
    window of its own), the truth if known, one sample, and from two samples on their mean and standard
    deviation, and the absolute error of the mean (of the sample, if there is one). Standard deviation
    and error share one scale, so a map that tells the truth resembles its neighbour. Corners give the
    PSNR of the slice.

    Parameters
    ----------
    given
        Zero-filled images, shape (n, H, W), as in ``observation.adjoint``; ignored where missing.
    kinds
        ``"clean"``, ``"measured"`` or ``"missing"`` for each modality.
    samples
        Completed stacks, shape (S, n, H, W), image units.
    spec
        The n modalities.
    truth
        True stack (n, H, W), or None.

    Raises
    ------
    InputError
        If the shapes or kinds do not fit.
    """
    drawn = stack_of(samples, spec, 4, "samples")
    true = None if truth is None else stack_of(truth, spec, 3, "truth")
    columns = {"input": given_panels(given, kinds, spec)}
    if true is not None:
        columns["truth"] = [panel(*cell) for cell in zip(true, spec, strict=True)]
    columns["one sample"] = _scored(drawn[0], true, spec)
    if len(drawn) > 1:
        columns[f"mean of {len(drawn)}"] = _scored(drawn.mean(axis=0), true, spec)
    maps = _uncertainty(drawn, true)
    limits = (0.0, _round_up(max((float(np.percentile(m, 99.5)) for m in maps.values()), default=0.01)))
    columns |= {title: [Panel(m, theme.SPREAD, limits) for m in values] for title, values in maps.items()}
    titles = [f"<b>{m.name}</b><br>{_KINDS[kind]}" for m, kind in zip(spec, kinds, strict=True)]
    bar = (Panel(None, theme.SPREAD, limits), "image units") if maps else None
    return Sheet(list(zip(*columns.values(), strict=True)), titles, list(columns), bar)


def completion_panel(
    given: ArrayLike | torch.Tensor,
    kinds: Sequence[str],
    samples: ArrayLike | torch.Tensor,
    spec: StackSpec,
    truth: ArrayLike | torch.Tensor | None = None,
    width: int = theme.WIDTH,
) -> go.Figure:
    """Show one completed slice as an interactive figure; see `completion_sheet` for inputs, columns and errors.

    Parameters
    ----------
    given
        Images as they came, ``(n, H, W)``.
    kinds
        How each modality is given.
    samples
        ``(S, n, H, W)``.
    spec
        The n modalities.
    truth
        ``(n, H, W)``, where it is known.
    width
        Of the figure, pixels.
    """
    sheet = completion_sheet(given, kinds, samples, spec, truth)
    names = ", ".join(title.replace("<br>", " ") for title in sheet.column_titles)
    rows = ", ".join(f"{m.name} ({_KINDS[kind]})" for m, kind in zip(spec, kinds, strict=True))
    return image_grid(sheet, f"One slice completed. Rows: {rows}. Columns: {names}.", width)


def stack_of(images: ArrayLike | torch.Tensor, spec: StackSpec, ndim: int, name: str) -> np.ndarray:
    """Return images (..., n, H, W) as a checked float32 array.

    Parameters
    ----------
    images
        ``(..., n, H, W)``.
    spec
        The n modalities.
    ndim
        Axes that it must have.
    name
        For the message.

    Raises
    ------
    InputError
        If the number of axes or of modalities is wrong, or a value is not finite.
    """
    array = as_images(images, ndim, name)
    if array.shape[-3] != len(spec):
        raise InputError(f"{name} must have the {len(spec)} modalities {', '.join(spec.names)}, got {array.shape[-3]}.")
    return array


def given_panels(
    given: ArrayLike | torch.Tensor, kinds: Sequence[str], spec: StackSpec, missing: str = "missing"
) -> list[Panel]:
    """Return one panel for each modality's input: the image, the zero-filled image, or an empty box.

    Parameters
    ----------
    given
        Zero-filled images (n, H, W).
    kinds
        ``"clean"``, ``"measured"`` or ``"missing"`` for each modality.
    spec
        The n modalities.
    missing
        What the empty box says.

    Raises
    ------
    InputError
        If the shapes or kinds do not fit.
    """
    images = stack_of(given, spec, 3, "given")
    if len(kinds) != len(spec) or not set(kinds) <= set(_KINDS):
        raise InputError(f"kinds must say clean, measured or missing for {len(spec)} modalities, got {list(kinds)}.")
    return [
        Panel(None, text=missing) if kind == "missing" else panel(image, modality, own_window=kind == "measured")
        for image, kind, modality in zip(images, kinds, spec, strict=True)
    ]


def _scored(images: np.ndarray, truth: np.ndarray | None, spec: StackSpec) -> list[Panel]:
    """Return the panels of a completed stack with the PSNR, or "exact" for a copy, in their corners."""
    texts = [""] * len(spec)
    if truth is not None:
        values = psnr(truth, images)
        texts = ["exact" if v == IDENTICAL_DB else f"{v:.1f} dB" for v in values.tolist()]
    return [panel(*cell) for cell in zip(images, spec, texts, strict=True)]


def _uncertainty(samples: np.ndarray, truth: np.ndarray | None) -> dict[str, np.ndarray]:
    """Return the maps (n, H, W) of standard deviation and absolute error that can be computed."""
    maps = {}
    if len(samples) > 1:
        maps["standard<br>deviation"] = samples.std(axis=0, ddof=1)
    if truth is not None:
        maps["absolute<br>error"] = np.abs(samples.mean(axis=0) - truth)
    return maps


def _round_up(value: float) -> float:
    """Return the next value of 1, 1.5, 2, 3, 4, 5, 6, 8, 10 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(max(value, 1e-6)))
    return float(next(power * step for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if power * step >= value * (1 - 1e-9)))
