"""Where results come from is stated truthfully."""

import subprocess

from a2a.common.provenance import commit, fingerprint, installed, machine, package_versions


def git(folder, *words: str) -> None:
    """Run git in a folder with an identity of its own."""
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", "-C", folder, *who, *words], check=True, capture_output=True)


def test_commit_says_whether_files_differ(tmp_path):
    assert commit(tmp_path) == "unknown"
    git(tmp_path, "init")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "first")
    clean = commit(tmp_path)
    assert len(clean) >= 7 and not clean.endswith("+")
    (tmp_path / "untracked").write_text("does not count")
    assert commit(tmp_path) == clean
    (tmp_path / "file").write_text("two")
    assert commit(tmp_path) == clean + "+"


def test_machine_names_versions_and_device():
    here = machine()
    assert set(here) == {"a2a", "python", "torch", "device", "threads"}
    assert all(here.values())


def test_package_versions_agree_with_the_packages():
    import numpy

    assert package_versions()["numpy"] == numpy.__version__


def test_packages_that_are_installed_later_count_though_they_are_optional(tmp_path, monkeypatch):
    project = """[project]
dependencies = ["numpy>=2", "not-there[extra]>=1"]
[project.optional-dependencies]
more = ["antspyx-stand-in>=0.6,<0.7"]
test = ["pytest"]
"""
    (tmp_path / "pyproject.toml").write_text(project)
    before = installed(tmp_path)
    assert set(before) == {"antspyx-stand-in", "not-there", "numpy"}
    assert before["antspyx-stand-in"] == before["not-there"] == "not installed" != before["numpy"]
    (tmp_path / "site" / "antspyx_stand_in-0.6.3.dist-info").mkdir(parents=True)
    about = "Metadata-Version: 2.1\nName: antspyx-stand-in\nVersion: 0.6.3\n"
    (tmp_path / "site" / "antspyx_stand_in-0.6.3.dist-info" / "METADATA").write_text(about)
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert installed(tmp_path) == before | {"antspyx-stand-in": "0.6.3"}


def test_what_systems_and_editors_leave_behind_does_not_count(tmp_path):
    (tmp_path / "a2a").mkdir()
    (tmp_path / "a2a" / "module.py").write_text("code")
    before = fingerprint(tmp_path)
    for name in (".DS_Store", "._module.py", "module.py~", ".module.py.swp", "#module.py#", ".#module.py", "a.bak"):
        (tmp_path / "a2a" / name).write_text("left")
    (tmp_path / "a2a" / "__pycache__").mkdir()
    (tmp_path / "a2a" / "__pycache__" / "module.pyc").write_text("left")
    assert fingerprint(tmp_path) == before
    (tmp_path / "a2a" / "other.py").write_text("code")
    assert fingerprint(tmp_path) != before
