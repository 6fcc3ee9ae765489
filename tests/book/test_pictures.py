"""Pictures of figures: drawn by a browser where there is one, kept in notebooks, seen by readers without JavaScript."""

import base64
import io
import os

import nbformat
import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image

from a2a.bookmaking.pictures import PLOTLY, PNG, add_pictures, bundles, draw
from a2a.figures import theme
from a2a.figures.show import mime_bundle

INK, WIDTH, HEIGHT = (0, 114, 178), 300, 200


@pytest.fixture
def notebook(tmp_path):
    """Write an executed notebook with a bar, a bitmap and a table; return its path."""
    bar = go.Figure(go.Bar(y=[1], marker_color=f"rgb{INK}"))
    bitmap = go.Figure(go.Image(z=np.full((4, 4, 3), 200)))
    figures = [theme.finish(figure, "drawn", HEIGHT, WIDTH) for figure in (bar, bitmap)]
    outputs = [nbformat.v4.new_output("display_data", data) for data in map(mime_bundle, figures)]
    outputs.append(nbformat.v4.new_output("display_data", {"text/html": "<table></table>"}))
    path = tmp_path / "executed.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x", outputs=outputs)]), path)
    return path


def decoded(data) -> np.ndarray:
    """Return the picture of an output as RGB."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data[PNG]))).convert("RGB")).astype(int)


def test_every_figure_gets_its_picture_once(notebook, chromium):
    lines = []
    add_pictures([notebook], lines.append)
    assert lines == ["pictures: 2 of 2 figures drawn for readers without JavaScript"]
    bar, bitmap = bundles(nbformat.read(notebook, as_version=4))
    assert decoded(bar).shape == (2 * HEIGHT, 2 * WIDTH, 3) and decoded(bitmap).shape == (HEIGHT, WIDTH, 3)
    inked = np.abs(decoded(bar) - INK).max(axis=-1) < 12
    assert 0.2 < inked.mean() < 0.8 and (decoded(bar) > 250).all(axis=-1).mean() > 0.1
    before = notebook.read_bytes()
    add_pictures([notebook], lines.append)
    assert len(lines) == 1 and notebook.read_bytes() == before


@pytest.mark.long
def test_a_figure_that_cannot_be_drawn_stops_no_other_and_equal_figures_give_equal_bytes(notebook, chromium):
    bar, bitmap = (data[PLOTLY] for data in bundles(nbformat.read(notebook, as_version=4)))
    broken = bar | {"data": [{"type": "bar", "y": {"dtype": "f8", "bdata": "AAAA"}}]}
    (first, none, second, other), errors = draw([bar, broken, bar, bitmap])
    assert first == second != other and none is None and len(errors) == 1
    add_pictures([notebook], lambda line: None)
    kept = [base64.b64decode(data[PNG]) for data in bundles(nbformat.read(notebook, as_version=4))]
    assert kept == [first, other]


def test_without_a_browser_nothing_changes_and_the_reason_is_said(notebook, monkeypatch):
    pytest.importorskip("kaleido", reason="Kaleido comes with the extra png")
    before, lines = notebook.read_bytes(), []
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.setenv("BROWSER_PATH", "/nowhere/chrome")
    add_pictures([notebook], lines.append)
    assert notebook.read_bytes() == before
    assert len(lines) == 1 and "0 of 2" in lines[0] and "install Chromium or run kaleido_get_chrome" in lines[0]
