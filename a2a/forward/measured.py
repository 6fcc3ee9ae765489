"""The data of single modalities: simulated with noise, or brought by a user.

Explained in the chapter "The formulation".
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from a2a.common.errors import InputError
from a2a.forward.operators import CartesianSense, LinearOperator, LineSense, PerItem, PlaneSense
from a2a.forward.operators.iterative import adjoint_error

Sense = CartesianSense | LineSense | PlaneSense
_PLAUSIBLE = (-1.0, 2.0)

ADJOINT_TOLERANCE = 1e-4
"""Relative difference of <A x, y> and <x, A^H y> up to which an operator is taken for consistent, in float32."""


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

    def measurement(self, name: str) -> tuple[Sense | PerItem, torch.Tensor]:
        """Return the operator and the data inside the mask; `name` is the modality's, for messages.

        Raises
        ------
        InputError
            If data, mask and maps do not fit together, the data are not finite, or the noise level is
            negative or not finite.
        """
        operator, wanted = _of_maps(name, self.maps, lambda maps: CartesianSense(self.mask, maps))
        return operator, operator.sampled(_checked(name, self, (*wanted, *self.maps.shape[-3:])))


@dataclass(frozen=True, eq=False)
class KSpaceLines:
    """Multi-coil k-space of one modality whose lines need not lie on the grid of its image, see `LineSense`.

    Parameters
    ----------
    data
        complex64 ``(B, coils, L, W)``: lines along the phase encoding, and along the readout the centred orthonormal
        transform of the grid; ``(B, coils, L, H)`` if `columns`.
    frequencies
        Of the lines, float64 ``(L,)`` in cycles per pixel.
    maps
        Coil sensitivity maps, complex: ``(coils, H, W)`` for all slices, or ``(B, coils, H, W)`` for each.
    noise_std
        Noise standard deviation of each real and each imaginary part, in image units.
    columns
        Whether the phase encoding runs along W, not along H.
    band
        Which frequencies of the readout were measured, boolean; everything by default.
    """

    data: torch.Tensor
    frequencies: torch.Tensor
    maps: torch.Tensor
    noise_std: float
    columns: bool = False
    band: torch.Tensor | None = None

    def __post_init__(self) -> None:
        for name in ("data", "frequencies", "maps"):
            object.__setattr__(self, name, as_tensor(f"{name} of k-space", getattr(self, name)))

    def __repr__(self) -> str:
        return f"KSpaceLines(shape={tuple(self.data.shape)}, noise_std={self.noise_std})"

    def measurement(self, name: str) -> tuple[Sense | PerItem, torch.Tensor]:
        """Return the operator and the data that were measured; see `KSpace.measurement`.

        Raises
        ------
        InputError
            As there.
        """
        operator, wanted = _of_maps(
            name, self.maps, lambda maps: LineSense(self.frequencies, maps, self.columns, self.band)
        )
        readout = self.maps.shape[-2 if self.columns else -1]
        return operator, operator.sampled(
            _checked(name, self, (*wanted, self.maps.shape[-3], len(self.frequencies), readout))
        )


@dataclass(frozen=True, eq=False)
class KSpacePlane:
    """Multi-coil k-space of one modality, undersampled along both axes, off the grid of its image, see `PlaneSense`.

    Parameters
    ----------
    data
        complex64 ``(B, coils, L, K)``. What lies outside the mask is ignored.
    mask
        Boolean ``(L, K)``.
    rows, columns
        Frequencies along H and W, float64 ``(L,)`` and ``(K,)`` in cycles per pixel.
    maps
        Coil sensitivity maps, complex: ``(coils, H, W)`` for all slices, or ``(B, coils, H, W)`` for each.
    noise_std
        Noise standard deviation of each real and each imaginary part, in image units.
    """

    data: torch.Tensor
    mask: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor
    maps: torch.Tensor
    noise_std: float

    def __post_init__(self) -> None:
        for name in ("data", "mask", "rows", "columns", "maps"):
            object.__setattr__(self, name, as_tensor(f"{name} of k-space", getattr(self, name)))

    def __repr__(self) -> str:
        return f"KSpacePlane(shape={tuple(self.data.shape)}, noise_std={self.noise_std})"

    def measurement(self, name: str) -> tuple[Sense | PerItem, torch.Tensor]:
        """Return the operator and the data that were measured; see `KSpace.measurement`.

        Raises
        ------
        InputError
            As there.
        """
        operator, wanted = _of_maps(name, self.maps, lambda maps: PlaneSense(self.mask, self.rows, self.columns, maps))
        return operator, operator.sampled(_checked(name, self, (*wanted, self.maps.shape[-3], *self.mask.shape)))


AnyKSpace = KSpace | KSpaceLines | KSpacePlane
"""k-space of one modality, on the grid of its image or off it."""


def _of_maps(
    name: str, maps: torch.Tensor, make: Callable[[torch.Tensor], Sense]
) -> tuple[Sense | PerItem, tuple[int | str]]:
    """The operator of one set of maps or of one for each item, and the batch that it needs, "B" for any."""
    try:
        if maps.ndim != 4:
            return make(maps), ("B",)
        return PerItem(tuple(map(make, maps))), (len(maps),)
    except InputError as error:
        raise InputError(f"k-space of {name}: {error}") from None


def _checked(name: str, kspace: "AnyKSpace", wanted: tuple[int | str, ...]) -> torch.Tensor:
    """The data, if they and the noise level are what the maps ask for."""
    data, std = kspace.data, kspace.noise_std
    shared = wanted[0] == "B"
    if not (data.is_complex() and data.ndim == 4 and data.shape[shared:] == wanted[shared:]):
        expected = f"complex ({', '.join(map(str, wanted))}) to fit its maps"
        raise InputError(f"k-space of {name} is {data.dtype} {tuple(data.shape)}; expected {expected}.")
    if not bool(torch.isfinite(data).all()):
        raise InputError(f"k-space of {name} has values that are not finite.")
    if not 0 <= std < math.inf:
        raise InputError(f"noise_std of {name} is {std}; it must be finite, and 0 or positive.")
    return data


@dataclass(frozen=True, eq=False)
class Measured:
    """Data of one modality with an operator of the user's, for `a2a.forward.observation.Observation.build`.

    Parameters
    ----------
    operator
        The operator.
    data
        Its data ``(B, ...)`` of images in [0, 1].
    noise_std
        Noise standard deviation of each real number, in the unit of the data.
    """

    operator: LinearOperator
    data: torch.Tensor
    noise_std: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", as_tensor("data", self.data))

    def measurement(self, name: str) -> tuple[LinearOperator, torch.Tensor]:
        """Return operator and data; `name` is the modality's, for messages.

        Raises
        ------
        InputError
            If the data are not finite, the noise level is negative or not finite, or the operator's adjoint is none.
        """
        if not bool(torch.isfinite(self.data).all()):
            raise InputError(f"Data of {name} have values that are not finite.")
        if not 0 <= self.noise_std < math.inf:
            raise InputError(f"noise_std of {name} is {self.noise_std}; it must be finite, and 0 or positive.")
        height, width = self.operator.adjoint(self.data[:1]).shape[-2:]
        return consistent(name, self.operator, height, width), self.data


def consistent(name: str, operator: LinearOperator, height: int, width: int) -> LinearOperator:
    """Return an operator of images ``(H, W)`` whose `adjoint` is the adjoint of its `forward`, or refuse it.

    Parameters
    ----------
    name
        For the message.
    operator, height, width
        The operator, and the size of its images.

    Raises
    ------
    InputError
        If <A x, y> and <x, A^H y> differ, with the number.
    """
    error = adjoint_error(operator.forward, operator.adjoint, height, width)
    if not error < ADJOINT_TOLERANCE:
        gap = f"<A x, y> and <x, A^H y> differ by {error:.1e} of ||A x|| ||y||, more than {ADJOINT_TOLERANCE:g}"
        raise InputError(f"The operator of {name} is not consistent: {gap}; its adjoint must be that of forward.")
    return operator


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


def norm2(y: torch.Tensor) -> torch.Tensor:
    """||y||^2 of each item, ``(B,)``, float64."""
    parts = torch.view_as_real(y) if y.is_complex() else y
    return parts.flatten(1).double().square().sum(dim=1)
