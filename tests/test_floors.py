"""The package is built in floors: imports go down or stay on a floor, and neither modules nor rooms form a circle."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import a2a
from a2a.common.floors import FLOORS, PAGES_ONLY

PACKAGE = Path(a2a.__file__).parent
MODULES = {
    ("a2a", *(part for part in path.relative_to(PACKAGE).with_suffix("").parts if part != "__init__")): path
    for path in PACKAGE.rglob("*.py")
}


def imports(path: Path) -> set[tuple[str, ...]]:
    """Modules of the package that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {tuple(alias.name.split(".")) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: a relative import"
            module = tuple(node.module.split("."))
            found |= {(*module, a.name) if (*module, a.name) in MODULES else module for a in node.names}
    return {name for name in found if name[0] == "a2a"}


ARROWS = {(name, other) for name, path in MODULES.items() for other in imports(path) if other != name}


def test_the_floors_are_the_folders():
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert set(FLOORS) == folders and set(PAGES_ONLY) < folders
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "__main__.py"}


def test_every_import_is_of_a_module_that_exists():
    assert {other for _, other in ARROWS} <= set(MODULES)


def test_imports_go_down():
    height = {floor: level for level, floor in enumerate(FLOORS)}
    outside = {("a2a",), ("a2a", "__main__")}  # the front door and the command stand before the house
    up = [(a, b) for a, b in ARROWS if a not in outside and len(b) > 1 and height[a[1]] < height[b[1]]]
    assert [f"{'.'.join(a)} imports {'.'.join(b)}" for a, b in sorted(up)] == []


def test_modules_form_no_circle():
    inner = {(a, b) for a, b in ARROWS if not (a == b[: len(a)] or b == a[: len(b)])}  # a package and its own modules
    graph = {name: {b for a, b in inner if a == name} for name in MODULES}
    tuple(TopologicalSorter(graph).static_order())


def test_rooms_form_no_circle():
    def room(name: tuple[str, ...]) -> tuple[str, ...]:
        return name if MODULES[name].name == "__init__.py" else name[:-1]

    outer = {(room(a), room(b)) for a, b in ARROWS if room(a) != room(b) and len(b) > 1 and len(a) > 1}
    outer = {(a, b) for a, b in outer if not (a == b[: len(a)] or b == a[: len(b)])}
    tuple(TopologicalSorter({a: {d for c, d in outer if c == a} for a, _ in outer}).static_order())
