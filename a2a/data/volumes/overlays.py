"""A picture of each registration, so that a person can see whether it went wrong."""

import io
from collections.abc import Mapping

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from skimage.feature import canny

_PLANES = 5
_EDGE = np.array([1.0, 0.55, 0.0])


@rc_context({"text.parse_math": False})  # names and titles come from files
def overlay_png(
    title: str,
    reference: tuple[str, np.ndarray],
    series: Mapping[str, tuple[np.ndarray, np.ndarray]],
    spacing: tuple[float, float],
    planes: tuple[int, ...],
) -> bytes:
    """Draw the edges of each series in orange on the reference, before and after its registration.

    As in the sheets the patient's right is on the left, and anterior is up.

    Parameters
    ----------
    title
        What is written above.
    reference
        Name and RAS data ``(X, Y, Z)`` of the reference.
    series
        Per series its data on the same grid before and after the registration.
    spacing
        Voxel size along x and y in mm.
    planes
        The planes of the store; five of them are drawn.

    Returns
    -------
    bytes
        A PNG file.
    """
    name, data = reference
    box = _box(data)
    inner = np.linspace(0.1, 0.9, min(_PLANES, len(planes))) * (len(planes) - 1)
    picked = np.asarray(planes)[np.unique(inner.round().astype(int))]
    rows = [
        (f"{other}\n{when}", volume)
        for other, pair in series.items()
        for when, volume in zip(("before", "after"), pair, strict=True)
    ]
    figure = Figure(figsize=(2.2 * len(picked) + 0.8, 2.5 * len(rows) + 0.6), dpi=80, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), len(picked), squeeze=False)
    for line, (label, volume) in zip(axes, rows, strict=True):
        for cell, plane in zip(line, picked, strict=True):
            picture = _edges_on(data[box][:, :, plane], volume[box][:, :, plane])
            cell.imshow(picture, aspect=spacing[1] / spacing[0], interpolation="nearest")
            cell.set_xticks([])
            cell.set_yticks([])
            for side, letter in ((0.02, "R"), (0.98, "L")):
                align = "left" if letter == "R" else "right"
                cell.text(side, 0.5, letter, transform=cell.transAxes, color="white", fontsize=8, ha=align)
        line[0].set_ylabel(label, fontsize=9)
    figure.suptitle(f"{title}: edges of each series on {name}", fontsize=10)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _box(data: np.ndarray) -> tuple[slice, slice]:
    """The part of the planes that shows something, with a margin."""
    bright = (data > 0.1 * np.percentile(data, 99.5)).mean(axis=2) > 0.02
    spans = [np.flatnonzero(bright.any(axis=axis)) for axis in (1, 0)]
    return tuple(slice(max(span[0] - 8, 0), span[-1] + 9) for span in spans) if bright.any() else (slice(None),) * 2


def _edges_on(below: np.ndarray, above: np.ndarray) -> np.ndarray:
    """One plane in grey, ``(rows, columns, 3)``, the patient's right first, with the edges of another in orange."""
    grey, other = (np.clip(image / max(np.percentile(image, 99.5), 1e-6), 0, 1) for image in (below, above))
    picture = np.repeat(grey[..., None], 3, axis=2)
    picture[canny(other.astype(np.float64), sigma=2)] = _EDGE
    return picture[::-1, ::-1].swapaxes(0, 1)
