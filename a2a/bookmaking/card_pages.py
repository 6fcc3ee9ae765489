"""The page of the book that renders every data card and every model card of the repository."""

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from a2a.common.escaping import code, markdown
from a2a.data.cards.card import DataCard, load_card
from a2a.data.cards.parts import KspaceSource, ModalityCard, PhantomSource, PrivateSource
from a2a.prior.weights import read_card

_OVERVIEW = (
    "Each data set is described by one file in `data_cards/`, from which `a2a prepare` makes a slice store; this page "
    "is made from these files. The first ones need nothing but this repository, the last cannot be had. What the "
    "synthetic sets show is in {doc}`10-data`, how files become a store in {doc}`11-scans`."
)
REALISM = "_realism"  # folder of the book with the pictures of `a2a.benchmark.realism`
_SAID = {  # facts of a model card and of its recipe, as a section names them
    "parameters": "Parameters",
    "slices": "Training slices",
    "start": "Goes on from",
    "steps": "Steps",
    "batch": "Slices a step",
    "predicts": "Predicts",
    "given": "Share of slices with given modalities",
    "seconds": "Training (s), of these steps",
    "device": "Trained on",
    "torch": "PyTorch",
    "validation_loss": "Validation loss",
}
_FOREGROUND = {
    "none": "every plane as it is",
    "nonzero": "brain where any image is positive",
    "file": "brain by the mask that comes with it",
    "head": "head found by a threshold",
}


def materials_page(root: Path) -> str:
    """Return the page "Data and weights" as Markdown: a table of all data sets, then a section a card.

    Parameters
    ----------
    root
        Root of the repository, with ``data_cards/`` and ``weights/``.
    """
    cards = sorted((load_card(path) for path in (root / "data_cards").glob("*.yaml")), key=_order)
    weights = sorted((root / "weights").rglob("*.safetensors"))
    parts = [
        "(sec-materials)=\n# Data and weights",
        "## Data sets",
        _OVERVIEW,
        _overview(cards),
        *map(_data_set, cards),
    ]
    parts += ["## Shipped weights", *(_weights(path, root) for path in weights)] if weights else []
    return "\n\n".join(parts) + "\n"


def _order(card: DataCard) -> tuple[int, str]:
    """Order of the cards: built-in data first, then downloads, private data last."""
    ways = (isinstance(card.source, PhantomSource), card.download is not None, bool(card.layouts))
    return next((i for i, way in enumerate(ways) if way), len(ways)), card.name


def _overview(cards: Sequence[DataCard]) -> str:
    """Return the table of all data sets."""
    rows = [
        f"| {{ref}}`{card.name} <card-{card.name}>` | {', '.join(markdown(m.name) for m in card.modalities)} "
        f"| {_clause(card.licence.name)} | {_way(card)} | {_clause(card.stands_in_for)} |"
        for card in cards
    ]
    return "\n".join(
        ["| Card | Modalities | Licence | How to get it | Stands in for |", "|---|---|---|---|---|", *rows]
    )


def _way(card: DataCard) -> str:
    """Say in a few words how to get a data set."""
    if isinstance(card.source, PhantomSource):
        return "generated"
    if isinstance(card.source, PrivateSource):
        return "not at all"
    return f"`a2a data fetch {card.name}`" if card.download else "from its owner, by hand"


def _clause(text: str) -> str:
    """Return the first clause of a text, for a table."""
    return markdown(re.split(r"\s*(?:[,:;(]|\.(?=\s|$))", text, maxsplit=1)[0])


def _data_set(card: DataCard) -> str:
    """Return the section of one data set."""
    licence = f"{card.licence.name}; {card.licence.owner}. {card.licence.terms}"
    facts = {
        "Stands in for": markdown(card.stands_in_for),
        "How to get it": markdown(card.how_to_get),
        "Licence and owner": markdown(licence) + (f" <{card.licence.url}>" if card.licence.url else ""),
        "Cite": markdown(" ".join(card.citation)),
    }
    parts = [
        f"(card-{card.name})=\n### {markdown(card.title)}",
        markdown(card.description),
        "\n".join(f"- **{name}:** {text}" for name, text in facts.items()),
        _modalities(card),
        _labels(card),
        _preprocessing(card),
        _layouts(card),
        _profiles(card),
        "\n".join(["Known faults:", "", *(f"- {markdown(fault)}" for fault in card.known_faults)])
        * bool(card.known_faults),
    ]
    return "\n\n".join(filter(None, parts))


def _modalities(card: DataCard) -> str:
    rows = [
        f"| {markdown(m.name)} | {m.kind} | {markdown(m.unit)} | {_scaling(card, m)} "
        f"| {markdown(', '.join(m.aliases))} | {markdown(m.note)} |"
        for m in card.modalities
    ]
    return "\n".join(
        ["| Modality | Kind | Unit | Becomes 0 and 1 | Other names | Note |", "|---|---|---|---|---|---|", *rows]
    )


def _labels(card: DataCard) -> str:
    """Say what the values of each label map mean."""
    lines = [
        f"- **Labels, {markdown(label.name)}:** "
        + ", ".join(f"{value} {markdown(text)}" for value, text in label.values.items())
        + (f". {markdown(label.note)}" if label.note else "")
        for label in card.labels
    ]
    return "\n".join(lines)


