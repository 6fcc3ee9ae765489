"""The command line inside a notebook, so that a page shows what a terminal would."""

import shlex
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from textwrap import fill

from a2a.cli import main
from a2a.common.errors import InputError

WIDTH = 76


def terminal(line: str) -> None:
    """Run a command line of `a2a` as a terminal would; print what it says, in short lines, and its exit code.

    Parameters
    ----------
    line
        Begins with ``a2a``; may span several lines.

    Raises
    ------
    InputError
        If it is another command.
    """
    words = shlex.split(line)
    if words[:1] != ["a2a"]:
        raise InputError(f"terminal runs the command a2a, not {' '.join(words[:1]) or 'an empty line'!r}.")
    said, code = StringIO(), 0
    try:
        with redirect_stdout(said), redirect_stderr(said):
            main(words[1:])
    except SystemExit as end:
        code = end.code
    print("\n".join(fill(text, WIDTH) for text in said.getvalue().splitlines()), f"[exit code {code}]", sep="\n")
