"""One look for all figures: palette, fonts, colour maps, sizes.

Figures stand on a white card of their own, so they read alike on a light and on a dark page. The palette
is that of Okabe and Ito, distinguishable with the common forms of colour blindness; no figure tells things
apart by colour alone where it has a second means (symbols, dashes, position, text).
"""

import numpy as np
import plotly.graph_objects as go
from matplotlib import colormaps

from a2a.common.errors import InputError

WIDTH = 630
"""Width of a figure in pixels: the text column of the book."""

INK, MUTED, FAINT, PAPER = "#1f2933", "#5b6770", "#d5dade", "#ffffff"
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "x")
MARKS = ("#E69F00", "#56B4E9", "#CC79A7")  # rims of labels on grey images
FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"

GREY, PET, SPREAD = "gray", "inferno", "viridis"
"""Colour maps: anatomy (MR, CT), tracer uptake (PET), and maps of standard deviation or absolute error."""

_IMAGE_MAPS = {"MR": GREY, "CT": GREY, "PET": PET}


def image_map(kind: str) -> str:
    """Return the colour map of a modality's kind (``"MR"``, ``"CT"``, ``"PET"``).

    Raises
    ------
    InputError
        If there is no such kind.
    """
    if kind not in _IMAGE_MAPS:
        raise InputError(f"Unknown kind of modality {kind!r}; there are {', '.join(_IMAGE_MAPS)}.")
    return _IMAGE_MAPS[kind]


def colour_table(name: str) -> np.ndarray:
    """Return a colour map as a table ``uint8 (256, 3)``."""
    return colormaps[name](np.arange(256), bytes=True)[:, :3]


def colour_scale(name: str, stops: int = 17) -> list[list]:
    """Return a colour map as a Plotly colour scale."""
    table = colour_table(name)
    at = np.linspace(0, 255, stops).round().astype(int)
    return [[index / 255, "rgb({}, {}, {})".format(*table[index])] for index in at.tolist()]


def _axis() -> dict:
    title = {"standoff": 8, "font": {"size": 13, "color": INK}}
    return {
        "showline": True, "linecolor": MUTED, "linewidth": 1, "ticks": "outside", "tickcolor": MUTED, "ticklen": 4,
        "showgrid": True, "gridcolor": FAINT, "gridwidth": 1, "zeroline": False, "automargin": True, "title": title,
    }  # fmt: skip


def template() -> go.layout.Template:
    """Return the Plotly template that every figure carries."""
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 12, "color": INK},
            "title": {"font": {"size": 15}, "x": 0, "xref": "paper", "xanchor": "left"},
            "paper_bgcolor": PAPER,
            "plot_bgcolor": PAPER,
            "colorway": list(PALETTE),
            "margin": {"l": 60, "r": 16, "t": 40, "b": 48},
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 12}},
            "xaxis": _axis(),
            "yaxis": _axis(),
            "hoverlabel": {"font": {"family": FONT}},
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": MUTED, "activecolor": INK},
        }
    )


def finish(figure: go.Figure, description: str, height: int, width: int = WIDTH) -> go.Figure:
    """Give a figure the template, its size in pixels and its description for readers who cannot see it.

    Parameters
    ----------
    figure
        The figure, changed in place; it belongs to the caller, who has just made it.
    description
        One sentence or two: what is drawn and what it shows; `show` puts it into the page.
    height, width
        Size in pixels.
    """
    figure.update_layout(template=template(), height=height, width=width, meta={"description": description})
    return figure
