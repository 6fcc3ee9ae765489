"""Paths and names that a person gave: looked at before a command imports what takes seconds.

Those of paths return the path to use. Where there is no file of that name, one with the same path below the root of the
repository is taken, so that ``experiments/drift.yaml`` is found from any folder.
"""

from pathlib import Path

from a2a.common.documents import read_yaml
from a2a.common.entries import METHODS, SAMPLERS, entries
from a2a.common.errors import InputError
from a2a.common.paths import carried
from a2a.prior.shipped import located


def file(path: Path, needed: str) -> Path:
    """Return a file, or refuse a path that is none; `needed` says what would be right."""
    path = carried(path)
    if not path.is_file():
        raise InputError(f"{path}: {'it is a folder' if path.is_dir() else 'no such file'}; {needed}.")
    return path


def store(path: Path) -> Path:
    """Return the folder of a slice store, or refuse one that holds none."""
    if not (path / "manifest.json").is_file():
        raise InputError(f"{path} is no slice store (no manifest.json); make one with a2a prepare.")
    return path


def place(out: Path) -> Path:
    """Return where a folder will be written, or refuse a file."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; choose a folder for --out.")
    return out


def method(name: str) -> None:
    """Refuse the name of a method that there is not; a ``.safetensors`` file is looked at by `located`."""
    if name.endswith(".safetensors"):
        located(name)
    elif name not in (known := entries(METHODS)):
        raise InputError(f"--method {name}: is no method; name one of {', '.join(known)}, or a .safetensors file.")


def sampler(name: str) -> None:
    """Refuse the name of a sampler that there is not."""
    if name not in (known := entries(SAMPLERS)):
        raise InputError(f"--sampler {name}: is none of {', '.join(known)}.")


def profile(experiment: Path, name: str | None) -> None:
    """Refuse a profile that an experiment has not; what else is wrong with it is said when it is read."""
    content = read_yaml(experiment, object, "experiments are the YAML files in experiments/")
    known = content.get("profiles") if isinstance(content, dict) else None
    if name is not None and isinstance(known, dict | None) and name not in (known or {}):
        raise InputError(f"{experiment}: has no profile {name!r}; it has {', '.join(map(str, known or {})) or 'none'}.")
