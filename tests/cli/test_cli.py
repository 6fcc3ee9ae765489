"""The command line: exit codes, one sentence an error, help for everything, and a quick start."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer

import a2a
from a2a import cli
from a2a.cli import main
from a2a.common.errors import InputError, UnsupportedObservation

NAMES = list(cli.COMMANDS)


@pytest.fixture
def run(capsys):
    """Return a function that runs the command line and returns exit code, standard output and standard error."""

    def call(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main(words)
        shown = capsys.readouterr()
        return left.value.code, shown.out, shown.err

    return call


def fail_with(monkeypatch, error: Exception) -> None:
    """Let `a2a info` fail with `error`."""

    def broken() -> Path:
        raise error

    monkeypatch.setattr("a2a.common.paths.repository", broken)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_explains_itself(run, name):
    code, out, err = run(name, "--help")
    assert (code, err) == (0, "")
    assert f"Usage: a2a {name}" in out and "--help" in out


def test_help_lists_the_commands(run):
    code, out, _ = run("--help")
    assert code == 0
    most = ["prepare", "train", "complete", "plan", "bench", "drift", "book", "grid", "phantom", "info", "data"]
    assert most == NAMES
    assert all(f"  {name} " in out for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_table_of_help_lines_says_what_the_commands_say(name):
    command = typer.main.get_command(cli.app).get_command(None, name)
    assert command.name == name and command.help.splitlines()[0] == cli.COMMANDS[name]


def test_a_command_that_is_nearly_one_is_suggested(run):
    code, out, err = run("complet")
    assert (code, out) == (2, "") and "No such command 'complet'. Did you mean 'complete'?" in err


def test_version(run):
    assert run("--version") == (0, f"a2a {a2a.__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["nonsense"], "nonsense"),
        (["info", "--nonsense"], "--nonsense"),
        (["book", "--jobs", "none"], "--jobs"),
        (["book", "--profile", "huge"], "Unknown profile 'huge'; possible are smoke, ci, full."),
        (["book", "--chapter", "99-nowhere"], "Unknown chapter '99-nowhere'"),
        (["book", "--set", "steps=3"], "--chapter"),
    ],
)
def test_wrong_use_is_exit_code_2(run, words, complaint):
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert complaint in err and "Traceback" not in err


@pytest.mark.parametrize(
    "error", [InputError("Weights W are missing."), UnsupportedObservation("Weights W are missing.")]
)
def test_an_input_error_is_one_sentence_and_exit_code_2(run, monkeypatch, error):
    fail_with(monkeypatch, error)
    assert run("info") == (2, "", "a2a: Weights W are missing.\n")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError("disk full\nand more"), "OSError: disk full"),
        (MemoryError(), "MemoryError: no message; run again with --debug before the command."),
    ],
)
def test_another_error_names_its_type_and_is_exit_code_1(run, monkeypatch, error, sentence):
    fail_with(monkeypatch, error)
    assert run("info") == (1, "", f"a2a: {sentence}\n")


def test_debug_shows_the_traceback(monkeypatch):
    fail_with(monkeypatch, OSError("disk full"))
    with pytest.raises(OSError, match="disk full"):
        main(["--debug", "info"])


def test_info_names_versions_device_cards_and_weights(run):
    code, out, err = run("info")
    assert (code, err) == (0, "")
    for word in (f"a2a {a2a.__version__}", "torch", "Processor:", "phantom-any2all", "open-ms", "Needs a download"):
        assert word in out


def test_help_needs_no_heavy_package():
    heavy = {"torch", "scipy", "pandas", "matplotlib", "nibabel", "papermill", "plotly"}
    probe = "import sys, a2a.cli; print(*(name.partition('.')[0] for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert heavy & set(done.stdout.split()) == set()
    assert done.returncode == 0
