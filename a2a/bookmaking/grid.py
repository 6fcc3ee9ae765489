"""Chapters over a grid of parameters: validated first, resumable, with a table and a gallery of what came out.

For instructors; explained in the chapter "Beyond one machine" of the book.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import plotly
from jinja2 import Environment
from pydantic import BaseModel, ConfigDict, Field

from a2a.bookmaking.book import Book
from a2a.bookmaking.pictures import PLOTLY
from a2a.bookmaking.run import Task, complain, read_run, run_all
from a2a.common.documents import read_yaml
from a2a.common.errors import InputError
from a2a.common.escaping import for_spreadsheet
from a2a.common.files import say_if_full, write_text
from a2a.common.names import Name
from a2a.common.outputs import check_place, hold
from a2a.figures import theme

LIMIT = 1000
_STYLE = """body { font-family: system-ui, sans-serif; margin: 2rem; color-scheme: light }
.filters { display: flex; flex-wrap: wrap; gap: .4rem 1.2rem; margin-block: 1rem }
.row { border-top: 1px solid #ccc; padding-block: .6rem }
.row h2 { font-size: 1rem; margin: 0 0 .4rem; font-weight: 600 }
.figures { display: flex; gap: .6rem; overflow-x: auto }
iframe { border: 0; flex: none }"""
_TEMPLATES = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
_FIGURE = _TEMPLATES.from_string("""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{{ title }}</title>
<script src="plotly.min.js"></script>
<style>body { margin: 0 }</style>
{{ figure|safe }}
</html>
""")
_GALLERY = _TEMPLATES.from_string("""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{{ title }}</title>
<meta name="viewport" content="width=device-width">
<style>{{ style|safe }}</style>
<h1>{{ title }}</h1>
<div class="filters">
{% for name, values in filters.items() %}
<label>{{ name }} <select data-name="{{ name }}"><option value="">all</option>
{% for value in values %}<option>{{ value }}</option>{% endfor %}
</select></label>
{% endfor %}
</div>
{% for row in rows %}
<section class="row" data-values="{{ row.chosen|tojson|forceescape }}">
<h2>{% for name, value in row.chosen.items() %}{{ name }} = {{ value }}{{ ", " if not loop.last }}{% endfor %}</h2>
<p>{{ row.said }}</p>
<div class="figures" tabindex="0" role="group" aria-label="Figures">
{% for figure in row.figures %}
<iframe loading="lazy" src="{{ figure.file }}" title="{{ figure.title }}"
  width="{{ figure.width }}" height="{{ figure.height }}"></iframe>
{% endfor %}
</div>
</section>
{% endfor %}
<script>
const filters = [...document.querySelectorAll("select")];
function filter() {
  for (const row of document.querySelectorAll(".row")) {
    const values = JSON.parse(row.dataset.values);
    row.hidden = filters.some((f) => f.value && values[f.dataset.name] !== f.value);
  }
}
filters.forEach((f) => f.addEventListener("change", filter));
filter();
</script>
</html>
""")
"""All but the figures, which chapters made themselves, is escaped."""


class Grid(BaseModel):
    """What a grid YAML says.

    Parameters
    ----------
    name
        Of the folder ``runs/grid/NAME``: letters, digits, ``_``, ``-`` and ``.``.
    chapters
        Which chapters, by file name without suffix.
    profile
        Size of the work; what it and the chapter say of other parameters holds.
    parameters
        Values of each parameter; every combination is run in every chapter.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name = Field(pattern=r"^\w[\w.-]*$")
    chapters: tuple[Name, ...] = Field(min_length=1, max_length=LIMIT)
    profile: str = "ci"
    parameters: dict[str, list[Any]] = Field(min_length=1)

    @classmethod
    def load(cls, path: Path) -> "Grid":
        """Read and validate the YAML.

        Raises
        ------
        InputError
            If the file is missing or no YAML, a field is wrong, an axis is empty, or there are more than 1000
            combinations.
        """
        grid = read_yaml(path, cls, "a grid is a YAML with name, chapters and parameters")
        if empty := [name for name, values in grid.parameters.items() if not values]:
            raise InputError(f"{path}: parameter {empty[0]} has no values; give at least one.")
        count = len(grid.chapters) * prod(len(values) for values in grid.parameters.values())
        if count > LIMIT:
            raise InputError(f"{path}: {count} combinations; a grid has at most {LIMIT}, leave some values out.")
        return grid

    def combinations(self) -> list[dict[str, Any]]:
        """All choices of one value for each parameter, the last parameter changing fastest."""
        return [dict(zip(self.parameters, values, strict=True)) for values in product(*self.parameters.values())]


def grid_tasks(grid: Grid, book: Book) -> list[Task]:
    """Return what a grid executes.

    Raises
    ------
    InputError
        If a chapter, the profile or a parameter is unknown, or a value has a wrong type; nothing has run then.
    """
    if "profile" in grid.parameters:
        raise InputError("The parameter 'profile' is a field of the grid, not one of its axes.")
    tasks = []
    for chapter in map(book.chapter, grid.chapters):
        for chosen in grid.combinations():
            (task,) = book.tasks([chapter], grid.profile, chosen)
            words = ", ".join(f"{name}={value}" for name, value in chosen.items())
            tasks.append(replace(task, label=f"{chapter.name}: {words}"))
    return tasks


def run_grid(grid: Grid, book: Book, jobs: int, report: Callable[[str], None]) -> pd.DataFrame:
    """Execute what is not there yet, then `gather`; failures stop nothing.

    Parameters
    ----------
    grid
        Chapters and combinations.
    book
        The book they are of.
    jobs
        Chapters at a time.
    report
        Is told of every step, a line each.
    """
    tasks = grid_tasks(grid, book)
    if any(run.error for run in run_all(tasks, book.root, jobs, report)):
        report("some combinations failed; see the table")
    return gather(grid, tasks, book.root)


def run_one(tasks: Sequence[Task], key: str, root: Path, report: Callable[[str], None]) -> None:
    """Execute the combination whose key begins with `key`, unless it is there.

    Parameters
    ----------
    tasks
        All combinations.
    key
        Beginning of the key of the one to execute.
    root
        Root of the repository.
    report
        Is told of every step, a line each.

    Raises
    ------
    InputError
        If there is not exactly one.
    a2a.bookmaking.run.ChapterFailed
        If it fails.
    """
    chosen = [task for task in tasks if task.key.startswith(key)]
    if len(chosen) != 1:
        raise InputError(f"Key {key!r} fits {len(chosen)} combinations; --check lists all of them with their keys.")
    complain(chosen, run_all(chosen, root, 1, report))


def gather(grid: Grid, tasks: Sequence[Task], root: Path) -> pd.DataFrame:
    """Write the table and the gallery of what there is.

    Parameters
    ----------
    grid
        Chapters and combinations.
    tasks
        All combinations.
    root
        Root of the repository.

    Returns
    -------
    pandas.DataFrame
        One row for each combination: ``chapter``, the parameters, ``result`` (done, failed, or unfinished where it was
        not executed or its process was ended), ``seconds``, ``error`` and ``folder``. Also in
        ``runs/grid/NAME/summary.csv``, beside ``index.html``.
    """
    table = pd.DataFrame([_row(task, grid) for task in tasks])
    folder = root / "runs" / "grid" / grid.name
    with hold(check_place(folder), wait=True), say_if_full(folder):
        write_text(folder / "summary.csv", for_spreadsheet(table).to_csv(index=False))
        _write_gallery(folder, grid, tasks, table)
    return table


def _row(task: Task, grid: Grid) -> dict[str, Any]:
    """What became of one combination."""
    run = read_run(task.folder)
    error = run.error if run else ""
    done = run is not None and run.key == task.key and not error
    chosen = {name: task.settings[name] for name in grid.parameters}
    result = "done" if done else "failed" if error else "unfinished"
    outcome = {"result": result, "seconds": run.seconds if done else None, "error": error}
    return {"chapter": task.chapter.name} | chosen | outcome | {"folder": str(task.folder)}


def _write_gallery(folder: Path, grid: Grid, tasks: Sequence[Task], table: pd.DataFrame) -> None:
    """Write a page with one row of figures for each combination, each a small page of its own; none needs a network."""
    shutil.copyfile(Path(plotly.__file__).parent / "package_data" / "plotly.min.js", folder / "plotly.min.js")
    rows = []
    for number, (task, outcome) in enumerate(zip(tasks, table.to_dict("records"), strict=True)):
        chosen = {name: str(outcome[name]) for name in ("chapter", *grid.parameters)}
        figures = []
        for place, (figure, width, height) in enumerate(_figures(task.folder)):
            file, title = f"{number}-{place}.html", f"{task.label}, figure {place + 1}"
            write_text(folder / file, _FIGURE.render(title=title, figure=figure))
            figures.append({"file": file, "title": title, "width": width, "height": height})
        seconds = f", {outcome['seconds']:.0f} s" if outcome["result"] == "done" else ""
        said = f"{outcome['result']}{seconds}{': ' if outcome['error'] else ''}{outcome['error']}"
        rows.append({"chosen": chosen, "said": said if figures else f"{said}; no figures", "figures": figures})
    filters = {name: list(dict.fromkeys(row["chosen"][name] for row in rows)) for name in ("chapter", *grid.parameters)}
    write_text(folder / "index.html", _GALLERY.render(title=grid.name, style=_STYLE, filters=filters, rows=rows))


def _figures(folder: Path) -> list[tuple[str, int, int]]:
    """The interactive figures of an executed notebook as HTML, each with its width and height in pixels."""
    path = folder / "executed.ipynb"
    if not path.is_file():
        return []
    cells = nbformat.read(path, as_version=4).cells
    found = [o.data for cell in cells for o in cell.get("outputs", []) if PLOTLY in o.get("data", {})]
    layouts = [data[PLOTLY].get("layout", {}) for data in found]
    sizes = [(int(layout.get("width", theme.WIDTH)), int(layout.get("height", 450))) for layout in layouts]
    return [(data["text/html"], width, height) for data, (width, height) in zip(found, sizes, strict=True)]
