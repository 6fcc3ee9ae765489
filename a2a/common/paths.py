"""Where things are in a clone of the repository, so that no chapter or command depends on the working directory."""

from pathlib import Path

from a2a.common.errors import InputError


def repository(*parts: str) -> Path:
    """Return the root of the repository, or a path below it.

    Parameters
    ----------
    *parts
        Path below the root, e.g. ``repository("weights", "phantom-64")``. It need not exist.

    Raises
    ------
    InputError
        If the package was installed without a clone of its repository, so there is no book, card or weight file.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / "book" / "_toc.yml").is_file():
        raise InputError(
            "The book, the data cards and the shipped weights belong to a clone of the repository; "
            "clone it and install the package from there with `pip install -e .`."
        )
    return root.joinpath(*parts)
