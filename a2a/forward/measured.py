"""The data of single modalities: simulated with noise, or brought by a user.

Explained in the chapter "The formulation".
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from a2a.common.errors import InputError
from a2a.common.rng import randn
from a2a.forward.operators import CartesianSense, Identity, LinearOperator, Missing, PerItem

_PLAUSIBLE = (-1.0, 2.0)


@dataclass(frozen=True, eq=False)
class KSpace:
    """Multi-coil k-space of one modality, for `a2a.forward.observation.Observation.build`.

    Arrays may be tensors or NumPy arrays; they are kept as tensors.

    Parameters
    ----------
    data
        complex64 ``(B, coils, H, W)``: centred, of an orthonormal transform of images in [0, 1]. What lies outside
        the mask is ignored.
    mask
        Boolean ``(H,)`` or ``(H, W)``; the phase-encode axis is H.
    maps
        Coil sensitivity maps, complex: ``(coils, H, W)`` for all slices, or ``(B, coils, H, W)`` for each.
    noise_std
        Noise standard deviation of each real and each imaginary part, in image units.
    """

    data: torch.Tensor
    mask: torch.Tensor
    maps: torch.Tensor
    noise_std: float

    def __post_init__(self) -> None:
        for name in ("data", "mask", "maps"):
            object.__setattr__(self, name, as_tensor(f"{name} of k-space", getattr(self, name)))

    def __repr__(self) -> str:
        return f"KSpace(shape={tuple(self.data.shape)}, lines={tuple(self.mask.shape)}, noise_std={self.noise_std})"

    def measurement(self, name: str) -> tuple[CartesianSense | PerItem, torch.Tensor]:
        """Return the operator and the data inside the mask; `name` is the modality's, for messages.

        Raises
        ------
        InputError
            If data, mask and maps do not fit together, the data are not finite, or the noise level is
            negative or not finite.
        """
        try:
            shared = self.maps.ndim != 4
            each = (self.maps,) if shared else self.maps
            operators = tuple(CartesianSense(self.mask, maps) for maps in each)
            operator = operators[0] if shared else PerItem(operators)
        except InputError as error:
            raise InputError(f"k-space of {name}: {error}") from None
        needed = ("B" if shared else len(self.maps), *self.maps.shape[-3:])
        fits = self.data.ndim == 4 and self.data.shape[shared:] == needed[shared:]
        if not (self.data.is_complex() and fits):
            wanted = f"complex ({', '.join(map(str, needed))}) to fit its maps"
            raise InputError(f"k-space of {name} is {self.data.dtype} {tuple(self.data.shape)}; expected {wanted}.")
        if not bool(torch.isfinite(self.data).all()):
            raise InputError(f"k-space of {name} has values that are not finite.")
        if not 0 <= self.noise_std < math.inf:
            raise InputError(f"noise_std of {name} is {self.noise_std}; it must be finite, and 0 or positive.")
        return operator, operator.sampled(self.data)


def as_tensor(what: str, values: torch.Tensor | np.ndarray) -> torch.Tensor:
    """Return a tensor as it is, and a NumPy array as a tensor of its own memory.

    Raises
    ------
    InputError
        If it is neither, or an array that is not of numbers; `what` names it.
    """
    if isinstance(values, torch.Tensor):
        return values
    if not isinstance(values, np.ndarray):
        raise InputError(f"{what} is of type {type(values).__name__}; expected a NumPy array or a tensor.")
    try:
        return torch.from_numpy(np.array(values, dtype=values.dtype.newbyteorder("="), order="C"))
    except TypeError as error:
        raise InputError(f"{what} is an array of {values.dtype}, not of numbers.") from error


def scaled_image(name: str, image: torch.Tensor | np.ndarray) -> torch.Tensor:
    """Return a clean image ``(B, H, W)`` if it can be one in [0, 1]; noise and ringing may leave that range.

    Raises
    ------
    InputError
        If it has another shape or dtype, values that are not finite, or values below -1 or above 2.
    """
    image = as_tensor(f"Image of {name}", image)
    if image.ndim != 3 or not image.numel() or image.dtype not in (torch.float32, torch.float64):
        wanted = "float32 or float64 (B, H, W), B at least 1"
        raise InputError(f"Image of {name} is {image.dtype} {tuple(image.shape)}; expected {wanted}.")
    low, high = (float(v) for v in image.aminmax())
    if not (_PLAUSIBLE[0] <= low and high <= _PLAUSIBLE[1]):
        raise InputError(f"Image of {name} has values from {low:g} to {high:g}; scale it to [0, 1] first.")
    return image


def noisy(y: torch.Tensor, block: LinearOperator, std: float, generators: Sequence[torch.Generator]) -> torch.Tensor:
    """Add noise of standard deviation std to every real number that an operator measures.

    Parameters
    ----------
    y
        Exact data of `block`: image ``(B, H, W)``, k-space ``(B, coils, H, W)`` or empty.
    block
        The operator; k-space gets noise in its real and its imaginary part, on sampled positions only.
    std
        In image units, >= 0.
    generators
        One generator for each item.

    Returns
    -------
    torch.Tensor
        New data of the same shape and dtype.
    """
    if isinstance(block, Missing):
        return y
    if isinstance(block, Identity):
        return y + std * randn(y.shape[1:], generators, y)
    noise = std * randn((2, *y.shape[1:]), generators, y.real)
    return y + block.sampled(torch.complex(noise[:, 0], noise[:, 1]))


def norm2(y: torch.Tensor) -> torch.Tensor:
    """||y||^2 of each item, ``(B,)``, float64."""
    parts = torch.view_as_real(y) if y.is_complex() else y
    return parts.flatten(1).double().square().sum(dim=1)