def _preprocessing(card: DataCard) -> str:
    """Say how volumes become slices, as one line."""
    how = card.preprocessing
    if how is None:
        return ""
    pixel = how.field_of_view_mm / how.size
    steps = [
        f"oriented to {how.orientation}",
        f"registered rigidly to {markdown(card.reference)} where grids differ"
        if how.registration == "rigid"
        else "not registered",
        _FOREGROUND[how.foreground]
        + (f", planes with {how.brain_fraction:.0%} of the window" if how.brain_fraction else ""),
        f"a window of {how.field_of_view_mm:g} mm on {how.size} x {how.size} pixels ({pixel:.3g} mm)",
    ]
    return f"- **Preparation:** {'; '.join(steps)}."


def _layouts(card: DataCard) -> str:
    """List the files that `a2a prepare` looks for, or how those with k-space are named."""
    lines = []
    for layout in card.layouts:
        names = code(layout.subject) + (f", sessions {code(layout.session)}" if layout.session else "")
        lines.append(f"- **Files, {markdown(layout.name)}:** subjects {names}")
        patterns = layout.patterns().items()
        for (kind, name), pattern in patterns:
            volume = f", volume {layout.channels[name]} of it" if kind == "image" and name in layout.channels else ""
            lines.append(f"  - {kind} {markdown(name)}: {code(pattern)}{volume}")
    if isinstance(card.source, KspaceSource):
        lines += [f"- **Files, {markdown(name)}:** {code(pattern)}" for name, pattern in card.source.files.items()]
    return "\n".join(lines)


def _profiles(card: DataCard) -> str:
    rows = [f"| {name} | {' | '.join(profile.counts())} |" for name, profile in card.profiles.items()]
    head = ["| Profile | Training subjects | Validation | Test |", "|---|---:|---:|---:|"]
    return "\n".join([*head, *rows]) if rows else ""


def _scaling(card: DataCard, modality: ModalityCard) -> str:
    """Say which values of the files become 0 and 1."""
    if modality.window:
        return f"{modality.window[0]:g} and {modality.window[1]:g}"
    if card.preprocessing is None:
        return "as the weights say" if isinstance(card.source, KspaceSource) else "not known"
    if modality.median is not None:
        return f"0 and 1 / {modality.median:g} of the median of the subject's brain or head"
    whose = "subject's" if modality.normalisation == "subject-percentile" else "training subjects' (median)"
    return f"0 and the {whose} {card.preprocessing.percentile:g}th percentile"


def _weights(path: Path, root: Path) -> str:
    """Return the section of one weights file: its size and the plain values of its model card."""
    head = f"### {code(path.relative_to(root).as_posix())}\n\n{path.stat().st_size / 2**20:.1f} MiB."
    lines = [head, "", *(f"- **{name}:** {markdown(value)}" for name, value in facts(read_card(path)).items())]
    measured = root / "results" / f"{path.stem}-realism.csv"
    return "\n".join(lines + (_realism(measured) if measured.is_file() else []))


def facts(card: Mapping[str, Any]) -> dict[str, str]:
    """Return the plain values of a model card and of its recipe that a page shows, by what they are called there.

    Parameters
    ----------
    card
        As `a2a.prior.weights.read_card` returns it.
    """
    known = card.get("config", {}) | dict(card)
    return {name: _rounded(known[key]) for key, name in _SAID.items() if known.get(key) is not None}


def _rounded(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}" if isinstance(value, float) else str(value)


def _realism(path: Path) -> list[str]:
    """Return the table of a prior's unconditional samples, from `a2a.benchmark.realism`."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = {}  # the row of the most images of each modality, set and metric
    for row in sorted(rows, key=lambda row: int(row["n"])):
        found[row["modality"], row["set"] == "generated", row["metric"]] = row
    whole = {key[1:]: float(row["value"]) for key, row in found.items() if key[0] == "stack"}
    count = found["stack", True, "nearer"]["n"]
    lines = [
        "",
        f"![Samples of the prior beside slices of test subjects, a row for each modality]({REALISM}/{path.stem}.png)",
        "",
        f"{count} unconditional samples against held-out slices, and as many slices of other real subjects: radiomic "
        "Fréchet distance with its 95 % interval, its limit for infinitely many, sharpness over that of real slices.",
        "",
        "| Modality | Distance | of real slices | Limit | of real slices | Sharpness | Precision | Recall |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for modality in dict.fromkeys(row["modality"] for row in rows if row["modality"] != "stack"):
        distances = [found[modality, made, "rfd"] for made in (True, False)]
        cells = [
            "{:.0f} ({:.0f} to {:.0f})".format(*(float(d[k]) for k in ("value", "low", "high"))) for d in distances
        ]
        cells += [f"{float(found[modality, made, 'rfd limit']['value']):.0f}" for made in (True, False)]
        cells += [f"{float(found[modality, True, metric]['value']):.2f}" for metric in ("hfr", "precision", "recall")]
        lines.append(f"| {markdown(modality)} | {' | '.join(cells)} |")
    (made, real), near = ((whole[k, "nearest median"] for k in (True, False)), whole[True, "nearer"])
    return [
        *lines,
        "",
        f"Memorisation: the nearest training slice of a sample is {made:.3f} away (median, root mean square), that "
        f"of a held-out slice {real:.3f}; {100 * near:.0f} % of the samples are nearer than 99 % of held-out slices.",
    ]
