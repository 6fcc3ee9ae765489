"""What the workflow is asked to make: checked before anything runs, and repeated when contents change."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from a2a.bookmaking.workflow import CONFIG, Plan
from a2a.common.errors import InputError
from a2a.common.floors import PAGES_ONLY
from a2a.common.paths import repository

CONTENT = yaml.safe_load(repository(CONFIG).read_text(encoding="utf-8"))


def test_what_is_shipped_can_be_made():
    chapters, combinations = Plan.read(CONTENT | {"grid": "experiments/grid-example.yaml"}).check()
    assert "01-formulation" in chapters and len(set(chapters.values())) == len(chapters)
    assert len(set(combinations)) == 4 and all(folder.parts[:2] == ("runs", "chapters") for folder in combinations)


@pytest.mark.parametrize(("change", "fits"), [({}, False), ({"gpu": False}, True), ({"prior": CONTENT["prior"]}, True)])
def test_a_training_needs_as_many_gpus_as_jobs_may_use(change, fits, monkeypatch):
    monkeypatch.chdir(repository())
    four = {"prior": "experiments/priors/phantom-any2all-64.yaml", "devices": 4, "gpu": True}
    plan = Plan.read(CONTENT | four | change)
    plan.check(4)
    if fits:
        plan.check(1)
    else:
        with pytest.raises(InputError, match=r"field devices: .* takes 4 GPUs and .* use 1; add --resources gpu=4"):
            plan.check(1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"profile": "huge"}, "Unknown profile 'huge'"),
        ({"card": "nothing"}, "no data card 'nothing'"),
        ({"card": "wustl-pet-mr-ct"}, "is private and cannot be prepared"),
        ({"chapters": ["00-nothing"]}, "Unknown chapter '00-nothing'"),
        ({"prior": "nothing.safetensors"}, "field prior: nothing.safetensors does not exist"),
        ({"prior": "nothing.yaml"}, "nothing.yaml: no such file"),
        ({"experiments": ["nothing.yaml"]}, "nothing.yaml: no such file"),
        ({"experiments": ["experiments/faster.yaml"]}, "has no profile 'ci'"),
        ({"experiments": ["experiments/figures/figure-3.yaml"] * 2}, "two files have the same name"),
        ({"grid": "nothing.yaml"}, "nothing.yaml: no such file"),
        ({"devices": 0}, "field devices"),
        ({"more": 1}, "field more"),
    ],
)
def test_a_wrong_plan_is_refused(change, words, monkeypatch):
    monkeypatch.chdir(repository())
    with pytest.raises(InputError, match=words):
        Plan.read(CONTENT | change).check()


def test_a_key_follows_contents_and_not_dates(tmp_path: Path):
    plan, file = Plan.read(CONTENT), tmp_path / "experiment.yaml"
    file.write_text("steps: 1")
    first = plan.key(file)
    os.utime(file, (0, 0))
    assert plan.key(file) == first
    file.write_text("steps: 2")
    assert plan.key(file) != first
    assert plan.key(file) != Plan.read(CONTENT | {"card": "phantom-brats"}).key(file)


def test_tables_do_not_depend_on_what_makes_pages():
    floors = {f"a2a.{name}" for name in PAGES_ONLY}
    imports = "a2a.benchmark.run, a2a.data.prepare.prepare, a2a.training, a2a.methods.recipes"
    program = f"import sys, {imports}; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", program], text=True).split()
    assert "a2a.benchmark.run" in loaded and not floors & set(loaded)
