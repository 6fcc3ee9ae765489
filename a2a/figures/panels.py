"""The cell of every figure with images: an image with its colour map and window, or an empty labelled box.

A `Sheet` of panels becomes an interactive figure by `a2a.figures.grid.image_grid` and a PNG file by
`a2a.figures.static.contact_sheet`.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image
from scipy.ndimage import grey_dilation, grey_erosion

from a2a.common.errors import InputError
from a2a.figures import theme
from a2a.forward.stack import Modality


@dataclass(frozen=True)
class Panel:
    """One cell of a grid.

    Parameters
    ----------
    image
        Array (H, W) in image units, or None for an empty box.
    colours
        Name of the colour map.
    limits
        Values drawn with the first and the last colour.
    text
        What an empty box says, or a short note in the lower left corner of an image.
    smooth
        Whether the browser interpolates between pixels; not for masks.
    marks
        Label map (H, W), or None: the rim of value 1, 2, ... is drawn in the colours of `theme.MARKS`.
    """

    image: np.ndarray | None
    colours: str = theme.GREY
    limits: tuple[float, float] = (0.0, 1.0)
    text: str = ""
    smooth: bool = True
    marks: np.ndarray | None = None


@dataclass(frozen=True)
class Sheet:
    """Rows of panels with their titles, ready to be drawn in a page or in a file.

    Parameters
    ----------
    rows
        Panels, row by row; all images of one shape (H, W).
    row_titles, column_titles
        Texts left of the rows (or none) and above the columns; ``<br>`` breaks a line, ``<b>`` and ``<i>`` are
        understood.
    colour_bar
        A panel whose colours and limits a bar at the right explains, and the bar's title.
    wide_after
        Columns after which a wider gap separates groups.
    group_titles
        One title for each group of columns, with arrows from group to group, or none.

    Raises
    ------
    InputError
        If the grid is ragged or empty, has no image, mixes image shapes, or the titles do not fit it.
    """

    rows: Sequence[Sequence[Panel]]
    row_titles: Sequence[str]
    column_titles: Sequence[str]
    colour_bar: tuple[Panel, str] | None = None
    wide_after: tuple[int, ...] = ()
    group_titles: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        columns, lines = len(self.column_titles), len(self.rows)
        if not (columns and lines) or any(len(row) != columns for row in self.rows):
            raise InputError(f"A sheet needs rows of {columns} panels, one for each column title.")
        if len(self.row_titles) not in (0, lines):
            raise InputError(f"A sheet of {lines} rows needs as many row titles or none, got {len(self.row_titles)}.")
        if len(self.group_titles) not in (0, len(self.wide_after) + 1):
            raise InputError(f"A sheet of {len(self.wide_after) + 1} groups needs as many group titles or none.")
        shapes = {item.image.shape for row in self.rows for item in row if item.image is not None}
        if len(shapes) != 1:
            raise InputError(f"A sheet needs images (H, W) of one shape, got {sorted(shapes) or 'no image at all'}.")

    @property
    def shape(self) -> tuple[int, int]:
        """The shape (H, W) of its images."""
        return next(item.image.shape for row in self.rows for item in row if item.image is not None)


def as_images(images: ArrayLike | torch.Tensor, ndim: int, name: str) -> np.ndarray:
    """Return images as a checked float32 array.

    Parameters
    ----------
    images
        To be checked.
    ndim
        Axes that it must have.
    name
        For the message.

    Raises
    ------
    InputError
        If there are not `ndim` axes, an axis is empty, or a value is not finite.
    """
    array = np.asarray(images.detach().cpu() if isinstance(images, torch.Tensor) else images)
    if array.ndim != ndim or array.size == 0:
        raise InputError(f"{name} must be an array with {ndim} axes, none of them empty, got shape {array.shape}.")
    if np.iscomplexobj(array):
        raise InputError(f"{name} must be real; take the magnitude first.")
    if not np.isfinite(array).all():
        raise InputError(f"{name} has NaN or infinite values.")
    return array.astype(np.float32)


def panel(image: np.ndarray, modality: Modality, text: str = "", own_window: bool = False) -> Panel:
    """Return the panel of one modality's image (H, W), in the modality's colours.

    Parameters
    ----------
    image
        Image units [0, 1].
    modality
        Decides the colour map.
    text
        Note in the corner.
    own_window
        Scale to the image's own 99.5th percentile instead of 1, for images such as a zero-filled
        reconstruction whose overall scale means nothing.
    """
    top = max(float(np.percentile(image, 99.5)), 1e-6) if own_window else 1.0
    return Panel(image, theme.image_map(modality.kind), (0.0, top), text)


def greys(item: Panel) -> np.ndarray:
    """Return a panel's image as numbers of colours, uint8 (H, W): 0 and 255 are its limits."""
    low, high = item.limits
    scaled = np.clip((item.image - low) / (high - low), 0.0, 1.0)
    return (255.0 * scaled).round().astype(np.uint8)


def marked(item: Panel) -> np.ndarray:
    """Return a panel's image in colour, uint8 (H, W, 3), with the rims of its marks drawn over it."""
    picture = theme.colour_table(item.colours)[greys(item)]
    labels = np.asarray(item.marks, np.int64)
    rim = (grey_erosion(labels, (3, 3)) != labels) | (grey_dilation(labels, (3, 3)) != labels)
    for value, colour in enumerate(theme.MARKS, start=1):
        picture[rim & (labels == value)] = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return picture


def png(item: Panel) -> bytes:
    """Encode a panel's image as PNG: one byte a pixel, and the colour map as the palette; with marks, three bytes."""
    picture = Image.fromarray(greys(item) if item.marks is None else marked(item))
    if item.marks is None:
        picture.putpalette(theme.colour_table(item.colours).tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
