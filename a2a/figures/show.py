"""Putting a figure into a page, so that it shows in the built book, offline, and in a live notebook."""

import hashlib
import html
import json

import plotly.graph_objects as go
from IPython.display import display

_CONFIG = {"displayModeBar": False, "responsive": True}


def mime_bundle(figure: go.Figure) -> dict:
    """Return the figure in the two forms that notebooks understand.

    Parameters
    ----------
    figure
        Any Plotly figure; the description in its ``layout.meta`` becomes the text for screen readers.

    Returns
    -------
    dict
        ``application/vnd.plotly.v1+json`` for JupyterLab, and ``text/html`` without plotly.js for the book,
        which loads its own copy once a page. The same figure always gives the same bytes: the element's id
        is a hash of the content.
    """
    text = figure.to_json()
    name = "figure-" + hashlib.sha256(text.encode()).hexdigest()[:16]
    meta = figure.layout.meta or {}
    body = figure.to_html(full_html=False, include_plotlyjs=False, config=_CONFIG, div_id=name)
    label = html.escape(meta.get("description", "figure"), quote=True)
    page = f'<div role="img" aria-label="{label}">{body}</div>'
    return {"application/vnd.plotly.v1+json": json.loads(text) | {"config": _CONFIG}, "text/html": page}


def show(figure: go.Figure) -> None:
    """Display a figure as `mime_bundle` writes it.

    Plotly's own ``figure.show()`` stores only the first of the two forms when no browser is attached, and the
    book would silently leave the figure out.
    """
    display(mime_bundle(figure), raw=True)
