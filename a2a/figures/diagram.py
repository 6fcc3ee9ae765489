"""Block diagrams of methods: boxes with text in columns and rows, and arrows between them."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from a2a.common.errors import InputError
from a2a.figures import theme

_MARGIN, _CHARACTER = 8, 5.9  # pixels: around the drawing, and the width of a letter
_SHARE = 0.8  # of the distance of columns that a box takes
_ROW, _BOX, _LINE = 66, 30, 15  # pixels: distance of rows, height of a box with one line of text, each further line


@dataclass(frozen=True)
class Box:
    """A box of `block_diagram`.

    Parameters
    ----------
    text
        What stands in it; ``<br>`` starts a new line, ``<i>``, ``<sub>`` and ``<sup>`` may be used.
    column, row
        Its place, from 0, rightwards and downwards; fractions lie between.
    highlighted
        Filled, with white text: what is trained, or what the diagram is about.
    bare
        Text alone, without a box: data that flow.
    span
        Columns that it is as wide as.
    """

    text: str
    column: float
    row: float = 0
    highlighted: bool = False
    bare: bool = False
    span: float = 1


@dataclass(frozen=True)
class Arrow:
    """An arrow of `block_diagram`.

    Parameters
    ----------
    start, stop
        Names of the boxes.
    text
        What stands beside it.
    dashed
        A second kind of arrow: skip connections, gradients, what happens in training only.
    bend
        0 draws a straight line. Otherwise the arrow leaves upwards (downwards if negative), runs so many rows above
        (below) the start, and comes back: for what passes by other boxes.
    """

    start: str
    stop: str
    text: str = ""
    dashed: bool = False
    bend: float = 0


@dataclass(frozen=True)
class _Frame:
    """A box in pixels: its centre, from the lower left of the drawing, and half its width and height."""

    x: float
    y: float
    across: float
    up: float


def block_diagram(boxes: Mapping[str, Box], arrows: Sequence[Arrow], width: int = theme.WIDTH) -> go.Figure:
    """Draw boxes and the arrows between them.

    An arrow runs between the sides that face each other: left and right, or, within a column, top and bottom.

    Parameters
    ----------
    boxes
        By name.
    arrows
        Between boxes.
    width
        Of the figure in pixels.

    Raises
    ------
    InputError
        If there is no box, an arrow names a box that does not exist, or a text is wider than its box.

    Examples
    --------
    >>> boxes = {"x": Box("<i>x</i>", 0, bare=True), "net": Box("network", 1, highlighted=True)}
    >>> len(block_diagram(boxes, [Arrow("x", "net")]).layout.annotations)
    2
    """
    if not boxes:
        raise InputError("block_diagram needs at least one box.")
    ends = {end for arrow in arrows for end in (arrow.start, arrow.stop)}
    if unknown := sorted(ends - set(boxes)):
        raise InputError(f"block_diagram: arrows name {', '.join(unknown)}; the boxes are {', '.join(boxes)}.")
    rise = max([0.0, *(arrow.bend - boxes[arrow.start].row for arrow in arrows)])
    fall = max(boxes[a.start].row - a.bend if a.bend < 0 else 0 for a in arrows) if arrows else 0
    bottom = max([fall, *(box.row for box in boxes.values())])
    height = (bottom + rise + 1) * _ROW
    frames = _frames(boxes, width - 2 * _MARGIN, height - (rise + 0.5) * _ROW)
    figure = go.Figure()
    for arrow in arrows:
        _draw_arrow(figure, frames, arrow)
    for name, box in boxes.items():
        _draw_box(figure, frames[name], box)
    figure.update_xaxes(visible=False, range=[0, width - 2 * _MARGIN], fixedrange=True)
    figure.update_yaxes(visible=False, range=[0, height], fixedrange=True)
    figure.update_layout(margin=dict.fromkeys("lrtb", _MARGIN), hovermode=False, showlegend=False)
    pairs = [f"{_plain(boxes[a.start].text)} to {_plain(boxes[a.stop].text)}" for a in arrows]
    return theme.finish(figure, f"Block diagram with arrows from {'; from '.join(pairs)}.", round(height) + 16, width)


def _frames(boxes: Mapping[str, Box], width: float, top: float) -> dict[str, _Frame]:
    """Place the boxes; `top` is the height of row 0."""
    pitch = width / max(box.column + (1 + box.span) / 2 for box in boxes.values())
    frames = {}
    for name, box in boxes.items():
        lines = box.text.split("<br>")
        across = pitch * (box.span - 1 + _SHARE) / 2
        longest = max(len(_plain(line)) for line in lines) * _CHARACTER
        if longest > (pitch * box.span if box.bare else 2 * across):
            raise InputError(f"block_diagram: the text of {name!r} is too wide for its box; break it with <br>.")
        half = (_BOX + _LINE * (len(lines) - 1)) / 2
        x, y = pitch * (box.column + 0.5), top - box.row * _ROW
        frames[name] = _Frame(x, y, min(across, longest / 2 + 4) if box.bare else across, half - 5 * box.bare)
    return frames


def _draw_box(figure: go.Figure, frame: _Frame, box: Box) -> None:
    """Draw a box with its text."""
    colour = theme.PAPER if box.highlighted else theme.INK
    if not box.bare:
        fill = theme.PALETTE[0] if box.highlighted else theme.PAPER
        corners = {"x0": frame.x - frame.across, "x1": frame.x + frame.across}
        corners |= {"y0": frame.y - frame.up, "y1": frame.y + frame.up}
        figure.add_shape(type="rect", **corners, fillcolor=fill, line={"color": theme.INK, "width": 1.2})
    figure.add_annotation(
        x=frame.x, y=frame.y, text=box.text, showarrow=False, font={"size": 12, "color": colour}, borderpad=0
    )


def _draw_arrow(figure: go.Figure, frames: Mapping[str, _Frame], arrow: Arrow) -> None:
    """Draw an arrow as a line, its head and its text."""
    points = _route(frames[arrow.start], frames[arrow.stop], arrow.bend)
    line = {"color": theme.MUTED, "width": 1.5, "dash": "dash" if arrow.dashed else "solid"}
    xs, ys = zip(*points, strict=True)
    figure.add_scatter(x=xs, y=ys, mode="lines", line=line, hoverinfo="skip")
    (x0, y0), (x1, y1) = points[-2:]
    angle = math.degrees(math.atan2(x1 - x0, y1 - y0))
    marker = {"symbol": "arrow", "size": 9, "angle": angle, "color": theme.MUTED, "line": {"width": 0}}
    figure.add_scatter(x=[x1], y=[y1], mode="markers", marker=marker, hoverinfo="skip")
    if arrow.text:
        middle = len(points) // 2
        (x0, y0), (x1, y1) = points[middle - 1 : middle + 1]
        upright = abs(x1 - x0) < abs(y1 - y0)
        place = {"xanchor": "left", "xshift": 4} if upright else {"yanchor": "bottom", "yshift": 1}
        figure.add_annotation(
            x=(x0 + x1) / 2, y=(y0 + y1) / 2, text=arrow.text, showarrow=False, **place, font={"size": 11}, borderpad=0
        )


def _route(a: _Frame, b: _Frame, bend: float) -> list[tuple[float, float]]:
    """Corners of an arrow from a to b."""
    if bend:
        side, level = math.copysign(1, bend), a.y + bend * _ROW
        return [(a.x, a.y + side * a.up), (a.x, level), (b.x, level), (b.x, b.y + side * b.up)]
    if abs(a.x - b.x) < 1:
        side = math.copysign(1, b.y - a.y)
        return [(a.x, a.y + side * a.up), (b.x, b.y - side * b.up)]
    side = math.copysign(1, b.x - a.x)
    return [(a.x + side * a.across, a.y), (b.x - side * b.across, b.y)]


def _plain(text: str) -> str:
    """Text without its marks."""
    return re.sub(r"<[^>]+>", "", text.replace("<br>", " ")).strip()
