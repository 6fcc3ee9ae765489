"""The registry of methods, and the page of the book that tells how to add one: it is executed here as it stands."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jupytext
import nibabel as nib
import numpy as np
import pytest
import yaml

from a2a.benchmark.table import read_table
from a2a.common.errors import InputError
from a2a.common.paths import repository
from a2a.methods.interface import ANY2ALL
from a2a.methods.recipes import trained_methods
from a2a.methods.registry import load_method, method, methods

RIVALS = {"cocagan", "discdiff", "hinet", "m2dn", "mcvarnet", "minet", "mmgan", "mmresvit", "mmsyn", "pmmsynth"}
RIVALS |= {"ftn", "network-regression", "pflsynth", "syndiff", "ucdgan"}
PAGE = repository("book", "29-howto-method.md")


def test_the_compared_methods_are_found_by_themselves():
    assert set(trained_methods()) >= RIVALS and set(trained_methods()) <= set(methods())
    assert ANY2ALL not in methods()


@pytest.mark.parametrize("name", ["any2all", "mmgan"])
def test_a_name_is_given_once(name):
    with pytest.raises(ValueError, match=f"a method named '{name}' is there already"):
        method(type("Other", (), {"name": name}))


def test_an_unknown_method_is_refused_with_those_that_are_known():
    with pytest.raises(InputError, match="'mmgam' is no method; name one of .*discdiff.* m2dn"):
        load_method("mmgam")


@pytest.fixture(scope="module")
def plugin(tmp_path_factory) -> Path:
    """A folder with the page's method as a module, and the entry point that an installation would have written."""
    folder = tmp_path_factory.mktemp("plugin")
    cells = [cell.source for cell in jupytext.read(PAGE).cells if cell.cell_type == "code"]
    imports = next(source for source in cells if "from a2a" in source)
    written = next(source for source in cells if "class Nearest" in source)
    (folder / "nearest.py").write_text(f"{imports}\n\n{written}\n")
    info = folder / "nearest-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nearest\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[a2a.methods]\nnearest = nearest\n")
    return folder


def a2a(plugin: Path, *words: object) -> subprocess.CompletedProcess:
    """Run the command line with the plug-in on the path."""
    environment = os.environ | {"PYTHONPATH": f"{plugin}:{repository()}", "A2A_QUIET": "1"}
    words = [str(word) for word in (sys.executable, "-m", "a2a", *words)]
    return subprocess.run(words, capture_output=True, text=True, env=environment)


@pytest.fixture(scope="module")
def store(plugin: Path) -> Path:
    """The slice store of four phantoms, made on the command line with the plug-in installed."""
    card = yaml.safe_load(repository("data_cards", "phantom-any2all.yaml").read_text())
    card["profiles"] = {"smoke": {"train": ["0..1"], "val": ["198"], "test": ["205"], "slices": 4}}
    (plugin / "tiny.yaml").write_text(yaml.safe_dump(card))
    out = plugin / "store"
    done = a2a(plugin, "prepare", plugin / "tiny.yaml", "--profile", "smoke", "--workers", 1, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.long
def test_the_pages_method_completes_a_patient_on_the_command_line(plugin, store):
    made = a2a(plugin, "phantom", "--size", 64, "--dz", 16, "--subject", 205, "--workers", 1, "--out", plugin / "files")
    assert made.returncode == 0, made.stderr
    t1 = next((plugin / "files").rglob("*T1.nii.gz"))
    words = ["--method", "nearest", "--weights", store, "--given", "T1", "--t1", t1, "--out", plugin / "out"]
    done = a2a(plugin, "complete", *words)
    assert done.returncode == 0, done.stderr
    assert json.loads((plugin / "out" / "report.json").read_text())["method"] == "nearest"
    maps = {name: nib.load(plugin / "out" / f"{name}.nii.gz").get_fdata() for name in ("T1", "PET")}
    assert np.nanstd(maps["PET"]) > 0 and maps["PET"].shape == maps["T1"].shape
    refused = a2a(plugin, "complete", *words[:-1], plugin / "other", "--steps", 3)
    assert refused.returncode == 2 and "--steps is for --prior, not for nearest" in refused.stderr


@pytest.mark.long
def test_the_pages_method_is_measured_by_the_benchmark(plugin, store):
    experiment = {"name": "plug-in", "data": str(store), "weights": {"nearest": str(store)}, "jobs": [
        {"given": given, "targets": ["PET"], "method": "nearest"} for given in ("T1", "y(T1)")]}  # fmt: skip
    (plugin / "experiment.yaml").write_text(yaml.safe_dump(experiment))
    done = a2a(plugin, "bench", plugin / "experiment.yaml", "--out", plugin / "table.parquet")
    assert done.returncode == 0, done.stderr
    table = read_table(plugin / "table.parquet")
    assert (table.query("metric == 'psnr' and scenario == 'T1'").value > 5).all()
    assert "takes no k-space" in table.query("scenario == 'y(T1)'").reason.item()


def test_a_method_without_training_leaves_training_as_it_is(plugin):
    recipe = next(repository("experiments", "priors").glob("phantom-any2all-64*.yaml"))
    found = a2a(plugin, "train", recipe, "--data", plugin / "nowhere")
    assert found.returncode == 2 and "nowhere" in found.stderr and "Config" not in found.stderr
