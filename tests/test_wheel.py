"""The wheel: built from the sources, installed where there is no clone, and used there from phantom to completion."""

import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import threading
import tomllib
import venv
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import matplotlib
import pytest

from a2a.common.paths import ROOT, repository
from a2a.prior.shipped import SOURCE

LEFT_BEHIND = shutil.ignore_patterns(".*", "runs", "_build", "build", "notebooks", "tests", "*.egg-info", "__pycache__")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel of a copy of the sources, so that the clone stays as it is."""
    place = tmp_path_factory.mktemp("wheel")
    shutil.copytree(repository(), place / "sources", ignore=LEFT_BEHIND)
    words = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", place, place / "sources"]
    done = subprocess.run([sys.executable, "-m", "pip", "-q", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = place.glob("a2a-*-py3-none-any.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> Path:
    """A fresh environment with the wheel; other packages are those of these tests, so nothing is downloaded."""
    place = tmp_path_factory.mktemp("fresh") / "environment"
    venv.create(place, with_pip=False)
    words = ["--python", place, "install", "--no-deps", "--no-index", wheel]
    done = subprocess.run([sys.executable, "-m", "pip", "-q", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (packages,) = place.glob("lib/python*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"))  # without what its .pth files add: the clone
    return place


@pytest.fixture(scope="module")
def release() -> Iterator[str]:
    """Address at which this machine serves the weights."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(repository("weights"))))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def a2a(environment, tmp_path) -> Callable[..., subprocess.CompletedProcess]:
    """Run the installed command in an empty folder, without what names a clone."""

    def call(*words: str, **more: str) -> subprocess.CompletedProcess:
        unset = {"PYTHONPATH", "VIRTUAL_ENV", ROOT, SOURCE}
        own = {"A2A_QUIET": "1", "XDG_CACHE_HOME": str(tmp_path / "cache"), "MPLCONFIGDIR": matplotlib.get_configdir()}
        settings = {key: value for key, value in os.environ.items() if key not in unset} | own | more
        call = [environment / "bin" / "a2a", *words]
        return subprocess.run(call, cwd=tmp_path, env=settings, capture_output=True, text=True)

    return call


def test_it_holds_the_package_and_what_commands_read(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {f"a2a/{path.relative_to(repository('a2a')).as_posix()}" for path in repository("a2a").rglob("*.py")}
    assert modules | {"a2a/py.typed"} <= names
    for pattern in ("book/**/*.md", "book/_static/*", "data_cards/*", "experiments/**/*.yaml", "weights/*.json"):
        files = [path.relative_to(repository()).as_posix() for path in repository().glob(pattern) if path.is_file()]
        assert files and {f"a2a/share/{name}" for name in files} <= names
    assert not [name for name in names if name.endswith((".safetensors", ".pyc")) or "/." in name]
    assert wheel.stat().st_size < 8 * 2**20


def test_its_page_on_an_index_has_no_link_that_leads_nowhere(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        head, text = archive.read(name).decode().split("\n\n", 1)
    assert text.startswith("# Any2all") and "Description-Content-Type: text/markdown" in head
    assert re.findall(r"\]\((?!https://)[^)]*\)", text) == []
    assert "*One model, four scenarios" not in text and "*A real head" not in text and "## Five lines of Python" in text
    project = tomllib.loads(repository("pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"Requires-Python: {project['requires-python']}" in head
    workflow = repository(".github", "workflows", "check.yml").read_text(encoding="utf-8")
    for version in ("3.11", "3.12", "3.13"):
        assert f"Classifier: Programming Language :: Python :: {version}" in head and f'"{version}"' in workflow


def test_without_a_clone_it_says_what_it_has(a2a, environment):
    done = a2a("info")
    assert (done.returncode, done.stderr) == (0, "")
    share = next(environment.glob("lib/python*/site-packages/a2a/share"))
    assert f"Data cards in {share / 'data_cards'}:" in done.stdout
    assert "phantom-any2all-64.safetensors (not here; found by A2A_WEIGHTS)" in done.stdout
    done = a2a("prepare", "gone", "--out", "out")
    assert done.returncode == 2 and "There is no data card 'gone'; give a YAML file or one of: adni," in done.stderr


def test_without_a_clone_a_phantom_is_completed(a2a, release, tmp_path):
    done = a2a("phantom", "--out", "head", "--size", "64", "--dz", "20")
    assert done.returncode == 0, done.stderr
    head = next(tmp_path.glob("head/subject-*"))
    words = ["--given", "T1 + y(T2FLAIR)", "--t1", head / "T1.nii.gz", "--t2flair", head / "T2FLAIR.nii.gz"]
    words += ["--steps", "1", "--samples", "1", "--planes", "3-4", "--out", "done"]
    done = a2a("complete", "--prior", "phantom-any2all-64", *words)
    assert done.returncode == 2 and done.stderr.startswith("a2a: phantom-any2all-64: this installation has no weights;")
    done = a2a("complete", "--prior", "phantom-any2all-64", *words, A2A_WEIGHTS=release)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "done" / "report.json").read_text())
    assert set(report["maps"]) == {"T1", "T2FLAIR", "T2star", "CT", "PET"} and report["planes"] == [3, 4]
    assert (tmp_path / "done" / "CT.nii.gz").is_file()


@pytest.mark.slow
def test_without_a_clone_a_method_completes_and_a_chapter_runs(a2a, release, tmp_path):
    assert a2a("phantom", "--out", "head", "--size", "64", "--dz", "20").returncode == 0
    t1 = next(tmp_path.glob("head/subject-*/T1.nii.gz"))
    words = ["--given", "T1", "--t1", t1, "--planes", "3-4", "--out", "done"]
    done = a2a("complete", "--method", "mmgan", *words, A2A_WEIGHTS=release)
    assert done.returncode == 0 and (tmp_path / "done" / "CT.nii.gz").is_file(), done.stderr
    done = a2a("book", "--profile", "smoke", "--chapter", "04-solvable", A2A_WEIGHTS=release)
    assert done.returncode == 0, done.stderr
    (executed,) = tmp_path.glob("a2a-book/runs/book/smoke/04-solvable/executed.ipynb")
    assert done.stdout == f"Executed notebook: {executed}\n"
