"""Multi-coil sampling of a real image along lines that need not lie on the frequencies of its grid."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from a2a.common.errors import InputError
from a2a.forward.operators.base import DataFidelity, FidelityAt, LinearOperator
from a2a.forward.operators.solvers import cg, dot
from a2a.forward.operators.spectrum import Spectrum, diagonalised

COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}
_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-12}
_ITERATIONS = 200


@dataclass(frozen=True, eq=False)
class LineSense(LinearOperator):
    """Undersampling operator A = B F_W E S: coil sensitivities S, lines E at any frequency, readout B F_W on the grid.

    A scanner's field of view along the phase encoding is seldom that of the image, so its lines lie between the
    frequencies of the image's grid: line l sees ``E[l, h] = exp(-2 pi i f_l (h - H//2)) / sqrt(H)``. Every such line
    is known exactly; nothing is interpolated, and what is folded into the field of view stays folded. The readout is
    complete, so it has been brought to the grid before: F_W is its centred orthonormal Fourier transform and B the
    part of its frequencies that was measured. With the whole of them every column is a system of its own, solved
    exactly (see `a2a.forward.operators.spectrum`), else conjugate gradients solve it, to a relative residual of 1e-4 in
    float32 and 1e-12 in float64. With the frequencies of the grid it is `CartesianSense`.

    Parameters
    ----------
    frequencies
        f_l, float64 ``(L,)`` in cycles per pixel, between -0.5 and 0.5.
    maps
        Coil sensitivity maps, complex ``(coils, H, W)``.
    columns
        Whether the lines are encoded along W, not along H: then H and W change their roles in data and formulas.
    band
        B, boolean along the readout; everything by default.

    Raises
    ------
    InputError
        If frequencies, maps or band do not fit together, or there is no line.

    References
    ----------
    Pruessmann et al., Magn. Reson. Med. 46 (2001). Chapter "The formulation".
    """

    frequencies: torch.Tensor
    maps: torch.Tensor
    columns: bool = False
    band: torch.Tensor | None = None

    def __post_init__(self) -> None:
        if self.maps.ndim != 3 or not self.maps.is_complex() or not self.maps.numel():
            raise InputError(f"maps must be complex (coils, H, W), got {self.maps.dtype} {tuple(self.maps.shape)}.")
        if not bool(torch.isfinite(self.maps).all()):
            raise InputError("maps has values that are not finite; set pixels without sensitivity to 0.")
        lines = self.frequencies
        if lines.ndim != 1 or not len(lines) or lines.dtype != torch.float64 or not bool((lines.abs() <= 0.5).all()):
            raise InputError("frequencies must be float64 (L,), at least one line, between -0.5 and 0.5 a pixel.")
        readout = self._upright.shape[2]
        if self.band is not None and (self.band.dtype != torch.bool or self.band.shape != (readout,)):
            raise InputError(f"band must be boolean ({readout},), the frequencies of the readout.")
        if self.band is not None and not bool(self.band.any()):
            raise InputError("band samples nothing; give the modality as missing instead.")

    @property
    def shape(self) -> tuple[int, int]:
        """Image size (H, W)."""
        return self.maps.shape[1], self.maps.shape[2]

    @property
    def complete(self) -> bool:
        """Whether the readout was measured over the whole band of the grid, so that `prox` is solved exactly."""
        return self.band is None or bool(self.band.all())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Lines ``(B, coils, L, W)`` of real images ``(B, H, W)``; ``(B, coils, L, H)`` if encoded along W."""
        lines, maps = self._lines_and_maps(self._checked(x))
        return self.sampled(_fft(lines @ (maps * self._turn(x)[:, None])))

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Re(A^H y): real images ``(B, H, W)``.

        Raises
        ------
        InputError
            If y is real or has another shape.
        """
        wanted = (len(self.maps), len(self.frequencies), self._upright.shape[2])
        if not y.is_complex() or y.ndim != 4 or y.shape[1:] != wanted:
            raise InputError(f"k-space is {y.dtype} of shape {tuple(y.shape)}; needed is complex (B, {wanted}).")
        lines, maps = self._lines_and_maps(y.real)
        return self._turn((maps.conj() * (lines.mH @ _ifft(self.sampled(y)))).sum(dim=1).real)

    def noisy(self, y: torch.Tensor, std: float, generators: Sequence[torch.Generator]) -> torch.Tensor:
        """Add noise to the real and the imaginary part of what is measured, see `LinearOperator.noisy`."""
        return self.sampled(super().noisy(y, std, generators))

    def sampled(self, y: torch.Tensor) -> torch.Tensor:
        """B y: zeros where the readout was not measured."""
        return y if self.band is None or self.complete else y * self.band.to(y.device, y.real.dtype)

    def normal(self, x: torch.Tensor) -> torch.Tensor:
        """Re(A^H A x) of real images ``(B, H, W)``."""
        return self.adjoint(self.forward(x))

    def measurements(self, height: int, width: int) -> int:
        """Real numbers measured of one image: 2 coils times the lines times the measured frequencies of the readout."""
        readout = self._upright.shape[2] if self.band is None else int(self.band.sum())
        return 2 * len(self.maps) * len(self.frequencies) * readout

    def trace(self, height: int, width: int) -> float:
        """Sum of ``|s|^2`` over coils and pixels, times lines over H and the measured part of the readout."""
        readout = 1.0 if self.band is None else float(self.band.double().mean())
        lines = len(self.frequencies) / self._upright.shape[1]
        return float(self.maps.abs().double().square().sum()) * lines * readout

    def data_fidelity(self, b: torch.Tensor) -> DataFidelity:
        """Misfit of z, and the solution of (Re(A^H A) + lam) x = b + lam z, see `LinearOperator.data_fidelity`."""
        self._checked(b)
        if self.complete:
            near = self._spectrum(b.dtype, b.device).data_fidelity(self._turn(b).contiguous())
            return lambda z: self._turned_back(near(self._turn(self._checked(z)).contiguous()))

        def at(z: torch.Tensor) -> FidelityAt:
            change = b - self.normal(z)
            return FidelityAt(lambda: -dot(z, b + change), lambda lam: self._iterated(z, b, change, lam))

        return at

    def _turned_back(self, near: FidelityAt) -> FidelityAt:
        return FidelityAt(near.misfit, lambda lam: self._turn(near.solve(lam)))

    def _iterated(
        self, z: torch.Tensor, b: torch.Tensor, change: torch.Tensor, lam: float | torch.Tensor
    ) -> torch.Tensor:
        """Solve by conjugate gradients from z, whose residual is `change`."""
        tolerance = _TOLERANCE[z.dtype]
        found = cg(lambda x: self.normal(x) + lam * x, b + lam * z, z, tolerance, _ITERATIONS, residual=change)
        if not bool(found.converged.all()):
            reached = f"relative residual {float(found.residual.max()):.1e}"
            warnings.warn(
                f"Conjugate gradients stopped after {_ITERATIONS} iterations at {reached}; a larger lam would bring it "
                f"to {tolerance:.0e}.",
                RuntimeWarning,
                stacklevel=2,
            )
        return found.x

    def _checked(self, x: torch.Tensor) -> torch.Tensor:
        if x.dtype not in COMPLEX:
            raise InputError(f"Images must be float32 or float64, got {x.dtype}.")
        if x.ndim != 3 or tuple(x.shape[1:]) != self.shape:
            raise InputError(f"Images have shape {tuple(x.shape)}; the coil maps ask for (B, {self.shape}).")
        return x

    def _turn(self, x: torch.Tensor) -> torch.Tensor:
        """Bring the axis along which lines are encoded to the last but one, and back."""
        return x.mT if self.columns else x

    @property
    def _upright(self) -> torch.Tensor:
        return self._turn(self.maps)

    @cached_property
    def _copies(self) -> dict[tuple[object, ...], Any]:
        """What has been converted to a dtype and device; every entry follows from the fields alone."""
        return {}

    def _lines_and_maps(self, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """E ``(L, H)`` and upright maps, in the precision and on the device of a real tensor."""
        key = ("lines", like.dtype, like.device)
        if key not in self._copies:
            with torch.inference_mode(False):
                kind = COMPLEX[like.dtype]
                maps = self._upright.contiguous().to(like.device, kind)
                self._copies[key] = line_matrix(self.frequencies, maps.shape[1]).to(like.device, kind), maps
        return self._copies[key]

    def _spectrum(self, dtype: torch.dtype, device: torch.device) -> Spectrum:
        key = ("spectrum", dtype, device)
        if key not in self._copies:
            with torch.inference_mode(False):
                lines = line_matrix(self.frequencies.cpu(), self._upright.shape[1])
                found = diagonalised(lines.mH @ lines, self._upright.cpu())
                self._copies[key] = found.to(dtype, device)
        return self._copies[key]


def line_matrix(frequencies: torch.Tensor, height: int) -> torch.Tensor:
    """E: line l of ``height`` pixels, ``exp(-2 pi i f_l (h - H//2)) / sqrt(H)``, complex128 ``(L, H)``."""
    place = torch.arange(height, dtype=torch.float64, device=frequencies.device) - height // 2
    angle = -2 * torch.pi * frequencies[:, None] * place
    return torch.polar(torch.full_like(angle, height**-0.5), angle)


def _fft(lines: torch.Tensor) -> torch.Tensor:
    """Centred orthonormal Fourier transform along the readout."""
    return torch.fft.fftshift(torch.fft.fft(torch.fft.ifftshift(lines, dim=-1), norm="ortho"), dim=-1)


def _ifft(lines: torch.Tensor) -> torch.Tensor:
    return torch.fft.fftshift(torch.fft.ifft(torch.fft.ifftshift(lines, dim=-1), norm="ortho"), dim=-1)
