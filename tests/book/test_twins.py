"""Every chapter has an output-free twin in notebooks/ that says exactly the same."""

import shutil

import nbformat
import pytest

from a2a.bookmaking.chapters import book_chapters, twin_text, write_twins
from a2a.common.errors import InputError
from a2a.common.paths import repository

CHAPTERS = book_chapters(repository())


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda c: c.name)
def test_the_twin_is_in_step(chapter):
    path = repository("notebooks", f"{chapter.name}.ipynb")
    assert path.is_file() and path.read_text(encoding="utf-8") == twin_text(chapter), "run `make twins`"


def test_there_is_no_twin_without_a_chapter():
    assert {p.stem for p in repository("notebooks").glob("*.ipynb")} == {c.name for c in CHAPTERS}


def test_twins_are_written_once_and_other_notebooks_are_left_alone(mini):
    folder = mini / "notebooks"
    folder.mkdir()
    (folder / "99-mine.ipynb").write_text("{}")
    assert [path.name for path in write_twins(mini)] == ["01-mini.ipynb"]
    shutil.copy(folder / "01-mini.ipynb", folder / "my-work.ipynb")
    assert write_twins(mini) == []
    assert {p.name for p in folder.iterdir()} == {"01-mini.ipynb", "99-mine.ipynb", "my-work.ipynb"}


def edit(path):
    """Write a note into a notebook, as a student does."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_markdown_cell("my notes"))
    nbformat.write(notebook, path)


def test_a_twin_that_was_edited_is_not_overwritten(mini):
    write_twins(mini)
    twin, source = mini / "notebooks" / "01-mini.ipynb", mini / "book" / "01-mini.md"
    edit(twin)
    before = twin.read_bytes()
    for change in ("", "\n\nAnother sentence.\n"):
        source.write_text(source.read_text() + change)
        with pytest.raises(InputError, match="notebooks/01-mini.ipynb was edited after it was written from book/01-mi"):
            write_twins(mini)
        assert twin.read_bytes() == before
    twin.unlink()
    assert write_twins(mini) == [twin]


def test_a_twin_follows_its_source_also_when_it_was_executed_or_is_not_signed(mini):
    write_twins(mini)
    twin, source = mini / "notebooks" / "01-mini.ipynb", mini / "book" / "01-mini.md"
    executed = nbformat.read(twin, as_version=4)
    next(cell for cell in executed.cells if cell.cell_type == "code").execution_count = 7
    nbformat.write(executed, twin)
    source.write_text(source.read_text() + "\n\nAnother sentence.\n")
    assert write_twins(mini) == [twin] and "Another sentence." in twin.read_text() and '": 7' not in twin.read_text()
    unsigned = nbformat.read(twin, as_version=4)
    del unsigned.metadata["a2a"]
    nbformat.write(unsigned, twin)
    assert write_twins(mini) == [twin] and "twin-of" in twin.read_text()


def test_the_twin_of_a_chapter_that_is_gone_goes_unless_it_was_edited(mini):
    write_twins(mini)
    folder = mini / "notebooks"
    for name in ("02-gone", "03-edited"):
        notebook = nbformat.read(folder / "01-mini.ipynb", as_version=4)
        notebook.metadata["a2a"]["twin-of"] = name
        nbformat.write(notebook, folder / f"{name}.ipynb")
    edit(folder / "03-edited.ipynb")
    assert [path.name for path in write_twins(mini)] == ["02-gone.ipynb"]
    assert {path.name for path in folder.iterdir()} == {"01-mini.ipynb", "03-edited.ipynb"}


def test_a_twin_is_a_valid_notebook_without_outputs(mini):
    write_twins(mini)
    notebook = nbformat.read(mini / "notebooks" / "01-mini.ipynb", as_version=4)
    nbformat.validate(notebook)
    codes = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert codes and all(cell.outputs == [] and cell.execution_count is None for cell in codes)
    assert notebook.metadata.kernelspec.name == "python3"
