"""Names that come from files, and may name a file of ours.

A modality, a subject, a label, an experiment, a grid or a chapter names a file or a folder of what is written. One rule
holds for all of them, so that none leads out of ``--out``, hides, reads as an option, or carries an instruction to a
shell, a terminal or a spreadsheet.
"""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from a2a.common.errors import InputError
from a2a.common.escaping import shown

LONGEST = 100
"""Bytes of a name in UTF-8: a file system takes 255, and suffixes and keys are added."""
_FORBIDDEN = set('/\\:*?"<>|$`')


def checked_name(name: str, what: str = "the name") -> str:
    """Return a name if a file may be called so.

    Parameters
    ----------
    name
        From a card, an experiment, the JSON of weights, a folder or an archive.
    what
        Whose name, for the message.

    Raises
    ------
    InputError
        If it is empty, longer than 100 bytes, begins with anything but a letter, digit or ``_``, ends with a space or a
        dot, or holds ``..``, a control character, or one of ``/ \\ : * ? " < > | $`` and the backquote.
    """
    if not isinstance(name, str) or not name:
        raise InputError(f"{what} {shown(repr(name))} must be a text that is not empty.")
    if not name.isprintable():
        raise InputError(f"{what} {shown(repr(name), 60)} has characters that cannot be printed; rename it.")
    if found := sorted(_FORBIDDEN & set(name)):
        raise InputError(f"{what} {shown(name, 60)!r} must not hold {found[0]!r}.")
    if ".." in name or not (name[0].isalnum() or name[0] == "_") or name[-1] in " .":
        rule = "begin with a letter, a digit or _, not end with a dot, and hold no '..'"
        raise InputError(f"{what} {shown(name, 60)!r} must {rule}.")
    if (length := len(name.encode())) > LONGEST:
        raise InputError(f"{what} {shown(name, 60)!r} has {length} bytes; at most {LONGEST} are possible.")
    return name


def checked_path(path: str) -> str:
    """Return a path below a folder, with ``/`` between names that all pass `checked_name`; ``.`` is the folder itself.

    Raises
    ------
    InputError
        If it is absolute, leads upwards, or one of its names is refused.
    """
    for part in [] if path == "." else path.removesuffix("/").split("/"):
        checked_name(part, f"in the path {shown(path, 60)!r} the part")
    return path


Name = Annotated[str, AfterValidator(checked_name)]
"""A name, as a field of a pydantic model."""
RelativePath = Annotated[str, AfterValidator(checked_path)]
"""A path below a folder, as a field of a pydantic model."""


def name_of(path: Path) -> str:
    """Return the stem of a file that names what is written from it, checked."""
    return checked_name(Path(path).stem, f"{path}: the file's name")
