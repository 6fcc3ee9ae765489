"""``a2a info``: what is installed, what is shipped, what needs a download."""

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path

import typer

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def info() -> None:
    """Show versions, the device, shipped weights, data cards, and what needs a download."""
    from a2a.common.paths import repository

    for line in [*_machine(repository()), "", *_weights(repository("weights")), "", *_cards(repository("data_cards"))]:
        typer.echo(line)


def _machine(root: Path) -> Iterator[str]:
    """Versions and device."""
    from a2a.common.provenance import accelerator, commit, machine, package_versions, processor

    here = machine()
    yield f"a2a {here['a2a']}, commit {commit(root)}, Python {here['python']}"
    yield ", ".join(f"{name} {found}" for name, found in package_versions().items())
    yield f"Accelerator: {accelerator() or 'none'}"
    yield f"Processor: {processor()}, {here['threads']} threads"


def _weights(folder: Path) -> Iterator[str]:
    """Every shipped prior and method with the plain values of its model card, and whether its tensors are here."""
    from a2a.patient.statement import learnt_from
    from a2a.prior.shipped import SOURCE

    files = sorted(folder.rglob("*.json"))
    yield f"Weights described in {folder}:" if files else f"No weights in {folder}; train a prior with `a2a train`."
    for file in files:
        tensors = file.with_suffix(".safetensors")
        here = f"{tensors.stat().st_size / 2**20:.1f} MiB" if tensors.is_file() else f"not here; found by {SOURCE}"
        yield f"  {tensors.relative_to(folder)} ({here})"
        card = json.loads(file.read_text(encoding="utf-8"))["card"]
        yield f"    learnt from: {learnt_from(card)}"
        for name, value in card.items():
            if isinstance(value, str | int | float):
                yield from textwrap.wrap(f"{name}: {value}", 110, initial_indent="    ", subsequent_indent="      ")


def _cards(folder: Path) -> Iterator[str]:
    """Every data card, and how to get the data set where it is not built in."""
    from a2a.data.cards.card import load_card

    yield f"Data cards in {folder}:"
    for file in sorted(folder.glob("*.yaml")):
        card = load_card(file)
        profiles = f"; profiles {', '.join(card.profiles)}" if card.profiles else ""
        yield f"  {card.name}: {card.title} ({', '.join(card.spec.names)}){profiles}"
        needs = {"phantom": "Built in, no download.", "files": f"Needs a download. {card.how_to_get}"}
        needs = needs.get(card.source.kind, f"Private, take {getattr(card.source, 'instead', '')}.")
        yield from textwrap.wrap(needs, 110, initial_indent="    ", subsequent_indent="    ")
