"""The one registry of methods by name: those of this package, and those that installed packages add.

A class is entered with `method`. It obeys `a2a.methods.interface.Method` and has ``name`` and ``load(path, spec)``;
nothing more is asked. Installed packages, this one among them, name the module of each by an entry point in the group
``a2a.methods``. Explained in the chapter "A method of your own".
"""

from pathlib import Path
from typing import ClassVar, Protocol, Self

from a2a.common.entries import METHODS, entries
from a2a.common.errors import InputError
from a2a.common.paths import repository
from a2a.forward.stack import StackSpec
from a2a.methods.interface import ANY2ALL, Method
from a2a.prior.shipped import find_weights
from a2a.prior.weights import read_description


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


def methods() -> dict[str, type[Loadable]]:
    """Return all methods but Any2all by name."""
    for name in entries(METHODS):
        _import(name)
    return dict(sorted(_METHODS.items()))


def names() -> list[str]:
    """Return the names of all methods but Any2all, without importing them."""
    return sorted(_METHODS.keys() | entries(METHODS).keys())


def find(name: str) -> type[Loadable] | None:
    """Return a method by its name, or None if there is none; the others are not imported."""
    _import(name)
    return _METHODS.get(name)


def _import(name: str) -> None:
    """Import the module that enters a method, where it is not entered yet."""
    entry = entries(METHODS).get(name)
    if entry and name not in _METHODS:
        entry.load()


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
    if found := find(name):
        return found.load(shipped(name) if path is None else Path(path), spec)
    known = ", ".join(names())
    if Path(name).suffix != ".safetensors" or path is not None:
        raise InputError(f"{name!r} is no method; name one of {known}, or a .safetensors file.")
    said = read_description(Path(name)).get("method")
    if not isinstance(said, str) or not (found := find(said)):
        raise InputError(f"{name}: the weights of a prior, not of a method; name one of {known}.")
    return found.load(Path(name), spec)
