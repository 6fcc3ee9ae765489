"""Every chapter has an output-free twin in notebooks/ that says exactly the same."""

import nbformat
import pytest

from a2a.bookmaking.chapters import book_chapters, twin_text, write_twins
from a2a.common.paths import repository

CHAPTERS = book_chapters(repository())


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda c: c.name)
def test_the_twin_is_in_step(chapter):
    path = repository("notebooks", f"{chapter.name}.ipynb")
    assert path.is_file() and path.read_text(encoding="utf-8") == twin_text(chapter), "run `make twins`"


def test_there_is_no_twin_without_a_chapter():
    assert {p.stem for p in repository("notebooks").glob("*.ipynb")} == {c.name for c in CHAPTERS}


def test_twins_are_written_once_and_surplus_ones_removed(mini):
    (mini / "notebooks").mkdir()
    (mini / "notebooks" / "99-gone.ipynb").write_text("{}")
    changed = {path.name for path in write_twins(mini)}
    assert changed == {"01-mini.ipynb", "99-gone.ipynb"}
    assert [p.name for p in (mini / "notebooks").iterdir()] == ["01-mini.ipynb"]
    assert write_twins(mini) == []


def test_a_twin_is_a_valid_notebook_without_outputs(mini):
    write_twins(mini)
    notebook = nbformat.read(mini / "notebooks" / "01-mini.ipynb", as_version=4)
    nbformat.validate(notebook)
    codes = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert codes and all(cell.outputs == [] and cell.execution_count is None for cell in codes)
    assert notebook.metadata.kernelspec.name == "python3"
