"""The page of the book that renders every data card and every model card of the repository."""

import re
from pathlib import Path

from a2a.data.card_parts import ModalityCard
from a2a.data.cards import DataCard, load_card
from a2a.weights import read_card


def materials_page(root: Path) -> str:
    """Return the page "Data and weights" as Markdown.

    Parameters
    ----------
    root
        Root of the repository, with ``data_cards/`` and ``weights/``.
    """
    cards = [load_card(path) for path in sorted((root / "data_cards").glob("*.yaml"))]
    weights = sorted((root / "weights").rglob("*.safetensors"))
    parts = ["# Data and weights", "## Data sets", *map(_data_set, cards)]
    parts += ["## Shipped weights", *(_weights(path, root) for path in weights)] if weights else []
    return "\n\n".join(parts) + "\n"


def _data_set(card: DataCard) -> str:
    """Return the section of one data set."""
    rows = [
        f"| {_plain(m.name)} | {m.kind} | {_plain(m.unit)} | {_scaling(card, m)} | {_plain(m.note)} |"
        for m in card.modalities
    ]
    sizes = [f"| {name} | {' | '.join(profile.counts())} |" for name, profile in card.profiles.items()]
    facts = {
        "Stands in for": card.stands_in_for,
        "How to get it": card.how_to_get,
        "Licence": f"{card.licence.name}, {card.licence.owner}. {card.licence.terms}",
        "Cite": " ".join(card.citation),
    }
    return "\n".join(
        [
            f"### {_plain(card.title)}",
            "",
            _plain(card.description),
            "",
            *(f"- **{name}:** {_plain(text)}" for name, text in facts.items()),
            "",
            "| Modality | Kind | Unit | Becomes 0 and 1 | Note |",
            "|---|---|---|---|---|",
            *rows,
            *_labels(card),
            *(
                ["", "| Profile | Training subjects | Validation | Test |", "|---|---:|---:|---:|", *sizes]
                if sizes
                else []
            ),
            *(["", "Known faults:", ""] if card.known_faults else []),
            *(f"- {_plain(fault)}" for fault in card.known_faults),
        ]
    )


def _labels(card: DataCard) -> list[str]:
    """Say what the values of each label map mean."""
    lines = [
        f"- **Labels, {_plain(label.name)}:** "
        + ", ".join(f"{value} {_plain(text)}" for value, text in label.values.items())
        for label in card.labels
    ]
    return ["", *lines] if lines else []


def _scaling(card: DataCard, modality: ModalityCard) -> str:
    """Say which values of the files become 0 and 1."""
    if modality.window:
        return f"{modality.window[0]:g} and {modality.window[1]:g}"
    if card.preprocessing is None:
        return "not known"
    whose = "subject's" if modality.normalisation == "subject-percentile" else "training subjects' (median)"
    return f"0 and the {whose} {card.preprocessing.percentile:g}th percentile"


def _weights(path: Path, root: Path) -> str:
    """Return the section of one weights file: its size and the plain values of its model card."""
    head = f"### `{path.relative_to(root).as_posix()}`\n\n{path.stat().st_size / 2**20:.1f} MiB."
    values = {k: v for k, v in read_card(path).items() if isinstance(v, str | int | float)}
    return "\n".join([head, "", *(f"- **{_plain(k)}:** {_plain(str(v))}" for k, v in values.items())])


def _plain(text: str) -> str:
    """Escape what Markdown would take for markup, and the bars that would end a cell of a table."""
    return re.sub(r"([\\*_`$<>|\[\]{}])", r"\\\1", " ".join(text.split()))
