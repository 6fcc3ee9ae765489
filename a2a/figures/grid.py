"""Grids of image panels as interactive figures: the one form in which the book shows stacks.

Images are embedded as 8-bit PNG with a palette, some hundred times smaller than the same numbers as JSON.
The layout is computed in whole pixels of a fixed width, so that images keep their aspect exactly.
"""

import base64
from collections.abc import Sequence

import plotly.graph_objects as go

from a2a.figures import theme
from a2a.figures.layout import Layout
from a2a.figures.panels import Panel, Sheet, png

_LINE, _COLOUR_BAR, _LETTER, _EDGE, _LARGEST = 22, 74, 8, 4, 190


def image_grid(sheet: Sheet, description: str, width: int = theme.WIDTH) -> go.Figure:
    """Draw a sheet of panels; zooming into one panel zooms into all.

    Parameters
    ----------
    sheet
        The panels and their titles.
    description
        For readers who cannot see the figure.
    width
        Pixels at most; a panel is never wider than 190. The height follows from the images' shape.
    """
    letters = max((len(line) for title in sheet.row_titles for line in title.split("<br>")), default=0)
    lines = max(1 + title.count("<br>") for title in sheet.column_titles) + bool(sheet.group_titles)
    margin = {"l": 10 + _LETTER * letters if letters else _EDGE, "r": _COLOUR_BAR if sheet.colour_bar else _EDGE}
    margin |= {"t": _LINE * lines, "b": _EDGE, "pad": 0}
    layout = Layout.fitting(sheet, width - margin["l"] - margin["r"], _LARGEST)
    figure = go.Figure()
    for r, row in enumerate(sheet.rows):
        for c, item in enumerate(row):
            _draw(figure, item, r * len(row) + c, _domain(layout, r, c), sheet.shape)
    _titles(figure, sheet.row_titles, sheet.column_titles)
    _groups(figure, layout, _LINE * (lines - 1))
    if sheet.colour_bar:
        _colour_bar(figure, *sheet.colour_bar)
    figure.update_layout(margin=margin, hovermode=False, showlegend=False)
    size = round(layout.height) + margin["t"] + margin["b"], round(layout.width) + margin["l"] + margin["r"]
    return theme.finish(figure, description, *size)


def _domain(layout: Layout, row: int, column: int) -> tuple[list[float], list[float]]:
    """Return a panel's x and y domain as fractions of the plot area; Plotly's y points up."""
    left, top = layout.left(column), layout.top(row)
    right, bottom = left + layout.cell_width, top + layout.cell_height
    xs = [left / layout.width, min(right / layout.width, 1.0)]
    return xs, [max(1 - bottom / layout.height, 0.0), 1 - top / layout.height]


def _axis(letter: str, index: int) -> str:
    """Plotly's name of the index-th axis: x, x2, x3, ..."""
    return letter if index == 0 else f"{letter}{index + 1}"


def _draw(figure: go.Figure, item: Panel, index: int, domain: tuple, shape: tuple[int, int]) -> None:
    """Draw one panel on its own pair of axes, linked to the first pair."""
    x, y = _axis("x", index), _axis("y", index)
    for name, ends, span in ((x, domain[0], [-0.5, shape[1] - 0.5]), (y, domain[1], [shape[0] - 0.5, -0.5])):
        linked = {"matches": name[0]} if index else {}
        figure.update_layout({f"{name[0]}axis{name[1:]}": {"domain": ends, "range": span, "visible": False} | linked})
    if item.image is None:
        _empty_box(figure, item.text, x, y)
        return
    source = "data:image/png;base64," + base64.b64encode(png(item)).decode()
    figure.add_image(source=source, zsmooth="fast" if item.smooth else False, hoverinfo="skip", xaxis=x, yaxis=y)
    if item.text:
        look = {"font": {"color": "white", "size": 11}, "bgcolor": "rgba(0,0,0,0.55)", "borderpad": 1}
        place = {"x": 0, "y": 0, "xanchor": "left", "yanchor": "bottom", "xref": f"{x} domain", "yref": f"{y} domain"}
        figure.add_annotation(text=item.text, showarrow=False, **look, **place)


def _empty_box(figure: go.Figure, text: str, x: str, y: str) -> None:
    """Draw a dotted box that says why there is no image; without text the place stays blank."""
    where = {"xref": f"{x} domain", "yref": f"{y} domain"}
    # Plotly leaves out axes that hold no trace, and with them everything that refers to their domain.
    figure.add_scatter(x=[None], y=[None], xaxis=x, yaxis=y, hoverinfo="skip")
    if text:
        line = {"color": theme.MUTED, "width": 1, "dash": "dot"}
        figure.add_shape(type="rect", x0=0.01, x1=0.99, y0=0.01, y1=0.99, line=line, **where)
        font = {"color": theme.MUTED, "size": 11}
        figure.add_annotation(text=text, x=0.5, y=0.5, showarrow=False, font=font, **where)


def _titles(figure: go.Figure, rows: Sequence[str], columns: Sequence[str]) -> None:
    for c, title in enumerate(columns):
        where = {"xref": f"{_axis('x', c)} domain", "x": 0.5, "xanchor": "center", "yref": "paper", "y": 1}
        figure.add_annotation(text=title, showarrow=False, yanchor="bottom", **where)
    for r, title in enumerate(rows):
        where = {"yref": f"{_axis('y', r * len(columns))} domain", "y": 0.5, "xref": "paper", "x": 0}
        figure.add_annotation(text=title, showarrow=False, align="right", xanchor="right", xshift=-6, **where)


def _groups(figure: go.Figure, layout: Layout, lift: int) -> None:
    """Write the titles of the groups of columns and the arrows between the groups."""
    on_paper = {"xref": "paper", "yref": "paper", "xanchor": "center", "showarrow": False}
    for title, (left, right) in zip(layout.sheet.group_titles, layout.groups(), strict=False):
        place = {"x": (left + right) / 2 / layout.width, "y": 1, "yshift": lift, "yanchor": "bottom"}
        figure.add_annotation(text=f"<b>{title}</b>", font={"size": 13}, **place, **on_paper)
    for x, y in layout.arrows():
        place = {"x": x / layout.width, "y": 1 - y / layout.height, "yanchor": "middle"}
        figure.add_annotation(text="→", font={"size": 20, "color": theme.PALETTE[0]}, **place, **on_paper)


def _colour_bar(figure: go.Figure, item: Panel, title: str) -> None:
    """Add a colour bar; Plotly has none for images, so an invisible point carries it."""
    bar = {"title": {"text": title, "side": "right", "font": {"size": 12}}, "thickness": 12, "outlinewidth": 0}
    bar |= {"x": 1, "xpad": 8, "len": 0.9, "nticks": 5, "tickfont": {"size": 11}}
    low, high = item.limits
    marker = {"color": [low], "cmin": low, "cmax": high, "colorscale": theme.colour_scale(item.colours)}
    figure.add_scatter(x=[None], y=[None], mode="markers", marker=marker | {"colorbar": bar}, hoverinfo="skip")
