"""The two files of trained weights: tensors (.safetensors) and their description (.json), checked when read.

A network is built only after its shapes were found to be those of the tensors, so that a description can ask for no
more memory than its file holds.
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from torch import Tensor, nn

from a2a.common.documents import read_bytes, read_json, validated
from a2a.common.errors import InputError, whole
from a2a.common.escaping import shown
from a2a.forward.stack import Modality
from a2a.networks.unet import UNetConfig

LARGEST = 8 * 2**30
"""Bytes of the largest .safetensors file."""

Number = int | float


class _Open(BaseModel):
    model_config = ConfigDict(extra="allow", allow_inf_nan=False)


class Preprocessing(_Open):
    """What `a2a.patient.read` needs to know of the training data."""

    field_of_view_mm: Number | None = Field(None, gt=0, le=10_000)
    brain_fraction: Number | None = Field(None, ge=0, lt=1)
    percentile: Number | None = Field(None, ge=50, le=100)
    medians: dict[str, Annotated[float, Field(gt=0, lt=1)]] = {}
    foreground: str | None = None


class Source(_Open):
    """Where the training data came from."""

    card: str | None = None
    profile: str | None = None
    preprocessing: Preprocessing = Preprocessing()


class Training(_Open):
    """What one training cost."""

    images_seen: int = Field(0, ge=0)
    seconds: Number = Field(0, ge=0)


class ModelCard(Training):
    """Of the model card those fields that a program reads; others may stand beside them."""

    config: dict[str, Any] = {}
    data: Source = Source()
    before: tuple[Training, ...] = ()
    adjacent_mm: float | None = Field(None, gt=0, le=1000)


class Description(BaseModel):
    """What the JSON beside any weights says."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    spec: tuple[Modality, ...] = Field(min_length=1, max_length=64)
    size: int = Field(ge=1, le=4096)
    sha256: str
    card: ModelCard


D = TypeVar("D", bound=Description)
N = TypeVar("N", bound=nn.Module)


def read_card(path: Path) -> dict[str, Any]:
    """Return the model card of a weights file (its JSON's ``card``) without loading the tensors."""
    card = validated(_beside(path), read_description(Path(path)).get("card"), ModelCard)
    return card.model_dump(mode="json", exclude_unset=True)


def trainings(card: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the trainings behind weights, first to last: ``name``, ``data``, ``images_seen``, ``seconds`` of each.

    Parameters
    ----------
    card
        Model card; ``before`` lists the trainings that the last one went on from.
    """
    last = {key: card["config"][key] for key in ("name", "data")}
    return [*card.get("before", []), last | {key: card[key] for key in ("images_seen", "seconds")}]


def _beside(path: Path) -> Path:
    return Path(path).with_suffix(".json")


def read_description(path: Path) -> dict[str, Any]:
    """Return what the JSON beside a weights file says.

    Raises
    ------
    InputError
        If a file is missing or the JSON is not valid.
    """
    for file in (path, _beside(path)):
        if not file.is_file():
            raise InputError(f"{file}: no such file; weights are a .safetensors file with a .json of the same name.")
    return read_json(_beside(path), dict[str, Any])


def read_weights(path: Path, model: type[D], whose: str) -> tuple[D, dict[str, Tensor]]:
    """Return description and tensors.

    Parameters
    ----------
    path
        The .safetensors file.
    model
        What the description must say.
    whose
        ``"a prior"`` or ``"a method"``, for the message.

    Raises
    ------
    InputError
        If a file is missing, corrupt, or not the one that the description was written for.
    """
    values = read_description(path)
    if missing := [name for name, field in model.model_fields.items() if field.is_required() and name not in values]:
        raise InputError(f"{_beside(path)}: lacks {', '.join(sorted(missing))}; it is not the JSON of {whose}.")
    description = validated(_beside(path), values, model)
    raw = read_bytes(path, LARGEST)
    try:
        tensors = from_bytes(raw)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError, OverflowError) as error:
        raise InputError(f"{path}: corrupt or not a safetensors file ({shown(str(error), 100)}).") from error
    if hashlib.sha256(raw).hexdigest() != description.sha256:
        raise InputError(f"{path}: its SHA-256 is not the one in the JSON beside it; fetch both files again.")
    return description, tensors


def filled(path: Path, build: Callable[[], N], tensors: dict[str, Tensor], whose: str) -> N:
    """Return a network with the tensors of a file, in evaluation mode and without gradients.

    Its layout of memory is channels last, which was measured to be faster (``benchmarks/network_cost.py``).

    Parameters
    ----------
    path
        The file, for messages.
    build
        Makes the network; called first without memory, to compare the shapes.
    tensors
        Of the file.
    whose
        What the network is, for the message.

    Raises
    ------
    InputError
        If the network cannot be built, or has other tensors.
    """
    try:
        with torch.device("meta"):
            wanted = {name: value.shape for name, value in build().state_dict().items()}
    except (ValueError, RuntimeError, ArithmeticError, TypeError, LookupError, AssertionError) as error:
        raise InputError(f"{_beside(path)}: its sizes make no {whose} ({shown(str(error), 100)}).") from error
    if wanted != {name: value.shape for name, value in tensors.items()}:
        raise InputError(f"{path}: the tensors do not fit the {whose} of the JSON beside them.")
    network = build()
    network.load_state_dict({name: value.float() for name, value in tensors.items()})
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval().requires_grad_(False)


def modest(config: UNetConfig) -> UNetConfig:
    """Return the sizes of a network if it can be built at all, without memory, in a moment.

    Raises
    ------
    InputError
        Naming the size that is not.
    """
    highest = {"channels": 1024, "width": 4096, "blocks": 64, "head_width": 4096, "patch": 64}
    whole("datasets", config.datasets, 0, 1024)
    for name, high in highest.items():
        whole(name, getattr(config, name), 1, high)
    whole("the number of multipliers", len(config.multipliers), 1, 10)
    for multiplier in config.multipliers:
        whole("multipliers", multiplier, 1, 64)
    if not 0 <= config.dropout < 1:
        raise InputError(f"dropout: {config.dropout} must lie between 0 and 1, without 1.")
    return config


def state_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names and values of tensors, as of a network's ``state_dict()``."""
    total = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        total.update(name.encode() + value.cpu().numpy().tobytes())
    return total.hexdigest()
