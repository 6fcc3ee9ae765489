"""Runs: executed once for each key, never onto the source, and kept with the reason when they fail."""

import os
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from a2a.bookmaking.book import Book
from a2a.bookmaking.chapters import Chapter, Parameter, read_chapter
from a2a.bookmaking.run import ChapterFailed, Task, chapter_key, complain, execute, read_run, run_all
from a2a.common.errors import InputError
from a2a.common.provenance import fingerprint

MINI = Path(__file__).parents[1] / "book" / "mini"
MACHINE = {"a2a": "0", "python": "3", "torch": "2", "device": "test", "threads": 1}


def chapter(*cells: str) -> Chapter:
    """Return a chapter with the parameters ``profile`` and ``n`` and further code cells."""
    source = 'profile: str = "ci"  # size\nn: int = 1  # a number'
    first = nbformat.v4.new_code_cell(source, metadata={"tags": ["parameters"]})
    notebook = nbformat.v4.new_notebook(cells=[first, *map(nbformat.v4.new_code_cell, cells)])
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return Chapter(
        "01-test",
        notebook,
        {"profile": Parameter("profile", "str", "ci", "size"), "n": Parameter("n", "int", 1, "a number")},
    )


def task(folder: Path, subject: Chapter, key: str = "key", timeout: float | None = 60, **given: object) -> Task:
    """Return a task that executes `subject` in `folder`."""
    return Task(subject, subject.settings({"profile": "smoke", **given}), folder, key, timeout)


def test_a_run_gets_its_parameters_folder_and_record(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "stale.txt").write_text("from an earlier run")
    subject = chapter("from pathlib import Path\nPath('here.txt').write_text(f'{profile} {n}')\nn + 1")
    before = nbformat.writes(subject.notebook)
    run = execute(task(folder, subject, n=41), "abc", MACHINE)
    assert nbformat.writes(subject.notebook) == before
    assert (folder / "here.txt").read_text() == "smoke 41"
    assert not (folder / "stale.txt").exists()
    assert read_run(folder) == run
    assert run.settings == {"profile": "smoke", "n": 41} and run.commit == "abc" and run.machine == MACHINE
    cells = nbformat.read(folder / "executed.ipynb", as_version=4).cells
    assert cells[-1].outputs[0].data["text/plain"] == "42"


def test_the_log_receives_what_the_kernel_and_compiled_code_say(tmp_path, capfd):
    subject = chapter("import os\nprint('printed')\n_ = os.write(2, b'from below Python')")
    execute(task(tmp_path / "run", subject), "abc", MACHINE)
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "printed" in log and "from below Python" in log
    assert capfd.readouterr().err == ""
    os.write(2, b"back again")
    assert capfd.readouterr().err == "back again"


def test_a_failing_cell_keeps_notebook_and_traceback(tmp_path):
    subject = chapter("print('so far')", "def f():\n    raise ValueError('no such luck')\nf()", "print('never')")
    failed = task(tmp_path / "run", subject)
    run = execute(failed, "abc", MACHINE)
    assert read_run(tmp_path / "run") == run
    with pytest.raises(ChapterFailed, match=r"01-test failed with ValueError: no such luck in cell In \[4\]; see .*"):
        complain([failed], [run])
    account = (tmp_path / "run" / "failure.txt").read_text()
    assert account.startswith("ValueError: no such luck") and "f()" in account and "\x1b" not in account
    texts = [
        o.get("text") for c in nbformat.read(tmp_path / "run" / "failed.ipynb", 4).cells for o in c.get("outputs", [])
    ]
    assert "so far\n" in texts and "never\n" not in texts


def test_all_chapters_run_though_one_fails_or_its_kernel_dies(tmp_path):
    dead = replace(chapter("import os; os._exit(1)"), name="01-dead")
    good = replace(chapter("n"), name="02-good")
    lines: list[str] = []
    tasks = [task(tmp_path / "dead", dead), task(tmp_path / "good", good)]
    runs = run_all(tasks, tmp_path, 2, lines.append)
    with pytest.raises(ChapterFailed, match="Chapter 01-dead failed with DeadKernelError: .*failed.ipynb.$"):
        complain(tasks, runs)
    assert read_run(tmp_path / "good").settings["n"] == 1
    assert "01-dead: FAILED" in lines and any(line.startswith("02-good: done") for line in lines)


