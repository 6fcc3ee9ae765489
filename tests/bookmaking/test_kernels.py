"""The kernel of a chapter is this interpreter, whatever Jupyter knows, and ends with the process that started it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest

import a2a
from a2a.bookmaking.chapters import Chapter, Parameter
from a2a.bookmaking.run import Task, execute

PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_kernels import busy, MACHINE
from a2a.bookmaking.run import run_all
from a2a.common.children import leave_on_signals
if __name__ == "__main__":
    with leave_on_signals():
        run_all([busy(Path({folder!r}))], Path({folder!r}), 1, print)
"""
MACHINE = {"a2a": "0", "python": "3", "torch": "2", "device": "test", "threads": 1}


def chapter(source: str) -> Chapter:
    """Return a chapter of one cell beside its parameters."""
    first = nbformat.v4.new_code_cell('profile: str = "ci"  # size', metadata={"tags": ["parameters"]})
    notebook = nbformat.v4.new_notebook(cells=[first, nbformat.v4.new_code_cell(source)])
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return Chapter("01-test", notebook, {"profile": Parameter("profile", "str", "ci", "size")})


def busy(folder: Path) -> Task:
    """Return a chapter that computes for ever at full load."""
    source = "import os\nfrom pathlib import Path\nPath('kernel').write_text(str(os.getpid()))\nwhile True:\n    pass"
    return Task(chapter(source), {"profile": "ci"}, folder / "run", "key")


def test_a_kernel_of_another_environment_on_the_path_of_jupyter_is_not_taken(tmp_path, monkeypatch):
    spec = {"argv": ["/bin/false"], "display_name": "x", "language": "python", "env": {"PYTHONPATH": "/nowhere"}}
    (tmp_path / "kernels" / "python3").mkdir(parents=True)
    (tmp_path / "kernels" / "python3" / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    source = "import sys, a2a\nopen('got', 'w').write(f'{sys.executable} {a2a.__file__}')"
    run = execute(Task(chapter(source), {"profile": "ci"}, tmp_path / "run", "key", 300), "abc", MACHINE)
    assert run.error == "" and (tmp_path / "run" / "got").read_text() == f"{sys.executable} {a2a.__file__}"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.long
def test_a_kernel_at_full_load_ends_with_the_book(tmp_path, number):
    (tmp_path / "program.py").write_text(PROGRAM.format(tests=str(Path(__file__).parent), folder=str(tmp_path)))
    process = subprocess.Popen([sys.executable, tmp_path / "program.py"], env=os.environ | {"A2A_QUIET": "1"})
    file, until = tmp_path / "run" / "kernel", time.monotonic() + 300
    while time.monotonic() < until and process.poll() is None and not (file.is_file() and file.read_text()):
        time.sleep(0.1)
    kernel = psutil.Process(int(file.read_text()))
    family = [kernel, *psutil.Process(process.pid).children(recursive=True)]
    process.send_signal(number)
    assert psutil.wait_procs(family, timeout=20)[1] == []
    assert process.wait(20) in (-signal.SIGKILL, 128 + signal.SIGTERM)
