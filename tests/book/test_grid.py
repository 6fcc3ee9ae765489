"""Grids: refused before anything runs, resumed, and failures beside what is done."""

import pandas as pd
import pytest
import yaml

from a2a.bookmaking.book import Book
from a2a.bookmaking.grid import Grid, gather, grid_tasks, run_grid, run_one
from a2a.common.errors import InputError

GRID = {
    "name": "circles",
    "chapters": ["01-mini"],
    "profile": "smoke",
    "parameters": {"points": [3, 4], "radius": [1.0]},
}


@pytest.fixture
def written(tmp_path):
    """Return a function that writes a grid with some fields changed."""

    def write(**change: object):
        path = tmp_path / "grid.yaml"
        path.write_text(yaml.safe_dump(GRID | change))
        return path

    return write


@pytest.mark.long
def test_every_combination_is_run_once_and_shown(written, mini, browser):
    grid, book, lines = Grid.load(written()), Book.read(mini), []
    tasks = grid_tasks(grid, book)
    run_one(tasks, tasks[1].key[:12], mini, lines.append)
    assert gather(grid, tasks, mini).result.tolist() == ["unfinished", "done"]
    table = run_grid(grid, book, 1, lines.append)
    assert sum("executing" in line for line in lines) == 2
    assert table.points.tolist() == [3, 4] and set(table.result) == {"done"}
    folder = mini / "runs" / "grid" / "circles"
    assert pd.read_csv(folder / "summary.csv").seconds.tolist() == table.seconds.tolist()
    assert "1-0.html" in (folder / "index.html").read_text() and "figure-" in (folder / "1-0.html").read_text()
    lines.clear()
    run_grid(grid, book, 1, lines.append)
    assert lines == ["unchanged: 01-mini: points=3, radius=1.0, 01-mini: points=4, radius=1.0"]
    for key, count in (("none", 0), ("", 2)):
        with pytest.raises(InputError, match=f"fits {count} combinations"):
            run_one(tasks, key, mini, lines.append)
    shows_figures_and_hides_what_is_not_asked_for(browser, folder / "index.html")


def shows_figures_and_hides_what_is_not_asked_for(browser, gallery):
    page = browser.new_context(offline=True).new_page()
    page.goto(gallery.as_uri())
    page.frame_locator("iframe").first.locator("svg.main-svg").first.wait_for()
    assert page.locator(".row:visible").count() == 2
    page.select_option("select[data-name=points]", "4")
    assert page.locator(".row:visible h2").all_text_contents() == ["chapter = 01-mini, points = 4, radius = 1.0"]


@pytest.mark.long
def test_neither_an_error_nor_a_killed_kernel_stops_the_rest(written, mini):
    chapter = mini / "book" / "01-mini.md"
    fault = "import os, signal\nassert points != 3, 'no triangle'\npoints == 4 and os.kill(os.getpid(), signal.SIGKILL)"
    chapter.write_text(chapter.read_text().replace("assert np.allclose", f"{fault}\nassert np.allclose"))
    asked = Grid.load(written(parameters={"points": [3, 4, 5]}))
    table = run_grid(asked, Book.read(mini), 1, lambda line: None)
    assert table.result.tolist() == ["failed", "failed", "done"]
    assert "no triangle" in table.error[0] and "Kernel died" in table.error[1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"parameters": {"pointz": [3]}}, "no parameter 'pointz'; it declares profile, points, radius"),
        ({"parameters": {"points": []}}, "parameter points has no values"),
        ({"parameters": {"points": ["many"]}}, "'points' must be int"),
        ({"parameters": {}}, "field parameters"),
        ({"parameters": {"profile": ["ci"]}}, "'profile' is a field of the grid"),
        (
            {"parameters": {"points": list(range(1000)), "radius": [1.0] * 1000}},
            "1000000 combinations; a grid has at most 1000",
        ),
        ({"chapters": ["02-mini"]}, "Unknown chapter '02-mini'"),
        ({"profile": "huge"}, "Unknown profile 'huge'"),
        ({"name": "../up"}, "field name"),
        ({"more": 1}, "field more"),
    ],
)
def test_bad_grids_are_refused_before_anything_runs(written, mini, change, words):
    with pytest.raises(InputError, match=words):
        grid_tasks(Grid.load(written(**change)), Book.read(mini))
    assert not (mini / "runs").exists()
