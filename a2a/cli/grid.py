"""``a2a grid``: chapters over a grid of parameters."""

from pathlib import Path
from typing import Annotated

import typer

from a2a.cli import given
from a2a.common.errors import Failure
from a2a.common.escaping import shown

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def grid(
    path: Annotated[Path, typer.Argument(metavar="GRID", help="YAML with name, chapters, profile and parameters.")],
    jobs: Annotated[int, typer.Option(min=1, help="Chapters at a time.")] = 1,
    check: Annotated[bool, typer.Option("--check", help="Only say what would run, each with its key.")] = False,
    only: Annotated[str | None, typer.Option(metavar="KEY", help="Execute only the combination with this key.")] = None,
    gather: Annotated[bool, typer.Option("--gather", help="Execute nothing; show what there is.")] = False,
) -> None:
    """Execute chapters with every combination of some parameters; started again, it goes on where it was.

    Ends with 1 if a combination failed; the others are done all the same.
    """
    path = given.file(path, "a grid is a YAML with name, chapters and parameters")
    from a2a.bookmaking import grid as grids
    from a2a.bookmaking.book import Book
    from a2a.bookmaking.unpack import book_root

    asked, book = grids.Grid.load(path), Book.read(book_root())
    tasks = grids.grid_tasks(asked, book)
    if check:
        typer.echo("\n".join(f"{task.key[:12]}  {shown(task.label)}" for task in tasks))
        return
    if only:
        grids.run_one(tasks, only, book.root, _report)
        return
    table = grids.gather(asked, tasks, book.root) if gather else grids.run_grid(asked, book, jobs, _report)
    typer.echo(table.drop(columns=["folder", "error"]).to_string(index=False))
    typer.echo(f"Gallery: {book.root / 'runs' / 'grid' / asked.name / 'index.html'}")
    if count := int((table["result"] != "done").sum()):
        raise Failure(f"{count} of {len(table)} combinations are not done; failure.txt in a folder says why it failed.")


def _report(line: str) -> None:
    """Print a line of progress at once, also into a pipe."""
    typer.echo(f"grid: {shown(line, 1000)}", err=True)
