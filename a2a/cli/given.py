"""Paths that a person gave: looked at before a command imports what takes seconds.

Each function returns the path to use. Where there is no file of that name, one with the same path below the root of the
repository is taken, so that ``experiments/drift.yaml`` is found from any folder.
"""

from pathlib import Path

from a2a.common.errors import InputError
from a2a.common.paths import carried, repository
from a2a.prior.shipped import find_weights


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


def weights(name: str | Path) -> Path:
    """Return a weights file, given by its path or by the name of shipped weights, or refuse what is neither.

    A path ``weights/NAME.safetensors`` that is not there, as experiments have it, stands for the shipped weights.
    """
    path = carried(Path(name))
    shipped = path.parent == Path("weights") and repository("weights", f"{path.stem}.json").is_file()
    if path.suffix != ".safetensors" or (shipped and not path.is_file()):
        return find_weights(path.stem if path.suffix == ".safetensors" else str(name))
    for one in (path, path.with_suffix(".json")):
        file(one, "weights are a .safetensors file with a .json of the same name")
    return path


def place(out: Path) -> Path:
    """Return where a folder will be written, or refuse a file."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; choose a folder for --out.")
    return out