def test_a_kept_run_is_executed_again_only_for_another_key(tmp_path, monkeypatch):
    folder, subject = tmp_path / "run", chapter("n")
    lines: list[str] = []
    first = [execute(task(folder, subject), "abc", MACHINE)]
    monkeypatch.setattr("a2a.bookmaking.run._execute_all", lambda tasks, *rest: pytest.fail(f"executed {tasks}"))
    assert run_all([task(folder, subject)], tmp_path, 1, lines.append) == first
    assert lines[-1] == "unchanged: 01-test"
    with pytest.raises(pytest.fail.Exception, match="executed"):
        run_all([task(folder, subject, key="another")], tmp_path, 1, lines.append)
    execute(task(folder, chapter("n / 0")), "abc", MACHINE)
    with pytest.raises(pytest.fail.Exception, match="executed"):
        run_all([task(folder, subject)], tmp_path, 1, lines.append)
    (folder / "failed.ipynb").unlink()
    with pytest.raises(pytest.fail.Exception, match="executed"):
        run_all([task(folder, subject)], tmp_path, 1, lines.append)


@pytest.fixture
def repository(tmp_path):
    """Return a repository with a file of every kind that a run depends on."""
    for name in (
        "a2a/sub/module.py",
        "data_cards/card.yaml",
        "weights/w.safetensors",
        "experiments/e.yaml",
        "results/r.json",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("before")
    (tmp_path / "requirements.txt").write_text("torch==2.13.0")
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        "a2a/sub/module.py",
        "a2a/new.py",
        "data_cards/card.yaml",
        "weights/w.safetensors",
        "experiments/e.yaml",
        "results/r.json",
        "requirements.txt",
    ],
)
def test_the_fingerprint_sees_every_dependence(repository, name):
    before = fingerprint(repository)
    assert fingerprint(repository) == before
    (repository / name).write_text("after")
    assert fingerprint(repository) != before


def test_the_fingerprint_sees_names_and_ignores_what_python_leaves_behind(repository):
    before = fingerprint(repository)
    (repository / "a2a" / "__pycache__").mkdir()
    (repository / "a2a" / "__pycache__" / "module.pyc").write_text("compiled")
    (repository / "README.md").write_text("prose")
    assert fingerprint(repository) == before
    (repository / "a2a" / "sub" / "module.py").rename(repository / "a2a" / "sub" / "other.py")
    assert fingerprint(repository) != before


def test_the_key_sees_code_and_parameters_but_not_prose_and_captions():
    path = MINI / "book" / "01-mini.md"
    subject = read_chapter(path)
    settings = subject.settings({})
    key = chapter_key(subject, settings, "watched")
    assert chapter_key(subject, subject.settings({"points": 41}), "watched") != key
    assert chapter_key(subject, settings, "other files") != key
    edited = read_chapter(path)
    edited.notebook.cells[0].source += " And prose."
    figure = next(c for c in edited.notebook.cells if "mystnb" in c.metadata)
    figure.metadata["mystnb"]["figure"]["caption"] = "Another caption."
    assert chapter_key(edited, settings, "watched") == key
    edited.notebook.cells[-1].source += "\n1"
    assert chapter_key(edited, settings, "watched") != key


@pytest.mark.parametrize(
    ("profiles", "complaint"),
    [
        ("ci: {01-mini: {pointz: 3}}", "profile ci: Chapter 01-mini has no parameter 'pointz'"),
        ("ci: {01-mini: {points: 3.5}}", "profile ci: Parameter 'points' must be int"),
        ("ci: {02-mini: {points: 3}}", "profile ci: Unknown chapter '02-mini'; the book has 01-mini"),
        ("ci: [01-mini]", "field ci: Input should be a valid dictionary"),
        ("ci: {", "not valid YAML, line 2"),
    ],
)
def test_profiles_are_strict(tmp_path, profiles, complaint):
    (tmp_path / "book").mkdir()
    for name in ("_toc.yml", "01-mini.md", "intro.md"):
        (tmp_path / "book" / name).write_text((MINI / "book" / name).read_text())
    (tmp_path / "book" / "profiles.yml").write_text(profiles)
    with pytest.raises(InputError, match=complaint):
        Book.read(tmp_path)


def test_profile_then_given_values_decide_and_given_runs_have_their_own_folder():
    book = Book.read(MINI)
    only = book.chapters[0]
    assert book.settings(only, "smoke") == {"profile": "smoke", "points": 5, "radius": 1.0}
    assert book.settings(only, "ci", {"radius": 2.0}) == {"profile": "ci", "points": 40, "radius": 2.0}
    folders = {book.tasks([only], "ci", given)[0].folder for given in (None, {"radius": 2.0}, {"radius": 3.0})}
    assert len(folders) == 3
    with pytest.raises(InputError, match="Unknown profile 'big'; possible are smoke, ci, full"):
        book.tasks([only], "big")
