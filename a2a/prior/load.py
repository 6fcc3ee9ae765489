"""Priors by name: the shipped weights, wherever they are."""

from pathlib import Path

from a2a.forward.stack import StackSpec
from a2a.prior.prior import Prior
from a2a.prior.shipped import find_weights


def load_prior(
    name: str | Path, spec: StackSpec | None = None, bf16: bool = False, source: str | Path | None = None
) -> Prior:
    """Load a prior by the name of its shipped weights, or from a file.

    Parameters
    ----------
    name
        Such as ``"phantom-any2all-64"``, or the path of a ``.safetensors`` file with its JSON beside it.
    spec
        Modalities that the caller needs; refused if the weights have others.
    bf16
        Evaluate the network under bf16 autocast.
    source
        Where shipped weights are, see `a2a.prior.shipped.find_weights`.

    Raises
    ------
    InputError
        If there are no such weights, or they are damaged or of other modalities.
    Failure
        If they cannot be downloaded.
    """
    path = Path(name)
    return Prior.load(path if path.suffix == ".safetensors" else find_weights(str(name), source), spec, bf16)
