"""Multi-coil Cartesian sampling of a real image: A = M F S."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch

from a2a.common.errors import InputError
from a2a.forward.operators.base import DataFidelity, FidelityAt, LinearOperator
from a2a.forward.operators.convolution import Convolution
from a2a.forward.operators.fourier import fft2c, ifft2c
from a2a.forward.operators.solvers import cg, dot
from a2a.forward.operators.spectrum import ELEMENTWISE_UP_TO, Spectrum, mask_period, spectrum

_COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}
_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-12}  # far below the noise of data; for proofs


@dataclass(frozen=True, eq=False)
class CartesianSense(LinearOperator):
    """Undersampling operator A = M F S: coil sensitivities S, centred orthonormal Fourier transform F, mask M.

    The phase-encode axis is H. Masks along H alone are solved exactly (see `a2a.forward.operators.spectrum`): R x R
    systems for equispaced lines, H x H systems for any other. Masks that vary along W too are solved by conjugate
    gradients, to a relative residual of 1e-4 in float32 and 1e-12 in float64.

    Parameters
    ----------
    mask
        Boolean, ``(H,)`` along the phase-encode axis or ``(H, W)``; centred: k = 0 is index H//2.
    maps
        Coil sensitivity maps, complex ``(coils, H, W)``.
    iterations
        Cap for conjugate gradients; a solve that reaches it warns and says how far it came.

    Raises
    ------
    InputError
        If mask and maps do not fit together, or the mask is not boolean or samples nothing.

    References
    ----------
    Pruessmann et al., Magn. Reson. Med. 42 (1999). Chapter "The formulation".
    """

    mask: torch.Tensor
    maps: torch.Tensor
    iterations: int = 200

    def __post_init__(self) -> None:
        if self.maps.ndim != 3 or not self.maps.is_complex() or not self.maps.numel():
            raise InputError(f"maps must be complex (coils, H, W), got {self.maps.dtype} {tuple(self.maps.shape)}.")
        if not bool(torch.isfinite(self.maps).all()):
            raise InputError("maps has values that are not finite; set pixels without sensitivity to 0.")
        if self.mask.dtype != torch.bool:
            raise InputError(f"mask must be boolean, got {self.mask.dtype}; write mask != 0.")
        if tuple(self.mask.shape) not in ((self.shape[0],), self.shape):
            wanted = f"({self.shape[0]},) or {self.shape} to fit maps {tuple(self.maps.shape)}"
            raise InputError(f"mask has shape {tuple(self.mask.shape)}; expected {wanted}.")
        if not bool(self.mask.any()):
            raise InputError("mask samples nothing; give the modality as missing instead.")

    def __repr__(self) -> str:
        size, coils = self.shape, len(self.maps)
        return f"CartesianSense({size=}, {coils=}, acceleration={self.acceleration:.3g}, solver={self.solver!r})"

    @property
    def shape(self) -> tuple[int, int]:
        """Image size (H, W)."""
        return self.maps.shape[1], self.maps.shape[2]

    @property
    def acceleration(self) -> float:
        """Positions in k-space for each one that is sampled."""
        return self.mask.numel() / int(self.mask.sum())

    @cached_property
    def coupled(self) -> int | None:
        """How many pixels each exact system couples: R for equispaced lines, up to H; None for a 2-D mask."""
        return None if self._lines is None else mask_period(self._lines)

    @property
    def solver(self) -> Literal["exact", "conjugate gradients"]:
        """How `prox` is solved."""
        return "conjugate gradients" if self._lines is None else "exact"

    def eigenvalues(self) -> torch.Tensor:
        """Eigenvalues of Re(A^H A), ascending, ``(H W,)``, float64.

        Noise of standard deviation s per real and imaginary part leaves an unregularised least-squares image with
        mean squared error s^2 mean(1 / eigenvalues).

        Raises
        ------
        InputError
            For a 2-D mask, whose Re(A^H A) does not fall apart.
        """
        if self._lines is None:
            raise InputError("eigenvalues are known for masks along H alone, and this mask varies along W.")
        return self._spectrum(torch.float64, torch.device("cpu")).values.flatten().sort().values

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """k-space ``(B, coils, H, W)`` of real images ``(B, H, W)``, zero where not sampled."""
        _, maps = self._mask_and_maps(self._checked(x))
        return self.sampled(fft2c(maps * x[:, None]))

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Re(sum_coils conj(s) F^H M y): real images ``(B, H, W)`` of k-space ``(B, coils, H, W)``.

        Raises
        ------
        InputError
            If the k-space is real or has another shape than the maps.
        """
        if not y.is_complex() or y.ndim != 4 or y.shape[1:] != self.maps.shape:
            wanted = f"complex (B, {', '.join(map(str, self.maps.shape))})"
            raise InputError(f"k-space is {y.dtype} of shape {tuple(y.shape)}; the coil maps ask for {wanted}.")
        _, maps = self._mask_and_maps(y.real)
        return (maps.conj() * ifft2c(self.sampled(y))).sum(dim=1).real

    def noisy(self, y: torch.Tensor, std: float, generators: Sequence[torch.Generator]) -> torch.Tensor:
        """Add noise to the real and the imaginary part of what is sampled, see `LinearOperator.noisy`."""
        return self.sampled(super().noisy(y, std, generators))

    def sampled(self, y: torch.Tensor) -> torch.Tensor:
        """M y: the k-space ``(B, coils, H, W)`` with zeros where the mask does not sample."""
        mask, _ = self._mask_and_maps(y.real)
        return mask * y

    def normal(self, x: torch.Tensor) -> torch.Tensor:
        """Re(A^H A x) of real images ``(B, H, W)``; without a Fourier transform for equispaced lines."""
        self._checked(x)
        if self.coupled is None or self.coupled > ELEMENTWISE_UP_TO:  # reading large eigenvectors takes longer
            return self._convolution(x).normal(x)
        return self._spectrum(x.dtype, x.device).normal(x)

    def measurements(self, height: int, width: int) -> int:
        """Return 2 coils times the sampled positions."""
        return round(2 * len(self.maps) * height * width / self.acceleration)

    def trace(self, height: int, width: int) -> float:
        """Return the sum of ``|s|^2`` over coils and pixels, divided by the acceleration."""
        return self._trace

    def data_fidelity(self, b: torch.Tensor) -> DataFidelity:
        """Misfit of z, and the solution of (Re(A^H A) + lam) x = b + lam z, of real images ``(B, H, W)``.

        Exact for any lam >= 0 where the mask is along H alone. With lam = 0 it is the least-squares solution nearest
        to z. See `LinearOperator.data_fidelity`.
        """
        near = self._near(self._checked(b))

        def at(z: torch.Tensor) -> FidelityAt:
            if self._checked(z).shape != b.shape:
                raise InputError(f"b has shape {tuple(b.shape)} and z {tuple(z.shape)}; they must agree.")
            return near(z)

        return at

    def _near(self, b: torch.Tensor) -> DataFidelity:
        if self._lines is not None:
            return self._spectrum(b.dtype, b.device).data_fidelity(b)
        product = self._convolution(b).normal

        def at(z: torch.Tensor) -> FidelityAt:
            change = b - product(z)
            return FidelityAt(lambda: -dot(z, b + change), lambda lam: self._iterated(z, b, change, lam))

        return at

    def _iterated(
        self, z: torch.Tensor, b: torch.Tensor, change: torch.Tensor, lam: float | torch.Tensor
    ) -> torch.Tensor:
        """Solve by conjugate gradients from z, whose residual is `change`."""
        product, inverse = self._convolution(z).normal, self._convolution(z).near_inverse
        result = cg(
            lambda x: product(x) + lam * x,
            b + lam * z,
            z,
            _TOLERANCE[z.dtype],
            self.iterations,
            lambda r: inverse(r, lam),
            change,
        )
        if not bool(result.converged.all()):
            reached = f"relative residual {float(result.residual.max()):.1e}"
            warnings.warn(
                f"Conjugate gradients stopped after {int(result.iterations.max())} iterations at {reached}; "
                f"a larger lam or a larger CartesianSense(iterations=...) would bring it to {_TOLERANCE[z.dtype]:.0e}.",
                RuntimeWarning,
                stacklevel=2,
            )
        return result.x

    def same_as(self, other: object) -> bool:
        """Whether `other` is a `CartesianSense` with equal mask, maps and settings."""
        if self is other:
            return True
        return (
            isinstance(other, CartesianSense)
            and self.iterations == other.iterations
            and torch.equal(self.mask.cpu(), other.mask.cpu())
            and torch.equal(self.maps.cpu(), other.maps.cpu())
        )

    def _checked(self, x: torch.Tensor) -> torch.Tensor:
        """Return x if it is a batch of images that this operator fits."""
        if x.dtype not in _COMPLEX:
            raise InputError(f"Images must be float32 or float64, got {x.dtype}.")
        if x.ndim != 3 or tuple(x.shape[1:]) != self.shape:
            wanted = f"(B, {self.shape[0]}, {self.shape[1]})"
            raise InputError(f"Images have shape {tuple(x.shape)}; the coil maps ask for {wanted}.")
        return x

    @cached_property
    def _lines(self) -> torch.Tensor | None:
        """The mask along H, ``(H,)``, or None if it varies along W."""
        if self.mask.ndim == 1:
            return self.mask
        return self.mask[:, 0] if bool((self.mask == self.mask[:, :1]).all()) else None

    @cached_property
    def _trace(self) -> float:
        return float(self.maps.abs().double().square().sum()) / self.acceleration

    @cached_property
    def _copies(self) -> dict[tuple[object, ...], Any]:
        """What has been converted to a dtype and device; every entry follows from mask and maps alone."""
        return {}

    def _mask_and_maps(self, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mask ``(H, 1 or W)`` and maps ``(coils, H, W)`` in the precision and on the device of a real tensor."""
        key = ("maps", like.dtype, like.device)
        if key not in self._copies:
            with torch.inference_mode(False):
                mask = self.mask.reshape(self.shape[0], -1).to(like.device, like.dtype)
                self._copies[key] = mask, self.maps.to(like.device, _COMPLEX[like.dtype], copy=True)
        return self._copies[key]

    def _spectrum(self, dtype: torch.dtype, device: torch.device) -> Spectrum:
        """Eigendecomposition in the wanted precision; only the precisions in use are kept."""
        key = ("spectrum", dtype, device)
        if key not in self._copies:
            assert self._lines is not None
            with torch.inference_mode(False):
                self._copies[key] = spectrum(self._lines, self.maps).to(dtype, device)
        return self._copies[key]

    def _convolution(self, like: torch.Tensor) -> Convolution:
        """For masks that are not periodic; in the precision and on the device of a real tensor."""
        key = ("convolution", like.dtype, like.device)
        if key not in self._copies:
            with torch.inference_mode(False):
                mask, maps = self._mask_and_maps(like)
                self._copies[key] = Convolution.of(mask.expand(self.shape), maps)
        return self._copies[key]
