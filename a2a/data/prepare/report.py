"""The page to look at before trusting a slice store: pictures and figures per subject, in one HTML file."""

from html import escape
from urllib.parse import quote

from a2a.data.cards.card import DataCard
from a2a.data.prepare.doubtful import doubts

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #222; }
h2 { margin-top: 2.5rem; border-top: 1px solid #ccc; padding-top: 1rem; }
table { border-collapse: collapse; margin: .7rem 0; }
th, td { border: 1px solid #ccc; padding: .2rem .6rem; text-align: right; }
td { white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
img { max-width: 100%; height: auto; display: block; margin: .5rem 0; }
.skipped { color: #a00; }
"""
_FIGURES = {
    "shape": "Voxels",
    "voxel_mm": "Voxel, mm",
    "mean": "Mean",
    "deviation": "Deviation",
    "clipped": "Above range",
    "negative": "Below 0 in the file",
    "contrast_to_noise": "Contrast / noise",
    "information": "Information with reference, nat",
}
_MOVED = {
    "angle_deg": "Turned by, degrees",
    "shift_mm": "Shifted by, mm",
    "mutual_information_before": "Information before, nat",
    "mutual_information_after": "Information after, nat",
}


def report_page(card: DataCard, manifest: dict) -> str:
    """Return the quality report of a store as one static HTML page; its pictures lie beside it in the store.

    Parameters
    ----------
    card
        The card.
    manifest
        What the store's manifest will say of subjects, skipped ones and versions.
    """
    subjects, skipped = manifest["subjects"], manifest["skipped"]
    versions = ", ".join(f"{name} {found}" for name, found in manifest["versions"].items() if found is not None)
    parts = [
        f"<h1>{escape(card.title)}: {len(subjects)} prepared, {len(skipped)} left out</h1>",
        f"<p>Card {escape(card.name)}, profile {escape(manifest['profile'])}. Made by {escape(versions)}.</p>",
        _listed("Left out:", [f"<b>{escape(s['subject'])}</b>: {escape(s['reason'])}" for s in skipped]),
        _listed("Look at:", [escape(str(doubt)) for doubt in doubts(subjects)]),
        *(_subject(name, record) for name, record in subjects.items()),
    ]
    title = f"<title>{escape(card.title)}: quality report</title>"
    head = f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">{title}<style>{_STYLE}</style></head><body>'
    return "\n".join([head, *filter(None, parts), "</body></html>\n"])


def _listed(what: str, items: list[str]) -> str:
    points = "".join(f"<li>{item}</li>" for item in items)
    return f'<div class="skipped"><p>{what}</p><ul>{points}</ul></div>' if items else ""


def _subject(name: str, record: dict) -> str:
    """The section of one subject."""
    planes = len(record["geometry"]["planes"]) if "geometry" in record else None
    what = escape(record["split"]) + (f", {planes} planes" if planes else "")
    volumes = [
        f"{escape(label)} {value:g} ml"
        for found in record.get("labels_ml", {}).values()
        for label, value in found.items()
    ]
    parts = [
        f"<h2>{escape(name)} <small>({what})</small></h2>",
        _table(record.get("quality", {}), _FIGURES),
        f"<p>Labels: {', '.join(volumes)}.</p>" if volumes else "",
        f'<img src="sheets/{quote(name)}.png" alt="Slices of {escape(name)}" loading="lazy">',
    ]
    if record.get("transforms"):
        picture = f'<img src="overlays/{quote(name)}.png" alt="Registrations of {escape(name)}" loading="lazy">'
        parts += ["<h3>Registration</h3>", _table(record["transforms"], _MOVED), picture]
    return "\n".join(filter(None, parts))


def _table(rows: dict[str, dict], columns: dict[str, str]) -> str:
    """A table with one row per series."""
    if not rows:
        return ""
    head = "".join(f"<th>{escape(text)}</th>" for text in columns.values())
    lines = "".join(
        f"<tr><td>{escape(name)}</td>{''.join(f'<td>{_value(values[key])}</td>' for key in columns)}</tr>"
        for name, values in rows.items()
    )
    return f"<table><tr><th>Series</th>{head}</tr>{lines}</table>"


def _value(value: object) -> str:
    return " &times; ".join(f"{v:g}" for v in value) if isinstance(value, list) else escape(str(value))
