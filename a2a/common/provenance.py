"""Where a result comes from: the files it can depend on, the commit, the versions, the device.

PyTorch takes seconds to import and only some of these questions need it, so it is imported where it is used.
"""

import hashlib
import os
import platform
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import a2a

NO_SOURCE = {"book", "notebooks", "tests", "workflow", "benchmarks", "runs", "build", "Makefile"}
"""What lies at the top of a clone without any output of a chapter depending on it, but for its own text."""

NO_INFLUENCE = {"test", "workflow"}
"""Extras of the package without any output depending on them."""

LEFT_BEHIND = {"__pycache__", ".ipynb_checkpoints", ".DS_Store"}
EDITORS = ("~", "#", ".swp", ".swo", ".orig", ".bak")
PACKAGES = ("torch", "lightning-fabric", "numpy", "scipy", "nibabel", "papermill", "jupyter-book")


def sources(root: Path) -> list[str]:
    """Return the names of all files and folders at the top of a clone that an output can depend on, but for its text.

    Everything counts that is not known to be without influence, so a new folder can make too much anew, never too
    little.
    """
    names = (path.name for path in root.iterdir() if path.is_dir() or path.name == "requirements.txt")
    return sorted(name for name in names if name not in NO_SOURCE and not name.startswith((".", "_")) and _counts(name))


def _counts(name: str) -> bool:
    """Whether a file or folder of this name is a source, and not what a system, an editor or an installation left."""
    return name not in LEFT_BEHIND and not name.startswith(("._", ".#")) and not name.endswith((*EDITORS, ".egg-info"))


def installed(root: Path) -> dict[str, str]:
    """Return the installed version of every package that ``pyproject.toml`` names.

    Those that are optional count too, for a page says what it could not show without one. Packages that only test and
    start the work do not count.
    """
    file = root / "pyproject.toml"
    project = tomllib.loads(file.read_text(encoding="utf-8"))["project"] if file.is_file() else {}
    extras = project.get("optional-dependencies", {})
    chosen = [project.get("dependencies", []), *(extras[name] for name in extras if name not in NO_INFLUENCE)]
    names = sorted({re.split(r"[^\w.-]", requirement)[0] for requirements in chosen for requirement in requirements})
    return {name: _version(name) for name in names}


def fingerprint(root: Path, watched: Iterable[str | Path] | None = None) -> str:
    """Return a hash of files and folders that an output can depend on, and of the version of Python.

    Parameters
    ----------
    root
        Root of the repository.
    watched
        Paths below `root`, or absolute ones; by default `sources`.
    """
    digest = hashlib.sha256(".".join(map(str, sys.version_info[:2])).encode())
    for top in sources(root) if watched is None else watched:
        for path in sorted([root / top, *(root / top).rglob("*")]):
            name = Path(os.path.relpath(path, root))
            if path.is_file() and all(map(_counts, name.parts)):
                digest.update(f"\0{name.as_posix()}\0".encode())
                with open(path, "rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def commit(root: Path) -> str:
    """Return the short commit hash of the repository, ``+`` added if tracked files differ.

    It is ``"unknown"`` where `root` is not the top of a clone, also if it lies in one.
    """

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", root, *words], capture_output=True, text=True, check=True).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != Path(root).resolve():
            return "unknown"
        return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def machine() -> dict[str, object]:
    """Return the versions ``a2a``, ``python``, ``torch``, the ``device`` (else the processor) and its ``threads``."""
    import torch

    return {
        "a2a": a2a.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": accelerator() or processor(),
        "threads": torch.get_num_threads(),
    }


def accelerator() -> str | None:
    """Return the name of the accelerator that PyTorch would use, None if there is none."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return "Apple GPU" if torch.backends.mps.is_available() else None


def processor() -> str:
    """Return the processor's name and the vector instructions that PyTorch uses on it."""
    import torch

    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        models = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"


def package_versions() -> dict[str, str]:
    """Return the version of each package that matters for a result, ``"not installed"`` where it is missing."""
    return {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
