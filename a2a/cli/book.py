"""``a2a book``: execute the chapters and build the HTML."""

from typing import Annotated

import typer
import yaml

from a2a.common.errors import InputError

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def book(
    profile: Annotated[str, typer.Option(help="Size of the work: smoke, ci or full.")] = "ci",
    chapter: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Execute only this one; repeatable.")
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Parameter of the --chapter; repeatable.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Chapters at a time.")] = 1,
    twins: Annotated[bool, typer.Option("--twins", help="Only rewrite notebooks/*.ipynb from book/*.md.")] = False,
) -> None:
    """Execute the chapters whose code, parameters or data changed, and build the HTML book.

    With --chapter, execute that chapter alone, with --set in other ways than the book shows it; the notebook is
    kept under runs/.
    """
    if setting and len(chapter or []) != 1:
        raise InputError("Option --set needs exactly one --chapter whose parameters it sets.")
    _check_names(profile, chapter or [])
    from a2a.bookmaking.book import Book
    from a2a.bookmaking.chapters import write_twins
    from a2a.bookmaking.run import complain, run_all
    from a2a.bookmaking.unpack import book_root

    root = book_root()
    if twins:
        changed = write_twins(root)
        said = [f"{'Written' if path.exists() else 'Removed'}: {path}" for path in changed]
        typer.echo("\n".join(said) or "notebooks/ is up to date")
        return
    whole = Book.read(root)
    if not chapter:
        index = whole.make(profile, jobs, _report)
        typer.echo(f"The book: {index}")
        return
    chosen = [whole.chapter(name) for name in chapter]
    given = chosen[0].parse(setting or [])
    if "profile" in given:
        raise InputError("The parameter 'profile' is set by the option --profile.")
    tasks = whole.tasks(chosen, profile, given)
    complain(tasks, run_all(tasks, whole.root, jobs, _report))
    typer.echo("\n".join(f"Executed notebook: {task.folder / 'executed.ipynb'}" for task in tasks))


def _check_names(profile: str, chapters: list[str]) -> None:
    """Refuse an unknown profile or chapter before anything is imported; `Book.read` checks the rest."""
    from a2a.common.paths import repository

    folder = repository("book")
    profiles = yaml.safe_load((folder / "profiles.yml").read_text(encoding="utf-8"))
    if isinstance(profiles, dict) and profile not in profiles:
        raise InputError(f"Unknown profile {profile!r}; possible are {', '.join(profiles)}.")
    known = [path.stem for path in sorted(folder.glob("[0-9][0-9]-*.md"))]
    for name in chapters:
        if name not in known:
            raise InputError(f"Unknown chapter {name!r}; the book has {', '.join(known)}.")


def _report(line: str) -> None:
    """Print a line of progress at once, also into a pipe."""
    typer.echo(f"book: {line}", err=True)
