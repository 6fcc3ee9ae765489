"""The command line `a2a`: one module a command, and one way in which errors reach the user.

A module is imported when its command is asked for, and imports what is heavy when it has looked at what was given.
Exit codes: 0 done, 1 failure, 2 wrong use; `a2a prepare` adds 3 for subjects that had to be left out.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from typer.core import TyperGroup

import a2a
from a2a.common.children import leave_on_signals
from a2a.common.errors import Failure, InputError
from a2a.common.escaping import shown
from a2a.common.files import FULL, no_room
from a2a.common.streams import secure_streams

LONGEST = 1000
"""Characters of an error; paths can be long."""

COMMANDS = {
    "prepare": "Make a data set ready for training: orient, scale, slice, and write a slice store.",
    "train": "Train a prior or a method; writes checkpoint, log.csv and finally the weights with their model card.",
    "complete": "Complete one patient: every modality of the weights, as NIfTI on the grid of the given images.",
    "plan": "Rank what could be acquired next by how much of a target's uncertainty it would take away.",
    "bench": "Measure methods: every job of the experiments that their tables lack for these weights and data.",
    "drift": "Say whether results are still what they were; ends with 1 if a value left its tolerance.",
    "book": "Execute the chapters whose code, parameters or data changed, and build the HTML book.",
    "grid": "Execute chapters with every combination of some parameters; started again, it goes on where it was.",
    "phantom": "Write synthetic subjects as NIfTI: modalities, tissue, lesions, brain mask, and the truth beside them.",
    "info": "Show versions, the device, shipped weights, data cards, and what needs a download.",
    "data": "Get public data sets.",
}
"""Each command with the first line of its help; `a2a.cli.NAME` has an ``app`` with it."""


class Commands(TyperGroup):
    """The commands, each imported when it is asked for."""

    def list_commands(self, ctx: typer.Context) -> list[str]:
        """Return their names."""
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> object:
        """Import a command; None if there is none of this name."""
        if cmd_name not in COMMANDS:
            self.commands = dict.fromkeys(COMMANDS)  # among which typer looks for a similar name
            return None
        return typer.main.get_command(import_module(f"a2a.cli.{cmd_name}").app)

    def format_commands(self, ctx: typer.Context, formatter: object) -> None:
        """List all without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


app = typer.Typer(
    name="a2a",
    cls=Commands,
    help="Any2all: one diffusion prior completes a stack of brain-image modalities from whatever was acquired.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


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
    pydantic = sys.modules.get("pydantic")  # importing it would slow every refusal down
    return pydantic is not None and isinstance(error, pydantic.ValidationError)


def _sentence(error: Exception) -> str:
    """Return the first line of an error's message; of refused settings, the first that is wrong."""
    if _is_bad_setting(error):
        first = error.errors()[0]
        option = ".".join(map(str, first["loc"])) or error.title
        return shown(f"{option}: {first['msg']}, got {first['input']!r}.", LONGEST)
    lines = [line for line in str(error).splitlines() if line.strip()]
    return shown(lines[0], LONGEST) if lines else "no message; run again with --debug before the command."
