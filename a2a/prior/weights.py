"""The two files of trained weights: tensors (.safetensors) and their description (.json), checked when read."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from a2a.common.errors import InputError


def read_card(path: Path) -> dict:
    """Return the model card of a weights file (its JSON's ``card``) without loading the tensors."""
    return read_description(Path(path))["card"]


def trainings(card: dict) -> list[dict]:
    """Return the trainings behind weights, first to last: ``name``, ``data``, ``images_seen``, ``seconds`` of each.

    Parameters
    ----------
    card
        Model card; ``before`` lists the trainings that the last one went on from.
    """
    last = {key: card["config"][key] for key in ("name", "data")}
    return [*card.get("before", []), last | {key: card[key] for key in ("images_seen", "seconds")}]


def read_description(path: Path) -> dict:
    """Return what the JSON beside a weights file says.

    Raises
    ------
    InputError
        If a file is missing or the JSON is not valid.
    """
    beside = path.with_suffix(".json")
    for file in (path, beside):
        if not file.is_file():
            raise InputError(f"{file}: no such file; weights are a .safetensors file with a .json of the same name.")
    try:
        return json.loads(beside.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{beside}: not valid JSON ({error}).") from error


def read_weights(path: Path, fields: set[str], whose: str) -> tuple[dict, dict[str, Tensor]]:
    """Return description and tensors.

    Parameters
    ----------
    path
        The .safetensors file.
    fields
        What the description must have.
    whose
        ``"a prior"`` or ``"a method"``, for the message.

    Raises
    ------
    InputError
        If a file is missing, corrupt, or not the one that the description was written for.
    """
    description = read_description(path)
    if missing := (fields | {"sha256", "card"}) - set(description):
        lacks = ", ".join(sorted(missing))
        raise InputError(f"{path.with_suffix('.json')}: lacks {lacks}; it is not the JSON of {whose}.")
    try:
        with safe_open(path, framework="pt"):
            pass
        tensors = load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path}: corrupt or not a safetensors file ({error}).") from error
    if hashlib.sha256(path.read_bytes()).hexdigest() != description["sha256"]:
        raise InputError(f"{path}: its SHA-256 is not the one in the JSON beside it; fetch both files again.")
    return description, tensors


def state_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names and values of tensors, as of a network's ``state_dict()``."""
    total = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        total.update(name.encode() + value.cpu().numpy().tobytes())
    return total.hexdigest()
