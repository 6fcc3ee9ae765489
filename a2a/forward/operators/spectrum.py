"""Re(A^H A) of a 1-D mask as small independent systems, each diagonalised once.

A mask along the phase-encode axis that repeats every K lines lets A^H A couple only the K pixels of a column that
lie H/K apart: K = R for equispaced lines, K = H for a mask without period. Either way the image ``(H, W)`` falls
apart into P = HW/K groups of K pixels, and with the K x K eigendecomposition of each group Re(A^H A) and its
regularised inverse for *any* weight are two small matrix products, exact and without a Fourier transform.
Explained in the chapter "The formulation".
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from a2a.forward.operators.base import DataFidelity, FidelityAt
from a2a.forward.operators.solvers import dot

ELEMENTWISE_UP_TO = 32
_CHUNK = 2**22


def mask_period(mask: torch.Tensor) -> int:
    """Smallest K that divides H with ``mask[k + K] == mask[k]``; ``mask`` is a boolean ``(H,)``."""
    height = len(mask)
    periods = (k for k in range(1, height + 1) if height % k == 0)
    return next(k for k in periods if torch.equal(mask, mask.roll(k)))


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvectors and eigenvalues of P groups of K coupled pixels.

    Parameters
    ----------
    vectors
        ``(K, K, P)`` where K is small, so that each product is a few long elementwise operations, and
        ``(P, K, K)`` for batched matrix products where it is large; first pixel, then eigenvector.
    values
        Eigenvalues >= 0, ``(K, P)``, in memory as the vectors are.
    """

    vectors: torch.Tensor
    values: torch.Tensor

    def __repr__(self) -> str:
        pixels, groups = self.values.shape
        return f"Spectrum({groups=}, {pixels=})"

    def to(self, dtype: torch.dtype, device: torch.device) -> "Spectrum":
        """Convert to a real dtype."""
        return Spectrum(self.vectors.to(device, dtype), self.values.to(device, dtype))

    def normal(self, x: torch.Tensor) -> torch.Tensor:
        """Re(A^H A x) for images ``(B, H, W)``."""
        return self._synthesise(self.values * self._analyse(x)).reshape(x.shape)

    def data_fidelity(self, b: torch.Tensor) -> DataFidelity:
        """z + (N + lam)^-1 (b - N z) with N = Re(A^H A) for every lam, and the misfit; of images ``(B, H, W)``.

        Directions without data keep z: those whose eigenvalue and weight together are what rounding leaves of zero.
        """
        target = self._analyse(b)
        rounding = len(self.values) * torch.finfo(b.dtype).eps * self.values.max()
        known = self.values.where(self.values > rounding, torch.inf)

        def at(z: torch.Tensor) -> FidelityAt:
            start = self._analyse(z)
            change = torch.addcmul(target, self.values, start, value=-1)

            def solve(lam: float | torch.Tensor) -> torch.Tensor:
                enough = torch.as_tensor(lam, device=z.device) > rounding
                held = self.values if enough.all() else torch.where(enough, self.values, known)
                return self._synthesise(torch.addcdiv(start, change, held + lam)).reshape(z.shape)

            return FidelityAt(lambda: -dot(start, target + change), solve)

        return at

    def _analyse(self, x: torch.Tensor) -> torch.Tensor:
        """Coefficients V^T x, ``(B, K, P)``."""
        x = x.reshape(len(x), *self.values.shape)
        if len(self.values) <= ELEMENTWISE_UP_TO:
            return _combine(self.vectors.transpose(0, 1), x)
        return _batched(lambda rows: _product(rows, self.vectors), x)

    def _synthesise(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Pixels V c, ``(B, K, P)``."""
        if len(self.values) <= ELEMENTWISE_UP_TO:
            return _combine(self.vectors, coefficients)
        return _batched(lambda rows: torch.bmm(self.vectors, rows.mT).mT, coefficients)


def _combine(matrices: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Product of matrices ``(K, K, P)`` and vectors ``(B, K, P)``, term by term over contiguous memory."""
    terms = zip(matrices.unbind(1), x[:, None].unbind(2), strict=True)
    out = torch.mul(*next(terms))
    for matrix, value in terms:
        out.addcmul_(matrix, value)
    return out


def _batched(product: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Apply a product with P matrices to ``(B, K, P)`` as row vectors ``(P, B, K)``; never in reduced precision."""
    rows = x.permute(2, 0, 1).contiguous()  # with gaps between its numbers a product takes ten times as long
    if torch.is_autocast_enabled(x.device.type):
        with torch.autocast(x.device.type, enabled=False):
            return product(rows).permute(1, 2, 0)
    return product(rows).permute(1, 2, 0)  # to enter a context takes as long as ten small operations


def _product(rows: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    """Products of row vectors ``(P, B, K)`` and matrices ``(P, K, K)``.

    One vector is a weighted sum of the rows of its matrix: memory is all that it costs, and ``embedding_bag`` reads it
    ahead, in half the time of ``bmm`` where nothing is in the cache.
    """
    groups, batch, size = rows.shape
    if batch > 1:
        return torch.bmm(rows, matrices)
    places = torch.arange(groups * size, device=rows.device).reshape(groups, size)
    return F.embedding_bag(places, matrices.flatten(0, 1), per_sample_weights=rows[:, 0], mode="sum")[:, None]


def coupling_matrices(mask: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """The P real symmetric K x K systems of Re(A^H A).

    G_ab = Re(c[(a - b) H/K] sum_coils conj(s_a) s_b), where c[d] = 1/H sum_{sampled k} exp(2 pi i (k - H//2) d/H) is
    the point spread of the mask. For equispaced lines k = o mod R it is (1/R) exp(2 pi i (o - H//2) (a - b)/R).

    Parameters
    ----------
    mask
        Boolean ``(H,)``, centred.
    maps
        Coil sensitivity maps, complex ``(coils, K, P)``: pixel a of group p is in row a H/K + p // W.

    Returns
    -------
    torch.Tensor
        ``(P, K, K)``, float64.
    """
    height, period = len(mask), maps.shape[1]
    spread = torch.fft.ifft(torch.fft.ifftshift(mask.to(torch.complex128)))
    index = torch.arange(period)
    spread = spread[((index[:, None] - index) * (height // period)) % height]
    maps = maps.to(torch.complex128).permute(2, 1, 0)
    return (spread * (maps.conj() @ maps.mT)).real


def spectrum(mask: torch.Tensor, maps: torch.Tensor) -> Spectrum:
    """Diagonalise Re(A^H A) for a boolean mask ``(H,)`` and maps ``(coils, H, W)``, in float64 on the CPU."""
    mask, period = mask.cpu(), mask_period(mask.cpu())
    grouped = maps.cpu().reshape(len(maps), period, -1)
    groups = grouped.split(max(1, _CHUNK // period**2), dim=2)
    return _from_groups((coupling_matrices(mask, part) for part in groups), period)


def diagonalised(gram: torch.Tensor, maps: torch.Tensor) -> Spectrum:
    """Diagonalise Re(A^H A) where every column of the image is a system of its own.

    Parameters
    ----------
    gram
        E^H E of what encodes a column, complex128 ``(H, H)``.
    maps
        Coil sensitivity maps, complex ``(coils, H, W)``.
    """
    height = len(gram)
    groups = maps.to(torch.complex128).permute(2, 1, 0).split(max(1, _CHUNK // height**2))
    return _from_groups(((gram * (part.conj() @ part.mT)).real for part in groups), height)


def _from_groups(systems: Iterable[torch.Tensor], period: int) -> Spectrum:
    """Diagonalise chunks of K x K systems ``(P, K, K)``."""
    solved = [torch.linalg.eigh(part) for part in systems]
    vectors = torch.cat([found for _, found in solved])
    values = torch.cat([found for found, _ in solved]).clamp_min(0).T
    if period <= ELEMENTWISE_UP_TO:
        vectors, values = vectors.permute(1, 2, 0).contiguous(), values.contiguous()
    return Spectrum(vectors, values)
