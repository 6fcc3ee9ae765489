"""Multi-coil sampling of a real image at any part of a grid of frequencies that need not be its own."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from a2a.common.errors import InputError
from a2a.forward.operators.base import LinearOperator
from a2a.forward.operators.lines import COMPLEX, line_matrix


@dataclass(frozen=True, eq=False)
class PlaneSense(LinearOperator):
    """Undersampling operator A = M (E_r S x E_c^T): two phase encodings, of which a mask leaves some.

    The scan's field of view and matrix are seldom those of the image, so its frequencies lie between those of the
    image's grid; each is taken as it is, see `a2a.forward.operators.LineSense`. Nothing couples few pixels only, so
    conjugate gradients solve it. With the frequencies of the grid it is `CartesianSense`.

    Parameters
    ----------
    mask
        M, boolean ``(L, K)``.
    rows, columns
        Frequencies along H and W, float64 ``(L,)`` and ``(K,)`` in cycles per pixel, between -0.5 and 0.5.
    maps
        Coil sensitivity maps, complex ``(coils, H, W)``.

    Raises
    ------
    InputError
        If mask, frequencies and maps do not fit together, or the mask samples nothing.

    References
    ----------
    Pruessmann et al., Magn. Reson. Med. 46 (2001). Chapter "Your own NIfTI files".
    """

    mask: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor
    maps: torch.Tensor

    def __post_init__(self) -> None:
        if self.maps.ndim != 3 or not self.maps.is_complex() or not self.maps.numel():
            raise InputError(f"maps must be complex (coils, H, W), got {self.maps.dtype} {tuple(self.maps.shape)}.")
        if not bool(torch.isfinite(self.maps).all()):
            raise InputError("maps has values that are not finite; set pixels without sensitivity to 0.")
        for name, lines in (("rows", self.rows), ("columns", self.columns)):
            if lines.ndim != 1 or lines.dtype != torch.float64 or not bool((lines.abs() <= 0.5).all()):
                raise InputError(f"{name} must be float64 frequencies between -0.5 and 0.5 a pixel.")
        if self.mask.dtype != torch.bool or self.mask.shape != (len(self.rows), len(self.columns)):
            raise InputError(f"mask must be boolean ({len(self.rows)}, {len(self.columns)}), one for each frequency.")
        if not bool(self.mask.any()):
            raise InputError("mask samples nothing; give the modality as missing instead.")

    @property
    def shape(self) -> tuple[int, int]:
        """Image size (H, W)."""
        return self.maps.shape[1], self.maps.shape[2]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """k-space ``(B, coils, L, K)`` of real images ``(B, H, W)``, 0 where the mask is."""
        if x.dtype not in COMPLEX or x.ndim != 3 or tuple(x.shape[1:]) != self.shape:
            raise InputError(f"Images are {x.dtype} {tuple(x.shape)}; needed are float32 or float64 (B, {self.shape}).")
        mask, rows, columns, maps = self._parts(x)
        return (rows @ (maps * x[:, None]) @ columns.mT) * mask

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Re(A^H y): real images ``(B, H, W)``.

        Raises
        ------
        InputError
            If y is real or has another shape.
        """
        wanted = (len(self.maps), *self.mask.shape)
        if not y.is_complex() or y.ndim != 4 or y.shape[1:] != wanted:
            raise InputError(f"k-space is {y.dtype} of shape {tuple(y.shape)}; needed is complex (B, {wanted}).")
        mask, rows, columns, maps = self._parts(y.real)
        return (maps.conj() * (rows.mH @ (y * mask) @ columns.conj())).sum(dim=1).real

    def sampled(self, y: torch.Tensor) -> torch.Tensor:
        """M y: zeros outside of the mask."""
        return y * self.mask.to(y.device, y.real.dtype)

    def noisy(self, y: torch.Tensor, std: float, generators: Any) -> torch.Tensor:
        """Add noise to the real and the imaginary part of what is measured, see `LinearOperator.noisy`."""
        return self.sampled(super().noisy(y, std, generators))

    def measurements(self, height: int, width: int) -> int:
        """Real numbers measured of one image."""
        return 2 * len(self.maps) * int(self.mask.sum())

    def trace(self, height: int, width: int) -> float:
        """Sum of ``|s|^2`` over coils and pixels, times the share of frequencies that is sampled."""
        return float(self.maps.abs().double().square().sum()) * int(self.mask.sum()) / (self.shape[0] * self.shape[1])

    @cached_property
    def _copies(self) -> dict[tuple[object, ...], Any]:
        """What has been converted to a dtype and device; every entry follows from the fields alone."""
        return {}

    def _parts(self, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Mask, E_r, E_c and maps, in the precision and on the device of a real tensor."""
        key = (like.dtype, like.device)
        if key not in self._copies:
            with torch.inference_mode(False):
                kind, axes = COMPLEX[like.dtype], zip((self.rows, self.columns), self.shape, strict=True)
                lines = (line_matrix(frequencies, n).to(like.device, kind) for frequencies, n in axes)
                self._copies[key] = (self.mask.to(like), *lines, self.maps.to(like.device, kind))
        return self._copies[key]
