"""``a2a data``: get public data sets."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from a2a.cli import given

app = typer.Typer(
    name="data", help="Get public data sets.", no_args_is_help=True, add_completion=False, rich_markup_mode=None
)


@app.callback()
def data() -> None:
    """Keep ``fetch`` a command of its own name although it is the only one."""


@app.command()
def fetch(
    card: Annotated[str, typer.Argument(help="Data card with a download: open-ms, open-ms-longitudinal or ixi.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the files; by default runs/downloads/CARD.")] = None,
    base_url: Annotated[str | None, typer.Option(help="A mirror of the files instead of the card's address.")] = None,
) -> None:
    """Download a public data set, check it, and go on where an interrupted download stopped."""
    from a2a.data.cards.card import load_card

    found = load_card(card)
    folder = given.place(out or Path("runs/downloads") / found.name)
    from a2a.data.cards.fetch import fetch as fetch_files

    typer.echo(f"{found.title}: {found.licence.name}. {found.licence.terms}")
    got = fetch_files(found, folder, base_url)
    words = [
        "a2a",
        "prepare",
        found.name,
        "--root",
        str(folder),
        "--profile",
        "full",
        "--out",
        f"runs/data/{found.name}",
    ]
    typer.echo(f"{folder}: {len(got)} files or folders; now run: {shlex.join(words)}")
