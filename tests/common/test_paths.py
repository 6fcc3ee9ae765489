"""Where the book and the cards are found: a named root, the clone, or what a wheel carries."""

from pathlib import Path

import pytest

from a2a.common import paths
from a2a.common.errors import InputError
from a2a.common.paths import ROOT, carried, repository


@pytest.fixture
def root(tmp_path) -> Path:
    """A folder with the mark of a root, and an experiment."""
    (tmp_path / "root" / "book").mkdir(parents=True)
    (tmp_path / "root" / "book" / "_toc.yml").write_text("root: intro\n")
    (tmp_path / "root" / "experiments").mkdir()
    (tmp_path / "root" / "experiments" / "one.yaml").write_text("name: one\n")
    return tmp_path / "root"


def test_a_clone_is_its_own_root(monkeypatch):
    monkeypatch.delenv(ROOT, raising=False)
    assert repository() == Path(paths.__file__).parents[2] and repository("book", "_toc.yml").is_file()


def test_another_root_can_be_named(root, monkeypatch):
    monkeypatch.setenv(ROOT, str(root))
    assert repository("book") == root / "book"
    monkeypatch.setenv(ROOT, str(root / "book"))
    with pytest.raises(InputError, match="A2A_REPOSITORY=.*book: it has no book/_toc.yml; name a clone"):
        repository()


def test_outside_a_clone_what_the_wheel_carries_is_the_root(root, tmp_path, monkeypatch):
    monkeypatch.delenv(ROOT, raising=False)
    monkeypatch.setattr(paths, "clone", lambda: tmp_path / "site-packages")
    monkeypatch.setattr(paths, "CARRIED", root)
    assert repository("data_cards") == root / "data_cards"
    monkeypatch.setattr(paths, "CARRIED", tmp_path / "nothing")
    with pytest.raises(InputError, match="nothing: the book, the cards and the experiments are not there; install"):
        repository()


def test_a_file_is_taken_as_named_and_else_from_the_root(root, tmp_path, monkeypatch):
    monkeypatch.setenv(ROOT, str(root))
    monkeypatch.chdir(tmp_path)
    one = Path("experiments", "one.yaml")
    assert carried(one) == root / one
    one.parent.mkdir()
    one.write_text("name: mine\n")
    assert carried(one) == one
    for other in (Path("experiments/two.yaml"), Path("../root/experiments/two.yaml"), tmp_path / "two.yaml"):
        assert carried(other) == other
