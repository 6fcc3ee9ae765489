"""What a training YAML asks for: a prior, or one of the methods that Any2all is compared with.

Priors are in ``experiments/priors/``, methods in ``experiments/baselines/``.
"""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from a2a.common.errors import InputError
from a2a.data.store.read import SliceStore
from a2a.methods.baselines.base import Baseline
from a2a.methods.registry import methods
from a2a.training import PriorConfig, PriorObjective, TrainConfig
from a2a.training.objective import Objective


def trained_methods() -> dict[str, type[Baseline[Any]]]:
    """Return the methods that `a2a train` can train, by name."""
    return {name: found for name, found in methods().items() if issubclass(found, Baseline)}


def load_config(path: Path) -> TrainConfig:
    """Read and validate a training YAML; its field ``method`` says of what, by default of a prior.

    Raises
    ------
    InputError
        If the file is missing, not YAML, or a field is unknown, missing or out of range (the field is named).
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; see experiments/priors/ and experiments/baselines/.")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid YAML ({' '.join(str(error).split())}).") from error
    method = content.get("method", "prior") if isinstance(content, dict) else "prior"
    configs = {"prior": PriorConfig} | {name: found.Config for name, found in trained_methods().items()}
    if method not in configs:
        raise InputError(f"{path}: field method: {method!r} is none of {', '.join(configs)}.")
    try:
        return configs[method].model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(p) for p in first["loc"]) or "the top level"
        raise InputError(f"{path}: field {field}: {first['msg']}.") from error


def objective(config: TrainConfig, store: SliceStore) -> Objective:
    """Return what a run of this configuration learns from a store."""
    if isinstance(config, PriorConfig):
        return PriorObjective(config, store)
    method = next(found for found in trained_methods().values() if found.Config is type(config))
    return method.Objective(config, store)
