"""Where the book is made: in the clone, or in a folder of one's own where the package came as a wheel."""

import shutil
from pathlib import Path

import a2a
from a2a.common import paths
from a2a.common.errors import InputError
from a2a.common.files import say_if_full
from a2a.prior.shipped import find_weights

FOLDER = Path("a2a-book")


def book_root(folder: Path = FOLDER) -> Path:
    """Return the root of the repository, or fill `folder` with what a wheel carries, so that it is as a clone.

    Sources and weights are written anew each time; runs and pages that are there stay.

    Raises
    ------
    InputError
        If the folder holds something else, or nothing says where the weights are.
    Failure
        If the weights cannot be downloaded, or the disk is full.
    """
    root = paths.repository()
    if root != paths.CARRIED:
        return root
    folder = folder.absolute()
    if folder.exists() and not paths.is_root(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(f"{folder}: it holds something else; the book is made there, so move it away.")
    weights = [find_weights(file.stem) for file in sorted(root.glob("weights/*.json"))]
    with say_if_full(folder):
        package, left_out = Path(a2a.__file__).parent, shutil.ignore_patterns(root.name, "__pycache__")
        shutil.copytree(root, folder, dirs_exist_ok=True)
        shutil.copytree(package, folder / "a2a", ignore=left_out, dirs_exist_ok=True)
        for file in weights:
            shutil.copy(file, folder / "weights")
    return folder
