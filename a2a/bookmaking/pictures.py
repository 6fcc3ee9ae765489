"""Pictures of interactive figures: a PNG beside every Plotly figure of executed notebooks.

They are for readers without JavaScript, for exports such as PDF, and for viewers of notebooks. Kaleido draws them with
a Chrome or Chromium of the machine; where either is missing, the book is made without them.
"""

import base64
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from a2a.common.files import write_text

PLOTLY, PNG = "application/vnd.plotly.v1+json", "image/png"
COLOURS = 128
"""Colours of a picture; with so few, that of a figure full of noisy images stays around 100 kB."""
SECONDS = 60
"""Time that one figure may take."""


def add_pictures(notebooks: Sequence[Path], report: Callable[[str], None]) -> None:
    """Store a PNG beside every Plotly figure that has none; one browser draws those of all notebooks.

    The notebooks are the cache: a chapter that need not run again keeps its pictures.

    Parameters
    ----------
    notebooks
        Executed notebooks, which are changed atomically.
    report
        Receives a line about pictures that were drawn, and about what is missing to draw them.
    """
    read = {path: json.loads(path.read_text(encoding="utf-8")) for path in notebooks}
    bare = {path: [data for data in bundles(notebook) if PNG not in data] for path, notebook in read.items()}
    missing = [data for found in bare.values() for data in found]
    if not missing:
        return
    pictures, trouble = _draw_or_explain([data[PLOTLY] for data in missing])
    for data, picture in zip(missing, pictures, strict=True):
        if picture:
            data[PNG] = base64.b64encode(picture).decode()
    for path in (path for path, found in bare.items() if any(PNG in data for data in found)):
        write_text(path, json.dumps(read[path], indent=1, ensure_ascii=False) + "\n")
    drawn = sum(picture is not None for picture in pictures)
    report(f"pictures: {drawn} of {len(missing)} figures drawn for readers without JavaScript{trouble}")


def bundles(notebook: Mapping) -> list[dict]:
    """Return the outputs of a notebook that hold a Plotly figure, each as its forms by media type."""
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    return [output["data"] for output in outputs if PLOTLY in output.get("data", {})]


def _draw_or_explain(figures: Sequence[dict]) -> tuple[list[bytes | None], str]:
    """Return the pictures, None for those that could not be drawn, and the reason as the end of a sentence."""
    try:
        pictures, errors = draw(figures)
    except ImportError:
        return [None] * len(figures), "; Kaleido is missing: pip install -e '.[png]'"
    except RuntimeError as error:  # all that Kaleido says of a browser that is missing or does not start
        name = type(error).__name__
        return [None] * len(figures), f"; no browser ({name}): install Chromium or run kaleido_get_chrome"
    return pictures, f"; {type(errors[0]).__name__}: {errors[0]}" if errors else ""


def draw(figures: Sequence[dict]) -> tuple[list[bytes | None], Sequence[Exception]]:
    """Draw Plotly figures as PNG.

    Parameters
    ----------
    figures
        As in notebooks: ``data`` and ``layout``, with width and height in pixels.

    Returns
    -------
    pictures
        One for each figure; twice as many pixels a side as the figure has, for print, but as many as the figure where
        it holds bitmaps, which would fill megabytes and gain nothing. None for a figure with an error.
    errors
        What went wrong with single figures.

    Raises
    ------
    ImportError
        If Kaleido is not installed (the extra ``png``).
    RuntimeError
        If there is no Chrome or Chromium, or it does not start.
    """
    import kaleido

    with TemporaryDirectory() as folder:
        paths = [Path(folder, f"{number}.png") for number in range(len(figures))]
        orders = [_order(figure, path) for figure, path in zip(figures, paths, strict=True)]
        settings = {"n": 2, "mathjax": False, "timeout": SECONDS}  # its MathJax would come from the network
        errors = kaleido.write_fig_from_object_sync(orders, kopts=settings)
        drawn = [path.is_file() and path.stat().st_size > 0 for path in paths]
        return [_reduced(path) if done else None for path, done in zip(paths, drawn, strict=True)], errors


def _order(figure: dict, path: Path) -> dict:
    """Return what Kaleido wants to know of a figure."""
    scale = 1 if any(trace["type"] == "image" for trace in figure["data"]) else 2
    known = {name: figure[name] for name in ("data", "layout")}
    return {"fig": known, "path": path, "opts": {"format": "png", "scale": scale}}


def _reduced(path: Path) -> bytes:
    """Return a PNG file with few colours, which is a third as long."""
    with Image.open(path) as picture:
        spread = Image.Quantize.MAXCOVERAGE  # keeps both ends of a colour bar, however few pixels they have
        few = picture.convert("RGB").quantize(COLOURS, method=spread, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    few.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
