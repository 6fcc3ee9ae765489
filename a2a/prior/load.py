"""Priors by name: the shipped weights, wherever they are."""

from pathlib import Path

from a2a.common.errors import InputError
from a2a.common.paths import repository
from a2a.forward.stack import StackSpec
from a2a.prior.prior import Prior


def load_prior(name: str | Path, spec: StackSpec | None = None, bf16: bool = False) -> Prior:
    """Load a prior by the name of its shipped weights, or from a file.

    Parameters
    ----------
    name
        Such as ``"phantom-any2all-64"``, or the path of a ``.safetensors`` file with its JSON beside it.
    spec
        Modalities that the caller needs; refused if the weights have others.
    bf16
        Evaluate the network under bf16 autocast.

    Raises
    ------
    InputError
        If there are no such weights, or they are damaged or of other modalities.
    """
    if Path(name).suffix == ".safetensors":
        return Prior.load(Path(name), spec, bf16)
    path = repository("weights", f"{name}.safetensors")
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in path.parent.glob("phantom-*.safetensors")))
        raise InputError(f"{name}: no weights of this name; there are {known}, or name a .safetensors file.")
    return Prior.load(path, spec, bf16)
