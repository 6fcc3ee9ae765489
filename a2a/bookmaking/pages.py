"""The pages that the book is built from: sources merged with outputs, put together in a staging folder.

A page takes its text, captions and alternative texts from the source and only the outputs from the executed
notebook; so a corrected sentence needs no new execution.
"""

import base64
import hashlib
import html
import re
import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import distribution
from pathlib import Path

import nbformat
import plotly
from nbformat import NotebookNode

from a2a.bookmaking.api import PAGES, api_page
from a2a.bookmaking.card_pages import REALISM, materials_page
from a2a.bookmaking.chapters import Chapter, pages
from a2a.bookmaking.pictures import PLOTLY, PNG
from a2a.bookmaking.run import Run, Task
from a2a.common.progress import format_seconds

STATUS, MATERIALS, *API = GENERATED = ("status", "data-and-weights", *PAGES)
INJECTED = "injected-parameters"
PICTURES = "pictures"
LIVE, LIVE_PAGE = "live", "try-it"


def merge(chapter: Chapter, executed: NotebookNode, run: Run) -> NotebookNode:
    """Return the page of a chapter: its source with the outputs of a run and an account of that run.

    Where the run failed, the page begins with what went wrong, and figures that were not reached say so in their place.

    Parameters
    ----------
    chapter
        The source.
    executed
        Notebook that papermill wrote for the same code cells, with its extra cell of parameters.
    run
        Record of that execution.
    """
    page = nbformat.from_dict(chapter.notebook)
    codes, done = [
        [c for c in nb.cells if c.cell_type == "code" and INJECTED not in _tags(c)] for nb in (page, executed)
    ]
    for cell, other in zip(codes, done, strict=True):
        cell.execution_count = other.execution_count
        cell.outputs = [_for_page(output, cell) for output in other.outputs or _not_reached(cell)]
    if run.error:
        page.cells.insert(1, nbformat.v4.new_markdown_cell(_failure(run), id="failure"))
    at = next(i for i, cell in enumerate(page.cells) if "parameters" in _tags(cell))
    page.cells[at + 1 : at + 1] = _changed_parameters(chapter, run)
    page.cells.append(nbformat.v4.new_markdown_cell(_account(chapter, run), id="account"))
    return page


def _tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def _for_page(output: NotebookNode, cell: NotebookNode) -> NotebookNode:
    """Prepare an output for Sphinx: of an interactive figure it needs the HTML, with the alternative text of the cell.

    The JSON of Plotly beside the HTML serves JupyterLab; Sphinx would warn about it. The alternative text reaches
    bitmap images through Sphinx, but not HTML. The corner of a table is no heading of anything. Readers without
    JavaScript get the picture of the figure, if there is one.
    """
    data = output.get("data", {})
    if "text/html" in data:
        interactive = data.pop(PLOTLY, None)
        data["text/html"] = re.sub(r"<th\b([^>]*)>(\s|&nbsp;)*</th>", r"<td\1></td>", data["text/html"])
        if alt := cell.metadata.get("mystnb", {}).get("image", {}).get("alt"):
            label = f'aria-label="{html.escape(" ".join(alt.split()))}"'
            figure, labelled = re.subn(r'aria-label="[^"]*"', lambda _: label, data["text/html"], count=1)
            data["text/html"] = figure if labelled else f'<div role="img" {label}>{figure}</div>'
        if interactive and PNG in data:
            words = re.search(r'aria-label="([^"]*)"', data["text/html"])[1]
            data["text/html"] += f'<noscript><img src="{PICTURES}/{_picture(data)}" alt="{words}"></noscript>'
    return output


def _picture(data: NotebookNode) -> str:
    """Return the name of the file that holds the picture of a figure."""
    return hashlib.sha256(data[PNG].encode()).hexdigest()[:16] + ".png"


def _not_reached(cell: NotebookNode) -> list[NotebookNode]:
    """Return what stands for the figure of a cell that was not executed, so that references to it lead somewhere."""
    data = {"text/html": "<p>This figure was not computed.</p>"}
    return [nbformat.v4.new_output("display_data", data)] if "mystnb" in cell.metadata else []


def _failure(run: Run) -> str:
    """Return the box at the top of a chapter that failed."""
    return "\n".join(
        [
            "::::{error}",
            "This chapter failed, and what follows is incomplete:",
            "```text",
            run.error,
            "```",
            f"The traceback stands below the cell; `{run.notebook}`, `failure.txt` and `log.txt` of the run are kept.",
            "::::",
        ]
    )


def _changed_parameters(chapter: Chapter, run: Run) -> list[NotebookNode]:
    """Return a folded cell with the values of this run that differ from those in the parameters cell, if any."""
    declared = chapter.parameters.values()
    lines = [f"{p.name} = {run.settings[p.name]!r}" for p in declared if run.settings[p.name] != p.default]
    if not lines:
        return []
    source = "\n".join(lines)
    prompts = {"code_prompt_show": "Values of this run", "code_prompt_hide": "Values of this run"}
    return [nbformat.v4.new_code_cell(source, id="values", metadata={"tags": ["hide-input"], "mystnb": prompts})]


