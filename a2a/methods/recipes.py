"""What a training YAML asks for: a prior, or one of the methods that Any2all is compared with.

Priors are in ``experiments/priors/``, methods in ``experiments/baselines/``.
"""

from pathlib import Path
from typing import Any

from a2a.common.documents import read_yaml, validated
from a2a.common.errors import InputError
from a2a.common.escaping import shown
from a2a.data.store.read import SliceStore
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.apt.fusion import FusionConfig, FusionObjective
from a2a.methods.baselines.base import Baseline
from a2a.methods.registry import load_method, methods, shipped
from a2a.methods.segmenter import SegmenterConfig, SegmenterObjective
from a2a.methods.tissues import TissuesConfig, TissuesObjective
from a2a.training import PriorConfig, PriorObjective, TrainConfig
from a2a.training.objective import Objective

PARTS: dict[str, tuple[type[TrainConfig], type[Objective]]] = {
    "apt-fusion": (FusionConfig, FusionObjective),
    "segmenter": (SegmenterConfig, SegmenterObjective),
    "tissues": (TissuesConfig, TissuesObjective),
}
"""What is trained and is no method: a part of one, and networks that judge what methods complete."""


def trained_methods() -> dict[str, type[Baseline[Any]]]:
    """Return the methods that `a2a train` can train, by name."""
    return {name: found for name, found in methods().items() if issubclass(found, Baseline)}


def shipped_methods(spec: StackSpec) -> list[str]:
    """Return the names of the trained methods whose weights for these modalities are here."""
    here = [name for name in trained_methods() if shipped(name).is_file()]
    return [name for name in here if load_method(name).spec.names == spec.names]


def load_config(path: Path) -> TrainConfig:
    """Read and validate a training YAML; its field ``method`` says of what, by default of a prior.

    Raises
    ------
    InputError
        If the file is missing, not YAML, or a field is unknown, missing or out of range (the field is named).
    """
    content = read_yaml(path, object, "see experiments/priors/ and experiments/baselines/")
    method = content.get("method", "prior") if isinstance(content, dict) else "prior"
    parts = {name: config for name, (config, _) in PARTS.items()}
    configs = {"prior": PriorConfig} | {name: found.Config for name, found in trained_methods().items()} | parts
    if not isinstance(method, str) or method not in configs:
        raise InputError(f"{path}: field method: {shown(repr(method), 40)} is none of {', '.join(configs)}.")
    return validated(path, content, configs[method])


def objective(config: TrainConfig, store: SliceStore) -> Objective:
    """Return what a run of this configuration learns from a store."""
    if isinstance(config, PriorConfig):
        return PriorObjective(config, store)
    for kind, learned in PARTS.values():
        if isinstance(config, kind):
            return learned(config, store)
    method = next(found for found in trained_methods().values() if found.Config is type(config))
    return method.Objective(config, store)
