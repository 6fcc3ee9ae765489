"""The command line `a2a`: one module a command, and one way in which errors reach the user.

Exit codes: 0 done, 1 failure, 2 wrong use; `a2a prepare` adds 3 for subjects that had to be left out.
"""

import sys
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Annotated, NoReturn

import typer

import a2a
from a2a.cli import bench, book, complete, data, drift, grid, info, phantom, prepare, train
from a2a.common.children import leave_on_signals
from a2a.common.errors import Failure, InputError
from a2a.common.files import FULL, no_room
from a2a.common.streams import secure_streams

COMMANDS = (
    prepare.prepare,
    train.train,
    complete.complete,
    bench.bench,
    drift.drift,
    book.book,
    grid.grid,
    phantom.phantom,
    info.info,
)

app = typer.Typer(
    name="a2a",
    help="Any2all: one diffusion prior completes a stack of brain-image modalities from whatever was acquired.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in COMMANDS:
    settings = complete.ANY_MODALITY if command is complete.complete else None
    app.command(context_settings=settings)(command)
app.add_typer(data.app, name="data")


def _version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        typer.echo(f"a2a {a2a.__version__}")
        raise typer.Exit()


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    """Take the options that stand before a command; `main` reads ``--debug`` itself."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code; errors become one sentence unless ``--debug`` is given.

    Parameters
    ----------
    arguments
        Words after ``a2a``; by default those of the process.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    secure_streams()
    try:
        with leave_on_signals():
            app(words, prog_name="a2a")
    except Exception as error:
        if "--debug" in takewhile(lambda word: word.startswith("-"), words):
            raise
        if isinstance(error, OSError) and error.errno in FULL:
            error = Failure(no_room(Path(error.filename or "."), error.errno))
        wrong_use = isinstance(error, InputError) or _is_bad_setting(error)
        foreseen = wrong_use or isinstance(error, Failure)
        typer.echo(f"a2a: {_sentence(error) if foreseen else f'{type(error).__name__}: {_sentence(error)}'}", err=True)
        sys.exit(2 if wrong_use else 1)
    sys.exit(0)


def _is_bad_setting(error: Exception) -> bool:
    """Whether settings that were built from options, such as those of undersampling, refused a value."""
    from pydantic import ValidationError  # only where something went wrong: it slows every command down

    return isinstance(error, ValidationError)


def _sentence(error: Exception) -> str:
    """Return the first line of an error's message; of refused settings, the first that is wrong."""
    if _is_bad_setting(error):
        first = error.errors()[0]
        option = ".".join(map(str, first["loc"])) or error.title
        return f"{option}: {first['msg']}, got {first['input']!r}."
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0].strip() if lines else "no message; run again with --debug before the command."