def _account(chapter: Chapter, run: Run) -> str:
    """Return the closing note of a chapter: how, where, when and from which commit it was computed."""
    values = ", ".join(f"{name} = {run.settings[name]!r}" for name in chapter.parameters)
    machine = run.machine
    return "\n".join(
        [
            ":::{dropdown} How this page was computed",
            f"Parameters: `{values}`",
            "",
            f"Executed in {format_seconds(run.seconds)} on {run.started[:10]} from commit `{run.commit}` with",
            f"a2a {machine['a2a']}, PyTorch {machine['torch']} and Python {machine['python']}",
            f"on {machine['device']}, {machine['threads']} threads.",
            ":::",
        ]
    )


def status_page(runs: Sequence[Run], titles: Mapping[str, str]) -> str:
    """Return the page that lists every chapter with its profile, duration, date, commit and result."""
    head = [
        "# How this book was computed",
        "",
        "Every chapter is executed before the book is built, and again whenever its code, its parameters, the package,",
        "the data cards, the weights or the pinned versions change.",
        "",
    ]
    rows = []
    for run in runs:
        result = f"**failed**: {html.escape(run.error)}".replace("|", "\\|") if run.error else "done"
        cells = (run.settings["profile"], f"{run.seconds:.0f}", run.started[:10], f"`{run.commit}`", result)
        rows.append(f"| [{titles[run.chapter]}]({run.chapter}.ipynb) | {' | '.join(map(str, cells))} |")
    table = ["| Chapter | Profile | Seconds | Date | Commit | Result |", "|---|---|---:|---|---|---|", *rows]
    total = f"Together {format_seconds(sum(r.seconds for r in runs))}."
    devices = sorted({f"{r.machine['device']} with PyTorch {r.machine['torch']}" for r in runs})
    tail = ["", total, "", "Computed on:", "", *(f"- {device}" for device in devices)]
    return "\n".join([*head, *(table + tail if rows else ["This book has no executed chapter yet."])]) + "\n"


def stage(root: Path, folder: Path, tasks: Sequence[Task], runs: Sequence[Run]) -> None:
    """Fill `folder` with everything that Jupyter Book needs; what was in it is removed.

    Parameters
    ----------
    root
        Root of the repository.
    folder
        The staging folder.
    tasks, runs
        Every chapter with the record of its run.
    """
    shutil.rmtree(folder, ignore_errors=True)
    skipped = shutil.ignore_patterns(*(f"{run.chapter}.md" for run in runs), "profiles.yml", ".ipynb_checkpoints")
    shutil.copytree(root / "book", folder, ignore=skipped)
    for task, run in zip(tasks, runs, strict=True):
        page = merge(task.chapter, nbformat.read(task.folder / run.notebook, as_version=4), run)
        nbformat.write(page, folder / f"{run.chapter}.ipynb")
        _write_pictures(page, folder / "_vendor" / PICTURES)
    wanted = pages(root)
    if STATUS in wanted:
        titles = {task.chapter.name: task.chapter.title for task in tasks}
        (folder / f"{STATUS}.md").write_text(status_page(runs, titles), encoding="utf-8")
    if MATERIALS in wanted:
        (folder / f"{MATERIALS}.md").write_text(materials_page(root), encoding="utf-8")
        (folder / REALISM).mkdir()
        for path in (root / "results").glob("*-realism.png"):
            shutil.copy(path, folder / REALISM)
    for page in set(API) & set(wanted):
        (folder / f"{page}.md").write_text(api_page(root, page), encoding="utf-8")
    if (folder / LIVE).is_dir():
        shutil.move(folder / LIVE, folder / "_vendor" / LIVE)
    vendor(folder / "_vendor" / "vendor")


def _write_pictures(page: NotebookNode, folder: Path) -> None:
    """Write the pictures of figures as files, which only readers without JavaScript load."""
    outputs = [output.get("data", {}) for cell in page.cells for output in cell.get("outputs", [])]
    folder.mkdir(parents=True, exist_ok=True)
    for data in outputs:
        if {"text/html", PNG} <= data.keys():
            (folder / _picture(data)).write_bytes(base64.b64decode(data[PNG]))


def vendor(folder: Path) -> None:
    """Copy the two scripts that pages load, from the installed packages, so that they also work offline.

    MathJax in its SVG form needs no font files, which some browsers refuse to load from disk.
    """
    folder.mkdir(parents=True)
    shutil.copyfile(Path(plotly.__file__).parent / "package_data" / "plotly.min.js", folder / "plotly.min.js")
    mathjax = distribution("sphinx-mathjax-offline")
    shutil.copyfile(
        Path(mathjax.locate_file("sphinx-mathjax-offline/static/mathjax/tex-svg-full.js")), folder / "tex-svg.js"
    )
