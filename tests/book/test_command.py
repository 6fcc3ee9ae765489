"""``a2a book`` on the small book: one chapter in another way, twins, and refusals before anything runs."""

import nbformat
import pytest

from a2a.cli import main


@pytest.fixture
def run(capsys, monkeypatch, mini):
    """Return a function that runs ``a2a book`` on the small book: exit code, standard output, standard error."""
    monkeypatch.setattr("a2a.common.paths.repository", lambda *parts: mini.joinpath(*parts))

    def call(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main(["book", *words])
        shown = capsys.readouterr()
        return left.value.code, shown.out, shown.err

    return call


def test_one_chapter_with_own_parameters(run, mini):
    code, out, err = run("--profile", "smoke", "--chapter", "01-mini", "--set", "points=3", "--set", "radius=2")
    assert code == 0, err
    executed = nbformat.read(out.removeprefix("Executed notebook: ").strip(), as_version=4)
    text = [o.data.get("text/markdown", "") for c in executed.cells for o in c.get("outputs", []) if "data" in o]
    assert "There are 3 points at a distance of 2.0 from $0$." in text
    assert "01-mini: done in" in err and not (mini / "_build").exists()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--chapter", "01-mini", "--set", "pointz=3"], "no parameter 'pointz'; it declares profile, points, radius."),
        (["--chapter", "01-mini", "--set", "points=3.5"], "Parameter 'points' must be int, got '3.5'."),
        (["--chapter", "01-mini", "--set", "points"], "NAME=VALUE"),
        (["--chapter", "01-mini", "--set", "profile=full"], "--profile"),
        (["--set", "points=3"], "exactly one --chapter"),
        (["--chapter", "02-mini"], "Unknown chapter '02-mini'; the book has 01-mini."),
        (["--profile", "huge"], "Unknown profile 'huge'; possible are smoke, ci, full."),
    ],
)
def test_wrong_use_is_refused_before_anything_runs(run, mini, words, complaint):
    code, out, err = run(*words)
    assert (code, out) == (2, "") and complaint in err and len(err.splitlines()) == 1
    assert not (mini / "runs").exists() and not (mini / "_build").exists()


def test_twins(run, mini):
    code, out, _ = run("--twins")
    assert code == 0 and out.strip() == f"Written: {mini / 'notebooks' / '01-mini.ipynb'}"
    assert run("--twins")[1] == "notebooks/ is up to date\n"
