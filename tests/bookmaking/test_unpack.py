"""Where the book is made outside a clone: in a folder that is as a clone; one that holds other things is refused."""

import shutil
from pathlib import Path

import pytest

import a2a
from a2a.bookmaking.unpack import book_root
from a2a.common import paths
from a2a.common.errors import InputError
from a2a.common.paths import repository
from a2a.common.provenance import commit, fingerprint
from a2a.prior.shipped import SOURCE


@pytest.fixture
def carried(tmp_path, monkeypatch) -> Path:
    """What a wheel carries, with one page and one description of weights; the working directory is elsewhere."""
    monkeypatch.delenv(paths.ROOT, raising=False)
    share = tmp_path / "package" / "share"
    (share / "book").mkdir(parents=True)
    (share / "book" / "_toc.yml").write_text("root: intro\n")
    (share / "weights").mkdir()
    shutil.copy(repository("weights", "minet-64.json"), share / "weights")
    monkeypatch.setenv(SOURCE, str(repository("weights")))
    monkeypatch.setattr(paths, "clone", lambda: tmp_path / "nowhere")
    monkeypatch.setattr(paths, "CARRIED", share)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return share


def test_in_a_clone_the_book_is_made_there(monkeypatch):
    monkeypatch.delenv(paths.ROOT, raising=False)
    assert book_root(Path("never-made")) == repository() and not Path("never-made").exists()


def test_outside_a_clone_a_folder_gets_all_that_a_clone_has(carried):
    root = book_root()
    assert root == Path("a2a-book").absolute() and paths.is_root(root)
    assert {path.name for path in root.iterdir()} == {"a2a", "book", "weights"}
    assert (root / "weights" / "minet-64.safetensors").stat().st_size > 100_000
    ours = Path(a2a.__file__).parent / "cli" / "book.py"
    assert (root / "a2a" / "cli" / "book.py").read_bytes() == ours.read_bytes()
    key = fingerprint(root)
    (root / "runs").mkdir()
    (root / "runs" / "kept").write_text("a run")
    (carried / "book" / "_toc.yml").write_text("root: other\n")
    assert book_root() == root and fingerprint(root) == key
    assert (root / "book" / "_toc.yml").read_text() == "root: other\n" and (root / "runs" / "kept").is_file()


def test_a_folder_with_other_things_is_left_alone(carried):
    Path("a2a-book").mkdir()
    Path("a2a-book", "thesis.tex").write_text("four years")
    with pytest.raises(InputError, match="a2a-book: it holds something else; the book is made there, so move it away."):
        book_root()
    assert [path.name for path in Path("a2a-book").iterdir()] == ["thesis.tex"]


def test_without_weights_nothing_is_made(carried, monkeypatch):
    monkeypatch.delenv(SOURCE)
    with pytest.raises(InputError, match="minet-64: this installation has no weights; set A2A_WEIGHTS"):
        book_root()
    assert not Path("a2a-book").exists()


def test_a_folder_inside_a_clone_has_not_its_commit():
    if commit(repository()) == "unknown":
        pytest.skip("this is a plain copy, without history")
    assert commit(repository("book")) == "unknown"
