"""``a2a prepare``: from a data card to a slice store."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from a2a.cli import given
from a2a.common.errors import InputError
from a2a.common.escaping import shown
from a2a.common.progress import format_seconds

if TYPE_CHECKING:
    from a2a.data.prepare.prepare import PrepareReport

SOME_SKIPPED = 3
REASON = 500

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def prepare(
    card: Annotated[str, typer.Argument(help="Data card: a YAML file, or the name of one in data_cards/.")],
    out: Annotated[Path, typer.Option(help="Folder of the slice store to write.")],
    root: Annotated[Path | None, typer.Option(help="Folder that holds the files of the data set.")] = None,
    profile: Annotated[str, typer.Option(help="Size of the set: a profile of the card.")] = "ci",
    size: Annotated[int | None, typer.Option(help="Pixels of the training grid; the card's by default.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a differing store in --out.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one per core by default.")] = None,
) -> None:
    """Make a data set ready for training: orient, scale, slice, and write a slice store.

    A collection of data sets (data_cards/collections/) is prepared set by set, each beside --out, and then joined.

    Subjects that cannot be used are named with the reason and left out; the exit code is then 3. A run that was
    interrupted goes on where it stopped when it is started again.
    """
    from a2a.data.cards.card import load_card
    from a2a.data.cards.collection import find_collection

    if find_collection(card):
        _collect(card, given.place(out), root, profile, size, overwrite, workers or os.cpu_count() or 1)
        return
    found, out = load_card(card), given.place(out)
    found.profile(profile)
    if found.layouts and root is not None and not root.is_dir():
        raise InputError(f"{root} is no folder; --root must be the folder that holds the files of {found.name}.")
    from a2a.data.prepare.prepare import prepare as prepare_store

    report = prepare_store(found, out, root, profile, size, overwrite, workers or os.cpu_count() or 1)
    typer.echo(_summary(report))
    for skipped in report.skipped:
        typer.echo(f"Skipped {shown(skipped.subject)}: {shown(skipped.reason, REASON)}", err=True)
    for doubt in report.doubtful:
        typer.echo(f"Look at {shown(str(doubt), REASON)}", err=True)
    if report.skipped:
        raise typer.Exit(SOME_SKIPPED)


def _collect(
    card: str, out: Path, root: Path | None, profile: str, size: int | None, overwrite: bool, workers: int
) -> None:
    """Prepare the data sets of a collection and join their stores."""
    from a2a.data.cards.collection import load_collection
    from a2a.data.prepare.collection import collect

    found = load_collection(card)
    if root is not None or size is not None:
        raise InputError(
            f"{found.name} is a collection; --root and --size belong to its data sets, prepare them first."
        )
    store = collect(found, out, profile, workers, overwrite)
    rows = ", ".join(f"{count} {split}" for split, count in store.manifest["rows"].items())
    typer.echo(f"{store.path}: {rows} slices of {', '.join(sorted(store.datasets))}; what a data set lacks is missing.")


def _summary(report: "PrepareReport") -> str:
    """One line: what is in the store and whether it had to be made."""

    rows = ", ".join(f"{count} {split}" for split, count in report.rows.items())
    what = f"{report.path}: {rows} slices of {report.subjects} subjects"
    if report.reused:
        return f"{what}; already there, made from the same card, files and versions, and reused."
    return f"{what}, in {format_seconds(report.seconds)}; look at {report.path / 'report.html'}."
