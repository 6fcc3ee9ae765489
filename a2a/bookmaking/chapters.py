"""Chapters of the book: MyST text notebooks, their declared parameters and their output-free twins.

A chapter is a file ``book/NN-topic.md`` with a Jupytext header. Exactly one of its code cells has the tag
``parameters``; each of its lines reads ``name: type = literal  # meaning``.
"""

import ast
import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import papermill
from nbformat import NotebookNode
from pydantic import TypeAdapter, ValidationError

from a2a.common.documents import JSON_BYTES, read_text, read_yaml
from a2a.common.errors import InputError
from a2a.common.files import write_text
from a2a.common.names import checked_path
from a2a.common.plain import yaml_values

SCALARS = {"bool": bool, "int": int, "float": float, "str": str}
TYPES = SCALARS | {f"list[{name}]": list[kind] for name, kind in SCALARS.items()}
SIGNATURE = "a2a"
FORM = "each line of the parameters cell must read `name: type = literal  # meaning`"


@dataclass(frozen=True)
class Parameter:
    """One declared parameter of a chapter: its name, its type (a key of `TYPES`), its default and its meaning."""

    name: str
    type: str
    default: object
    meaning: str

    def check(self, value: object) -> object:
        """Return `value` if it has the declared type (an integer also passes for a float).

        Raises
        ------
        InputError
            If the type is another one.
        """
        try:
            return TypeAdapter(TYPES[self.type]).validate_python(value, strict=True)
        except ValidationError:
            raise InputError(f"Parameter {self.name!r} must be {self.type}, got {value!r}.") from None

    def parse(self, text: str) -> object:
        """Return the value that a person typed, read as the declared type (lists as ``[1, 2]``)."""
        try:
            if self.type in SCALARS:
                return TypeAdapter(TYPES[self.type]).validate_strings(text)
            return TypeAdapter(TYPES[self.type]).validate_python(yaml_values(self.name, text), strict=True)
        except (ValidationError, InputError):
            raise InputError(f"Parameter {self.name!r} must be {self.type}, got {text!r}.") from None


@dataclass(frozen=True)
class Chapter:
    """A chapter as read from its source.

    Parameters
    ----------
    name
        File name without suffix, e.g. ``"06-mds"``.
    notebook
        The notebook without outputs.
    parameters
        Declared parameters by name.
    """

    name: str
    notebook: NotebookNode
    parameters: Mapping[str, Parameter]

    @property
    def title(self) -> str:
        """First heading of the chapter, its name if there is none."""
        lines = (
            line for cell in self.notebook.cells if cell.cell_type == "markdown" for line in cell.source.split("\n")
        )
        return next((line[2:].strip() for line in lines if line.startswith("# ")), self.name)

    @property
    def code(self) -> tuple[str, ...]:
        """Sources of the code cells."""
        return tuple(cell.source for cell in self.notebook.cells if cell.cell_type == "code")

    def settings(self, given: Mapping[str, object]) -> dict[str, object]:
        """Return a value for every parameter: the given one, else the default.

        Raises
        ------
        InputError
            If a given name is not declared (the message lists the declared ones) or a value has a wrong type.
        """
        for name in given:
            self.parameter(name)
        return {name: p.check(given[name]) if name in given else p.default for name, p in self.parameters.items()}

    def parse(self, words: Sequence[str]) -> dict[str, object]:
        """Read words of the form ``name=value`` as the types that the chapter declares.

        Raises
        ------
        InputError
            If a word has another form, or names an unknown parameter, or its value cannot be read.
        """
        values = {}
        for word in words:
            name, equals, text = word.partition("=")
            if not equals:
                raise InputError(f"A parameter is set as NAME=VALUE, got {word!r}.")
            values[name] = self.parameter(name).parse(text)
        return values

    def parameter(self, name: str) -> Parameter:
        """Return a declared parameter; an unknown name is an `InputError` that lists the declared ones."""
        if name not in self.parameters:
            raise InputError(
                f"Chapter {self.name} has no parameter {name!r}; it declares {', '.join(self.parameters) or 'none'}."
            )
        return self.parameters[name]


def read_chapter(path: Path) -> Chapter:
    """Read a chapter; cells get identifiers by position, so that equal text gives an equal notebook.

    Raises
    ------
    InputError
        If the parameters cell is missing, repeated, or not of the form that papermill reads.
    """
    notebook = jupytext.reads(_text(path), fmt="md:myst")
    notebook.metadata = nbformat.from_dict({"kernelspec": dict(notebook.metadata.get("kernelspec", {}))})
    for position, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{position:02d}"
    return Chapter(path.stem, notebook, _declared(path, notebook))


