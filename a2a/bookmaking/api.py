"""The pages of the book that document the package, one a floor: Sphinx reads the docstrings of its modules."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from a2a.common.floors import FLOORS

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PAGES = tuple(f"api-{floor}" for floor in FLOORS)


def modules(root: Path, floor: str) -> list[str]:
    """Return the names of the public modules of a floor below `root`, without the leading ``a2a.``; the floor first."""
    paths = (path.relative_to(root / "a2a").with_suffix("") for path in (root / "a2a" / floor).rglob("*.py"))
    names = (tuple(part for part in path.parts if part != "__init__") for path in paths)
    return [".".join(name) for name in sorted(names) if not any(part.startswith("_") for part in name)]


def api_page(root: Path, page: str) -> str:
    """Return a page of the reference as Markdown, one section a module.

    Parameters
    ----------
    root
        Root of the repository.
    page
        One of `PAGES`.
    """
    floor = page.removeprefix("api-")
    parts = [f"# API: {floor}", _summary(root / "a2a" / floor / "__init__.py")]
    for name in modules(root, floor)[1:]:
        options = "   :members:\n   :ignore-module-all:"
        parts += [f"## `a2a.{name}`", f"```{{eval-rst}}\n.. automodule:: a2a.{name}\n{options}\n```"]
    return "\n\n".join(parts) + "\n"


def setup(app: Sphinx) -> dict[str, bool]:
    """Import all documented modules before Sphinx documents the first one: this module is an extension of Sphinx.

    When Sphinx documents a pydantic model, it adds annotations to the model's base class that classes made later cannot
    resolve.
    """
    root = Path(__file__).parents[2]
    for floor in FLOORS:
        for name in modules(root, floor):
            importlib.import_module(f"a2a.{name}")
    return {"parallel_read_safe": True}


def _summary(path: Path) -> str:
    """Return the docstring of a floor without importing it."""
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
