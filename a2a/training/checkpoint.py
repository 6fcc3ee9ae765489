"""Checkpoints: one safetensors file with weights, EMA and optimiser state, and the run's identity in its header."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from a2a.common.documents import validated
from a2a.common.errors import InputError
from a2a.common.files import write_atomically
from a2a.common.outputs import LOCK, left_in
from a2a.common.plain import json_values
from a2a.data.store.read import SliceStore
from a2a.training.config import TrainConfig

CHECKPOINT = "checkpoint.safetensors"
DIGEST = "sha256"
INCIDENTAL = {"log_every", "checkpoint_every", "checkpointing", "name", "data", "start"}


@dataclass(frozen=True)
class Checkpoint:
    """State after `step` optimiser steps.

    Parameters
    ----------
    step, seconds
        Optimiser steps done and seconds spent on them.
    numerics
        The choice of `a2a.training.numerics` that the run began with, and keeps.
    tensors
        Weights, averaged weights and moments of the optimiser by name.
    losses
        Training losses of the steps that are not in the log yet.
    """

    step: int
    seconds: float
    numerics: str
    tensors: dict[str, Tensor]
    losses: tuple[float, ...] = ()


class _Header(BaseModel):
    """What the header of the file says beside the identity of the run."""

    model_config = ConfigDict(allow_inf_nan=False)

    step: int = Field(ge=0)
    seconds: float = Field(ge=0)
    numerics: str
    losses: tuple[float, ...]


def fingerprint(config: TrainConfig, store: SliceStore) -> str:
    """Hash of everything that decides the weights, to refuse a checkpoint of another configuration.

    How often to log or to write a checkpoint does not count, nor whether activations are kept, nor names and paths.
    """
    decisive = config.model_dump(mode="json", exclude=INCIDENTAL)
    files = [hashlib.sha256(path.read_bytes()).hexdigest() for path in config.files]
    slices = [store.manifest["sha256"][f"{split}.npy"] for split in ("train", "val")]  # val decides the calibration
    text = json.dumps([decisive, store.spec.to_list(), slices, files], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def save_checkpoint(folder: Path, checkpoint: Checkpoint, identity: str) -> None:
    """Write atomically: a crash or a full disk leaves the former checkpoint untouched.

    Parameters
    ----------
    folder
        Of the run.
    checkpoint
        What to write.
    identity
        Hash of configuration and data, which a resumed run must have too.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    header = {
        "step": str(checkpoint.step),
        "seconds": repr(checkpoint.seconds),
        "numerics": checkpoint.numerics,
        "losses": json.dumps(checkpoint.losses),
        "identity": identity,
    }
    header[DIGEST] = _digest(header, checkpoint.tensors)
    write_atomically(folder / CHECKPOINT, lambda p: p.write_bytes(to_bytes(checkpoint.tensors, header)))


def _digest(header: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over everything that a checkpoint says: header, names, types, shapes and values."""
    total = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, value in sorted(tensors.items()):
        total.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        total.update(value.contiguous().flatten().view(torch.uint8).numpy())
    return total.hexdigest()


def load_checkpoint(folder: Path, identity: str) -> Checkpoint:
    """Read a checkpoint of this very configuration.

    Raises
    ------
    InputError
        If the file is missing or corrupt (also by a single bit), or was written by a run with another configuration or
        data.
    """
    require_checkpoint(folder)
    path = folder / CHECKPOINT
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}
    except (SafetensorError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: corrupt checkpoint ({error}); start a new run in another --out.") from error
    if header.get("identity") != identity:
        raise InputError(
            f"{path}: written by another configuration or data set; resume with the YAML and the slice store it was "
            "started with, or choose another --out."
        )
    if header.pop(DIGEST, None) != _digest(header, tensors):
        raise InputError(f"{path}: corrupt checkpoint (it has not its digest); start a new run in another --out.")
    said = validated(path, header | {"losses": json_values(path, header.get("losses", "[]"))}, _Header)
    return Checkpoint(said.step, said.seconds, said.numerics, tensors, said.losses)


def require_checkpoint(folder: Path) -> None:
    """Refuse to resume where there is no checkpoint.

    Raises
    ------
    InputError
        Naming the file that is missing.
    """
    if not (folder / CHECKPOINT).is_file():
        raise InputError(f"{folder / CHECKPOINT}: no checkpoint to resume; start the run without --resume.")


def is_free(folder: Path) -> bool:
    """Whether a new run may begin in `folder`: it is not there, or empty but for what a killed process left."""
    if not folder.exists():
        return True
    return folder.is_dir() and set(folder.iterdir()) <= {folder / LOCK, *left_in(folder)}
