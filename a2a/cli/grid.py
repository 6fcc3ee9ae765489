"""``a2a grid``: chapters over a grid of parameters."""

from pathlib import Path
from typing import Annotated

import typer

from a2a.errors import Failure


def grid(
    path: Annotated[Path, typer.Argument(metavar="GRID", help="YAML with name, chapters, profile and parameters.")],
    jobs: Annotated[int, typer.Option(min=1, help="Chapters at a time.")] = 1,
    check: Annotated[bool, typer.Option("--check", help="Only say what would run.")] = False,
) -> None:
    """Execute chapters with every combination of some parameters; started again, it goes on where it was.

    Ends with 1 if a combination failed; the others are done all the same.
    """
    from a2a.book import Book
    from a2a.grid import Grid, grid_tasks, run_grid
    from a2a.paths import repository

    asked, book = Grid.load(path), Book.read(repository())
    tasks = grid_tasks(asked, book)
    if check:
        typer.echo("\n".join(task.label for task in tasks))
        return
    table = run_grid(asked, book, jobs, lambda line: typer.echo(f"grid: {line}", err=True))
    typer.echo(table.drop(columns=["folder", "error"]).to_string(index=False))
    typer.echo(f"Gallery: {book.root / 'runs' / 'grid' / asked.name / 'index.html'}")
    if count := int((table["result"] == "failed").sum()):
        raise Failure(f"{count} of {len(table)} combinations failed; their folders hold failure.txt.")
