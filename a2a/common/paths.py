"""Where the book, the cards, the experiments and the results are, so that nothing depends on the working directory."""

import os
from pathlib import Path

import a2a
from a2a.common.errors import InputError

ROOT = "A2A_REPOSITORY"
"""Environment variable that names another root, such as the folder in which an installed package makes its book."""

CARRIED = Path(a2a.__file__).parent / "share"
"""What a wheel carries beside the code: a root without tensors, tests and history, to read from only."""


def repository(*parts: str) -> Path:
    """Return the root of the repository, or a path below it.

    That is the folder that ``A2A_REPOSITORY`` names, else the clone from which the package runs, else what the wheel
    carries.

    Parameters
    ----------
    *parts
        Path below the root, e.g. ``repository("data_cards", "open-ms.yaml")``. It need not exist.

    Raises
    ------
    InputError
        If ``A2A_REPOSITORY`` names another folder, or neither a clone nor what a wheel carries is there.
    """
    if ROOT in os.environ:
        root = Path(os.environ[ROOT]).absolute()
        if not is_root(root):
            raise InputError(f"{ROOT}={root}: it has no book/_toc.yml; name a clone of the repository, or unset it.")
        return root.joinpath(*parts)
    for root in (clone(), CARRIED):
        if is_root(root):
            return root.joinpath(*parts)
    raise InputError(f"{CARRIED}: the book, the cards and the experiments are not there; install the package again.")


def clone() -> Path:
    """Return where the root of a clone is if the package runs from one, see `is_root`."""
    return Path(a2a.__file__).resolve().parents[1]


def is_root(folder: Path) -> bool:
    """Whether a folder is the root of a repository: it holds the book."""
    return (folder / "book" / "_toc.yml").is_file()


def carried(path: Path) -> Path:
    """Return a file as it was named, or, where there is none, the one with this path below the root.

    So ``experiments/drift.yaml`` is found from any folder, and where there is only a wheel.
    """
    if path.exists() or path.is_absolute() or ".." in path.parts:
        return path
    found = repository(*path.parts)
    return found if found.is_file() else path