def _declared(path: Path, notebook: NotebookNode) -> dict[str, Parameter]:
    """Read the parameters cell and make sure that papermill finds the same names in it as Python does."""
    cells = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise InputError(f"{path}: a chapter needs exactly one cell with the tag 'parameters', found {len(cells)}.")
    logging.getLogger("papermill").setLevel(logging.ERROR)  # its warnings are errors here, told in one sentence
    found = papermill.inspect_notebook(notebook)
    parameters = {}
    try:
        statements = ast.parse(cells[0].source).body
    except SyntaxError as error:
        raise InputError(f"{path}: {FORM}; {error.msg} in line {error.lineno} of the cell.") from None
    for statement in statements:
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            raise InputError(f"{path}: {FORM}, not {ast.unparse(statement)!r}.")
        name, kind = statement.target.id, ast.unparse(statement.annotation)
        if kind not in TYPES:
            raise InputError(f"{path}: parameter {name!r} has type {kind!r}; possible are {', '.join(TYPES)}.")
        if name not in found or not found[name]["help"]:
            raise InputError(f"{path}: {FORM}, without '=' in the meaning; papermill cannot read {name!r}.")
        try:
            default = ast.literal_eval(statement.value)
        except ValueError:
            raise InputError(f"{path}: {FORM}; {name!r} is not a literal.") from None
        meaning = found[name]["help"]
        parameters[name] = Parameter(name, kind, Parameter(name, kind, default, meaning).check(default), meaning)
    return parameters


def pages(root: Path) -> list[str]:
    """Return the pages of the book in the order of its table of contents, without suffix."""

    def files(node: object) -> Iterator[str]:
        if isinstance(node, Mapping):
            yield from (str(node[key]) for key in ("root", "file") if key in node)
            for value in node.values():
                yield from files(value)
        elif isinstance(node, list):
            for value in node:
                yield from files(value)

    return [checked_path(page) for page in files(read_yaml(root / "book" / "_toc.yml", dict[str, Any]))]


def book_chapters(root: Path) -> list[Chapter]:
    """Read all chapters (pages with a Jupytext header) in the order of the table of contents."""
    paths = [root / "book" / f"{page}.md" for page in pages(root)]
    return [read_chapter(path) for path in paths if path.is_file() and is_chapter(path)]


def is_chapter(path: Path) -> bool:
    """Whether a page has a Jupytext header, so that its code cells are executed."""
    head = _text(path).split("\n---", 1)[0]
    return head.startswith("---") and "jupytext:" in head


def _text(path: Path) -> str:
    """Return the text of a page, whichever editor wrote it: without a byte-order mark, lines ended by a newline."""
    return read_text(path, JSON_BYTES).replace("\r\n", "\n")


def twin_text(chapter: Chapter) -> str:
    """Return the output-free notebook of a chapter as the text of an ``.ipynb`` file, signed as its twin."""
    twin = nbformat.from_dict(chapter.notebook)
    twin.metadata[SIGNATURE] = {"twin-of": chapter.name, "sha256": _digest(twin)}
    return nbformat.writes(twin) + "\n"


def _digest(notebook: NotebookNode) -> str:
    """Hash of what a person writes into a notebook: kinds and sources of its cells."""
    cells = [(cell.cell_type, cell.source) for cell in notebook.cells]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()


def _is_untouched_twin(path: Path) -> bool:
    """Whether a notebook is the twin of the chapter of its name, as it was written."""
    try:
        notebook = nbformat.read(path, as_version=4)
        return notebook.metadata[SIGNATURE] == {"twin-of": path.stem, "sha256": _digest(notebook)}
    except (OSError, ValueError, KeyError, AttributeError, nbformat.ValidationError):
        return False


def write_twins(root: Path) -> list[Path]:
    """Write ``notebooks/NAME.ipynb`` for every chapter, and remove twins of chapters that are gone.

    Other notebooks in the folder are left alone.

    Returns
    -------
    list of pathlib.Path
        The twins that were written or removed.

    Raises
    ------
    InputError
        If the notebook of a chapter says something else than its source and was edited since it was written; nothing
        is written then.
    """
    folder = root / "notebooks"
    twins = {folder / f"{chapter.name}.ipynb": chapter for chapter in book_chapters(root)}
    changed = [path for path, c in twins.items() if not path.is_file() or path.read_bytes() != twin_text(c).encode()]
    for path in changed:
        if path.exists() and not _is_untouched_twin(path) and not _says_the_same(path, twins[path]):
            source = f"book/{path.stem}.md"
            raise InputError(
                f"notebooks/{path.name} was edited after it was written from {source}; carry the edits over "
                "or give the notebook another name, and start again."
            )
    gone = [path for path in folder.glob("*.ipynb") if path not in twins and _is_untouched_twin(path)]
    for path in changed:
        write_text(path, twin_text(twins[path]))
    for path in gone:
        path.unlink()
    return changed + gone


def _says_the_same(path: Path, chapter: Chapter) -> bool:
    """Whether a notebook has the cells of a chapter, be it with outputs or without a signature."""
    try:
        return _digest(nbformat.read(path, as_version=4)) == _digest(chapter.notebook)
    except (OSError, ValueError, KeyError, AttributeError, nbformat.ValidationError):
        return False
