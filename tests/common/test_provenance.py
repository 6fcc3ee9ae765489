"""Where results come from is stated truthfully."""

import subprocess

from a2a.common.provenance import commit, machine, package_versions


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
