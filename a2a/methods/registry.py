"""The one registry of methods by name: those of this package, and those that installed packages add.

A class is entered with `method`. It obeys `a2a.methods.interface.Method` and has ``name`` and ``load(path, spec)``;
nothing more is asked. Modules of `a2a.methods` are found by themselves, other packages by an entry point in the group
``a2a.methods``. Explained in the chapter "A method of your own".
"""

import importlib
import pkgutil
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import ClassVar, Protocol, Self

import a2a.methods
from a2a.common.errors import InputError
from a2a.common.paths import repository
from a2a.forward.stack import StackSpec
from a2a.methods.interface import ANY2ALL, Method
from a2a.prior.shipped import find_weights
from a2a.prior.weights import read_description

GROUP = "a2a.methods"


class Loadable(Method, Protocol):
    """A method that can be asked for by name."""

    name: ClassVar[str]

    @classmethod
    def load(cls, path: Path, spec: StackSpec | None = None) -> Self:
        """Make the method of what is at `path`: its weights, or whatever else it needs.

        Parameters
        ----------
        path
            A file or folder.
        spec
            Modalities that the caller needs; refused if the method is for others.
        """


_METHODS: dict[str, type[Loadable]] = {}


def method(cls: type[Loadable]) -> type[Loadable]:
    """Enter a class into the registry under its name.

    Raises
    ------
    ValueError
        If its name is taken.
    """
    if cls.name == ANY2ALL or _METHODS.get(cls.name, cls).__qualname__ != cls.__qualname__:
        raise ValueError(f"a method named {cls.name!r} is there already")
    _METHODS[cls.name] = cls
    return cls


@lru_cache(1)
def methods() -> dict[str, type[Loadable]]:
    """Return all methods but Any2all by name."""
    for module in pkgutil.walk_packages(a2a.methods.__path__, f"{a2a.methods.__name__}."):
        importlib.import_module(module.name)
    for entry in entry_points(group=GROUP):
        entry.load()
    return dict(sorted(_METHODS.items()))


def shipped(name: str) -> Path:
    """Where the shipped weights of a method are, see `find_weights`, or would be if it had any."""
    here = repository("weights", f"{name}-64.safetensors")
    return find_weights(here.stem) if here.with_suffix(".json").is_file() else here


def load_method(name: str, path: Path | None = None, spec: StackSpec | None = None) -> Loadable:
    """Load a method by its name, or by the file of its weights, which say of what method they are.

    Parameters
    ----------
    name
        A name of `methods`, or the path of a ``.safetensors`` file.
    path
        What it is loaded from; by default the shipped weights.
    spec
        Modalities that the caller needs.

    Raises
    ------
    InputError
        If it is no known name and no file of a method's weights, or they cannot be used.
    """
    if name in methods():
        return methods()[name].load(shipped(name) if path is None else Path(path), spec)
    known = ", ".join(methods())
    if Path(name).suffix != ".safetensors" or path is not None:
        raise InputError(f"{name!r} is no method; name one of {known}, or a .safetensors file.")
    found = read_description(Path(name)).get("method")
    if not isinstance(found, str) or found not in methods():
        raise InputError(f"{name}: the weights of a prior, not of a method; name one of {known}.")
    return methods()[found].load(Path(name), spec)
