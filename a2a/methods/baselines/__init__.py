"""The methods that Any2all is compared with, by name."""

from pathlib import Path

from a2a.common.errors import InputError
from a2a.common.paths import repository
from a2a.methods.baselines.base import Baseline
from a2a.methods.baselines.discdiff import DisCDiff
from a2a.methods.baselines.m2dn import M2DN
from a2a.methods.baselines.mcvarnet import MCVarNet
from a2a.methods.baselines.minet import MINet
from a2a.methods.baselines.mmgan import MmGAN
from a2a.methods.baselines.mmresvit import MmResViT
from a2a.prior.weights import read_description

METHODS = (MmGAN, MmResViT, M2DN, MINet, MCVarNet, DisCDiff)
BASELINES: dict[str, type[Baseline]] = {method.name: method for method in METHODS}


def shipped(name: str) -> Path:
    """Where the weights of a compared method are in the repository."""
    return repository("weights", f"{name}-64.safetensors")


def load_baseline(name: str) -> Baseline:
    """Load a compared method by its name, with the shipped weights, or by the path of its weights.

    Raises
    ------
    InputError
        If it is no known name and no file of a method's weights.
    """
    path = shipped(name) if name in BASELINES else Path(name)
    if name not in BASELINES and path.suffix != ".safetensors":
        raise InputError(f"{name!r} is no method; name one of {', '.join(BASELINES)}, or a .safetensors file.")
    method = read_description(path).get("method")
    if method not in BASELINES:
        raise InputError(f"{path}: the weights of a prior, not of a method; name one of {', '.join(BASELINES)}.")
    return BASELINES[method].load(path)


__all__ = ["BASELINES", "Baseline", "load_baseline", "shipped"]
