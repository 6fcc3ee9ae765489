"""Three planes through a completed volume, where slices that do not go together show as stripes."""

import io
from collections.abc import Mapping

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_PLANES = {"axial": (2, (0, 1)), "sagittal": (0, (1, 2)), "coronal": (1, (0, 2))}


@rc_context({"text.parse_math": False})  # names and titles come from files
def views_png(
    title: str, volumes: Mapping[str, np.ndarray], spacing: tuple[float, ...], planes: tuple[int, ...]
) -> bytes:
    """Draw the middle axial, sagittal and coronal plane of each modality, grey from 0 to 1.

    Parameters
    ----------
    title
        What is written above.
    volumes
        RAS data ``(X, Y, Z)`` in image units, by modality.
    spacing
        Voxel size along x, y and z in mm.
    planes
        Increasing z indices that were computed; what lies between first and last is drawn.

    Returns
    -------
    bytes
        A PNG file.
    """
    figure = Figure(figsize=(2.6 * len(_PLANES) + 0.8, 2.6 * len(volumes) + 0.6), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    cells = figure.subplots(len(volumes), len(_PLANES), squeeze=False)
    for line, (name, data) in zip(cells, volumes.items(), strict=True):
        part = data[:, :, planes[0] : planes[-1] + 1]
        for cell, (view, (across, (right, up))) in zip(line, _PLANES.items(), strict=True):
            image = part.take(_middle(part, across), axis=across)
            image = image[::-1] if right == 0 else image  # the patient's right first
            cell.imshow(image.T[::-1], cmap="gray", vmin=0, vmax=1, aspect=spacing[up] / spacing[right])
            cell.set_xticks([])
            cell.set_yticks([])
            if line is cells[0]:
                cell.set_title(view, fontsize=9)
        line[0].set_ylabel(name, fontsize=9)
    figure.suptitle(f"{title}; right on the left, anterior on the right", fontsize=10)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _middle(data: np.ndarray, axis: int) -> int:
    """Middle of what is not black along an axis."""
    others = tuple(other for other in range(3) if other != axis)
    shown = np.flatnonzero((data > 0).any(axis=others))
    return int(shown[[0, -1]].mean()) if shown.size else data.shape[axis] // 2
