"""A picture per subject, so that a person can see whether a preparation went wrong."""

import io
from itertools import cycle

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from a2a.data.volumes.labels import UNKNOWN
from a2a.forward.stack import StackSpec

_COLUMNS = 12
_OUTLINES = ("#ff8c00", "#00c5cd", "#ff4fa3", "#9acd32")


@rc_context({"text.parse_math": False})  # names and titles come from files
def sheet_png(
    title: str, spec: StackSpec, z_mm: list[float], images: np.ndarray, labels: np.ndarray | None = None
) -> bytes:
    """Draw up to 12 equally spaced slices of a subject, one row per modality, grey from 0 to 1.

    Every label map is outlined on every row, each in a colour of its own.

    Parameters
    ----------
    title
        What is written above.
    spec
        Names of the rows.
    z_mm
        World z of the slices, in mm.
    images
        ``(N, n, H, W)`` in [0, 1].
    labels
        Label maps ``(N, L, H, W)``; 0 is background, 255 is not known.

    Returns
    -------
    bytes
        A PNG file.
    """
    picked = np.unique(np.linspace(0, len(images) - 1, min(_COLUMNS, len(images))).round().astype(int))
    columns, rows, side = len(picked), len(spec), images.shape[-1]
    mosaic = images[picked].astype(np.float32).transpose(1, 2, 0, 3).reshape(rows * side, columns * side)
    figure = Figure(figsize=(1.1 * columns + 1.2, 1.1 * rows + 0.8), dpi=max(80, 1.25 * side), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.imshow(mosaic, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    for number, colour in zip(range(0 if labels is None else labels.shape[1]), cycle(_OUTLINES), strict=False):
        there = (labels[picked, number] > 0) & (labels[picked, number] != UNKNOWN)
        if there.any():
            line = np.tile(there.transpose(1, 0, 2).reshape(side, columns * side), (rows, 1))
            axes.contour(line, levels=[0.5], colors=colour, linewidths=0.6)
    centres = (np.arange(max(rows, columns)) + 0.5) * side
    axes.set_yticks(centres[:rows], spec.names)
    axes.set_xticks(centres[:columns], [f"{z_mm[i]:.0f}" for i in picked])
    axes.tick_params(length=0)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("z in mm; the patient's right is on the left, anterior is up", fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
