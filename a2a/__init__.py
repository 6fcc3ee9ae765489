"""Any2all: one diffusion prior over a stack of modalities completes whatever was acquired.

The names below are the front door; they are imported when they are first used, so that ``import a2a`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from a2a.forward.observation import Observation
    from a2a.forward.stack import StackSpec
    from a2a.prior.load import load_prior
    from a2a.samplers.mds import mds
    from a2a.samplers.mps import mps

__version__ = "0.1.0"
__all__ = ["Observation", "StackSpec", "load_prior", "mds", "mps"]

_HOMES = {
    "Observation": "a2a.forward.observation",
    "StackSpec": "a2a.forward.stack",
    "load_prior": "a2a.prior.load",
    "mds": "a2a.samplers.mds",
    "mps": "a2a.samplers.mps",
}


def __getattr__(name: str) -> object:
    """Import what is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'a2a' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
