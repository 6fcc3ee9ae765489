"""Pictures as PNG files, drawn by matplotlib: for the command line and the README, where no browser is."""

import re
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from a2a.common.errors import InputError
from a2a.common.files import write_atomically
from a2a.figures import theme
from a2a.figures.layout import Layout
from a2a.figures.panels import Panel, Sheet, marked

_LINE, _LETTER, _BAR, _EDGE = 17, 8.5, 80, 8  # hundredths of an inch


@rc_context({"text.parse_math": False})  # names and titles come from files
def contact_sheet(path: Path | str, sheet: Sheet, title: str = "", panel_inches: float = 1.35, dpi: int = 120) -> None:
    """Write a sheet of panels as a PNG file, atomically.

    Parameters
    ----------
    path
        Ends with ``.png``; the folder is made if needed.
    sheet
        The panels and their titles.
    title
        Line above the sheet.
    panel_inches
        Width of a panel; letters have 8 points, so small panels make the letters look large.
    dpi
        Dots per inch.

    Raises
    ------
    InputError
        If the path has another ending.
    """
    if Path(path).suffix.lower() != ".png":
        raise InputError(f"A contact sheet is a PNG file; {path} does not end with .png.")
    columns, rows = ([_plain(text) for text in titles] for titles in (sheet.column_titles, sheet.row_titles))
    letters = max((len(line) for text in rows for line in text.split("\n")), default=0)
    lines = 1 + max(text.count("\n") for text in columns) + 1.3 * bool(sheet.group_titles) + 1.6 * bool(title)
    layout, left, top = Layout(sheet, 100 * panel_inches), _EDGE + _LETTER * letters, _EDGE + _LINE * lines
    width = left + layout.width + (_BAR if sheet.colour_bar else _EDGE)
    height = top + layout.height + _EDGE
    figure = Figure(figsize=(width / 100, height / 100), facecolor=theme.PAPER)
    FigureCanvasAgg(figure)
    for r, row in enumerate(sheet.rows):
        for c, item in enumerate(row):
            x, y = left + layout.left(c), height - top - layout.top(r) - layout.cell_height
            axes = figure.add_axes((x / width, y / height, layout.cell_width / width, layout.cell_height / height))
            _draw(axes, item, columns[c] if r == 0 else "", rows[r] if rows and c == 0 else "")
    figure.text(8 / width, 1 - 8 / height, title, va="top", size=10, weight="bold", color=theme.INK)
    for text, (start, end) in zip(sheet.group_titles, layout.groups(), strict=False):
        place = (left + (start + end) / 2) / width, 1 - (_EDGE + _LINE * 1.6 * bool(title)) / height
        figure.text(*place, text, ha="center", va="top", size=9, weight="bold", color=theme.INK)
    for x, y in layout.arrows():
        place = (left + x) / width, 1 - (top + y) / height
        figure.text(*place, "→", ha="center", va="center", size=14, color=theme.PALETTE[0])
    if sheet.colour_bar:
        _colour_bar(figure, *sheet.colour_bar)
    write_atomically(Path(path), lambda p: figure.savefig(p, format="png", dpi=dpi, metadata={"Software": None}))


def _plain(text: str) -> str:
    """Return a title without its HTML: line breaks as such, no tags."""
    return re.sub(r"<[^>]*>", "", text.replace("<br>", "\n"))


def _draw(axes: Axes, item: Panel, column_title: str, row_title: str) -> None:
    """Draw one panel and the titles beside it."""
    axes.set_axis_off()
    style = {"transform": axes.transAxes, "size": 8, "color": theme.INK}
    if item.image is not None:
        smooth = "bilinear" if item.smooth else "nearest"
        low, high = item.limits
        if item.marks is None:
            axes.imshow(item.image, cmap=item.colours, vmin=low, vmax=high, interpolation=smooth)
        else:
            axes.imshow(marked(item), interpolation=smooth)
        box = {"facecolor": "black", "alpha": 0.55, "pad": 1.0, "edgecolor": "none"}
        if item.text:
            axes.text(0.02, 0.02, item.text, va="bottom", bbox=box, **style | {"color": "white", "size": 7})
    elif item.text:
        edge = {"edgecolor": theme.MUTED, "linestyle": ":", "facecolor": "none"}
        axes.add_patch(Rectangle((0.01, 0.01), 0.98, 0.98, transform=axes.transAxes, **edge))
        axes.text(0.5, 0.5, item.text, ha="center", va="center", **style | {"color": theme.MUTED})
    axes.text(0.5, 1.02, column_title, ha="center", va="bottom", **style)
    axes.text(-0.04, 0.5, row_title, ha="right", va="center", **style)


def _colour_bar(figure: Figure, item: Panel, title: str) -> None:
    """Draw a colour bar in the space at the right."""
    width, _ = figure.get_size_inches()
    axes = figure.add_axes((1 - (_BAR - 8) / 100 / width, 0.1, 0.12 / width, 0.75))
    bar = figure.colorbar(ScalarMappable(Normalize(*item.limits), item.colours), cax=axes)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7, colors=theme.MUTED)
    bar.set_label(title, size=8, color=theme.INK)
