"""Chapters are read strictly: parameters have a type, a literal and a meaning, or the chapter is refused."""

from pathlib import Path

import papermill
import pytest

from a2a.bookmaking.chapters import is_chapter, pages, read_chapter, twin_text
from a2a.common.errors import InputError

HEADER = """---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec: {display_name: Python 3, language: python, name: python3}
---

# A title
"""
PARAMETERS = """
profile: str = "ci"  # size of the work
steps: int = 10  # steps of the sampler
scale: float = 1e-3  # of the noise
names: list[str] = ["T1"]  # given modalities
quick: bool = False  # whether to hurry
"""


def write(folder: Path, cell: str, tag: str = "parameters") -> Path:
    """Write a chapter whose only code cell is `cell`."""
    path = folder / "01-chapter.md"
    path.write_text(f"{HEADER}\n```{{code-cell}} ipython3\n:tags: [{tag}]\n{cell}\n```\n", encoding="utf-8")
    return path


@pytest.fixture
def chapter(tmp_path):
    return read_chapter(write(tmp_path, PARAMETERS))


def test_parameters_are_those_that_papermill_finds(chapter):
    found = papermill.inspect_notebook(chapter.notebook)
    assert {name: (p.type, p.meaning) for name, p in chapter.parameters.items()} == {
        name: (p["inferred_type_name"], p["help"]) for name, p in found.items()
    }
    assert chapter.settings({}) == {"profile": "ci", "steps": 10, "scale": 1e-3, "names": ["T1"], "quick": False}


def test_title_and_code(chapter):
    assert chapter.title == "A title"
    assert chapter.code == (PARAMETERS.strip(),)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("profile", "7", "7"),
        ("steps", "7", 7),
        ("scale", "1e-4", 1e-4),
        ("scale", "2", 2.0),
        ("names", "[T1, T2]", ["T1", "T2"]),
        ("quick", "true", True),
    ],
)
def test_typed_words_become_values(chapter, name, text, value):
    parsed = chapter.parse([f"{name}={text}"])
    assert parsed == {name: value} and type(parsed[name]) is type(value)
    assert chapter.settings(parsed)[name] == value


@pytest.mark.parametrize("word", ["steps=1.5", "steps=many", "steps", "names=[", "names=T1", "quick=perhaps", "scale="])
def test_unreadable_words_are_refused(chapter, word):
    with pytest.raises(InputError, match=word.partition("=")[0]):
        chapter.parse([word])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 1.0),
        ("steps", True),
        ("steps", "7"),
        ("scale", "1"),
        ("names", ["T1", 1]),
        ("quick", 1),
        ("profile", 1),
    ],
)
def test_wrong_types_are_refused(chapter, name, value):
    with pytest.raises(InputError, match=rf"'{name}' must be {chapter.parameters[name].type}".replace("[", r"\[")):
        chapter.settings({name: value})


def test_unknown_parameter_lists_the_declared_ones(chapter):
    with pytest.raises(InputError, match="no parameter 'stepz'; it declares profile, steps, scale, names, quick"):
        chapter.settings({"stepz": 3})


@pytest.mark.parametrize(
    ("cell", "complaint"),
    [
        ("steps = 10  # steps", "must read"),
        ("steps: int = 10", "meaning"),
        ("steps: int = 10  # n = steps", "meaning"),
        ("steps: int = 2 * 5  # steps", "not a literal"),
        ("steps: int = '10'  # steps", "must be int"),
        ("steps: int | None = None  # steps", "possible are"),
        ("steps: int = 10  # steps\nsteps += 1", "must read"),
        ("steps: int = (10  # steps", "line 1"),
    ],
)
def test_malformed_parameters_are_refused(tmp_path, cell, complaint):
    with pytest.raises(InputError, match=complaint):
        read_chapter(write(tmp_path, cell))


def test_a_chapter_without_parameters_is_refused(tmp_path):
    with pytest.raises(InputError, match="exactly one cell with the tag 'parameters', found 0"):
        read_chapter(write(tmp_path, PARAMETERS, tag="other"))


def test_twin_depends_on_the_text_alone(tmp_path):
    path = write(tmp_path, PARAMETERS)
    assert twin_text(read_chapter(path)) == twin_text(read_chapter(path))


def test_pages_in_the_order_of_the_table_of_contents(tmp_path):
    (tmp_path / "book").mkdir()
    toc = "root: intro\nparts:\n- caption: A\n  chapters:\n  - file: b\n    sections: [{file: c}]\n  - file: a\n"
    (tmp_path / "book" / "_toc.yml").write_text(toc)
    assert pages(tmp_path) == ["intro", "b", "c", "a"]


def test_only_pages_with_a_jupytext_header_are_chapters(tmp_path):
    assert is_chapter(write(tmp_path, PARAMETERS))
    plain = tmp_path / "page.md"
    plain.write_text("# Page\n\njupytext: is mentioned\n")
    assert not is_chapter(plain)
