"""What was skipped is named, and fails where it is not on the list."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from a2a.common.paths import repository

TESTS = """
import pytest
@pytest.mark.skipif(True, reason="there is no Slurm here")
def test_one(): pass
def test_two(): pass
"""
WHOLE_FILE = "import pytest\npytest.importorskip('no_such_package', reason='needs a package')\n"


@pytest.mark.parametrize(("more", "options", "code"), [("", [], 0), (WHOLE_FILE, ["-n", "1"], 1)])
def test_only_skips_of_the_list_pass(tmp_path: Path, more: str, options: list[str], code: int):
    shutil.copy(repository("conftest.py"), tmp_path)
    (tmp_path / "test_own.py").write_text(TESTS, encoding="utf-8")
    (tmp_path / "test_whole.py").write_text(more, encoding="utf-8")
    (tmp_path / "list.txt").write_text("# comment\ntest_own.py: there is no *\n", encoding="utf-8")
    words = [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", f"--rootdir={tmp_path}", *options]
    found = subprocess.run([*words, "--known-skips=list.txt", "."], cwd=tmp_path, capture_output=True, text=True)
    assert ("test_whole.py: needs a package" in found.stdout, found.returncode) == (bool(code), code), found.stdout
    assert "test_own.py: there is" not in found.stdout
