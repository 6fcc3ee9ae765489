"""Chapters, book and grid as jobs: each is executed once, two at a time, whatever becomes of the others."""

import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
import yaml

from a2a.bookmaking.run import read_run
from a2a.common.paths import repository

pytestmark = pytest.mark.apart

if not find_spec("snakemake"):
    pytest.skip("the workflow is not installed; see make workflow", allow_module_level=True)

SETTINGS = {"profile": "smoke", "card": "phantom-any2all", "prior": "weights/prior.safetensors", "grid": "grid.yaml"}
GRID = {"name": "radii", "chapters": ["01-mini"], "profile": "smoke", "parameters": {"radius": [-1.0, 2.0]}}
OTHER = {"# A circle": "# Another", "eq-euler": "eq-other", "fig-circle": "fig-other", "fig-phase": "fig-angle"}
OPTIONS = "--profile workflow/profiles/local --cores 2 --set-threads chapter=1 combination=1".split()
PATIENCE = 1200


class Clone:
    """A repository of the small book with two chapters, of which the second fails, and a grid that fails by half."""

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.copytree(repository("tests", "book", "mini"), root)
        for name in ("a2a", "workflow", "data_cards", "book/_static"):
            shutil.copytree(repository(name), root / name)
        for name in ("_config.yml", "requirements.txt"):
            shutil.copy(repository(name), root)
        text = (root / "book" / "01-mini.md").read_text()
        for old, new in OTHER.items():
            text = text.replace(old, new)
        (root / "book" / "02-other.md").write_text(text)
        toc = root / "book" / "_toc.yml"
        toc.write_text(toc.read_text().replace("- file: status", "- file: 02-other\n  - file: status"))
        self.choose_radius(-1.0)
        self.write("workflow/config.yaml", SETTINGS)
        self.write("grid.yaml", GRID)
        (root / "weights").mkdir()
        self.weights.write_bytes(b"first")

    @property
    def weights(self) -> Path:
        return self.root / "weights" / "prior.safetensors"

    def write(self, name: str, content: dict) -> None:
        (self.root / name).write_text(yaml.safe_dump(content))

    def choose_radius(self, radius: float) -> None:
        """Set the parameter of the second chapter; a distance below zero is an error in it."""
        parameters = {"01-mini": {"points": 5}, "02-other": {"radius": radius}}
        self.write("book/profiles.yml", {"smoke": parameters, "ci": {}, "full": {}})

    def start(self, *words: str) -> subprocess.Popen:
        environment = os.environ | {"A2A_QUIET": "1", "PYTHONPATH": str(self.root)}
        command = [sys.executable, "-m", "snakemake", *words, *OPTIONS]
        out = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(command, cwd=self.root, env=environment, **out)

    def run(self, *words: str) -> tuple[int, str]:
        """Run Snakemake to its end; return its exit code and what it said."""
        process = self.start(*words)
        said, _ = process.communicate(timeout=PATIENCE)
        return process.returncode, said

    def killed_in_the_first_chapter(self) -> datetime:
        """Kill a Snakemake that executes the first chapter alone, and return when."""
        process, end = self.start("chapters", "--config", "chapters=[01-mini]"), time.monotonic() + PATIENCE
        while not self.chapter("01-mini").joinpath("executing.ipynb").exists():
            assert process.poll() is None and time.monotonic() < end, process.stdout.read()
            time.sleep(0.1)
        process.kill()
        return datetime.now(UTC)

    def chapter(self, name: str) -> Path:
        return self.root / "runs" / "book" / "smoke" / name

    def executed(self) -> dict[Path, int]:
        """All executed notebooks and their dates."""
        return {path: path.stat().st_mtime_ns for path in self.root.glob("runs/**/executed.ipynb")}


def jobs(said: str, rule: str) -> int:
    """How many jobs of a rule a run of Snakemake began, or would begin."""
    return said.count(f"rule {rule}:\n")


def test_after_a_kill_and_failures_each_page_and_combination_is_made_once(tmp_path):
    clone = Clone(tmp_path / "clone")
    killed = clone.killed_in_the_first_chapter()
    code, said = clone.run("book", "grid")
    assert code == 1 and "--unlock" in said
    assert clone.run("--unlock")[0] == 0

    code, said = clone.run("book", "grid")
    assert code == 1 and "Execute 2 jobs" in said and "Chapter 02-other failed with AssertionError" in said
    assert "the book, was not begun" in said and not (clone.root / "_build").exists()
    assert datetime.fromisoformat(read_run(clone.chapter("01-mini")).started) <= killed, "what was under way was kept"
    table = pd.read_csv(clone.root / "runs" / "grid" / "radii" / "summary.csv")
    assert dict(zip(table["radius"], table["result"], strict=True)) == {-1.0: "failed", 2.0: "done"}
    done = clone.executed()
    assert len(done) == 2

    clone.choose_radius(3.0)
    code, said = clone.run("book")
    assert code == 0 and jobs(said, "chapter") == jobs(said, "book") == 1
    assert "book: unchanged: 01-mini, 02-other" in (clone.root / "runs/workflow/smoke/logs/book.log").read_text()
    assert "distance of 3.0" in (clone.root / "_build" / "html" / "02-other.html").read_text()
    assert "Nothing to be done" in clone.run("book")[1]

    (clone.root / "book" / "intro.md").write_text("# Another beginning\n")
    said = clone.run("book", "-n")[1]
    assert (jobs(said, "chapter"), jobs(said, "book")) == (0, 1), "prose is in the book and not in what chapters show"
    clone.weights.write_bytes(b"second")
    said = clone.run("book", "grid", "-n")[1]
    assert (jobs(said, "chapter"), jobs(said, "combination"), jobs(said, "book")) == (2, 2, 1)
