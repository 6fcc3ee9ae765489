"""Command lines inside a notebook."""

import pytest

from a2a.cli.terminal import terminal
from a2a.common.errors import InputError


def test_what_is_said_comes_with_the_exit_code(capsys):
    terminal("a2a --version")
    assert capsys.readouterr().out.startswith("a2a 0") is True
    terminal("a2a prepare no-such-card\n --out nowhere")
    said = capsys.readouterr().out
    assert "There is no data card 'no-such-card'" in said and said.endswith("[exit code 2]\n")
    assert max(map(len, said.splitlines())) <= 76


def test_other_commands_are_refused():
    with pytest.raises(InputError, match="not 'rm'"):
        terminal("rm -r .")
