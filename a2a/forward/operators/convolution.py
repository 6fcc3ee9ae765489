"""Re(A^H A) of a mask of both axes as a convolution with each coil's maps around it, and a nearby inverse.

Explained in the chapter "The formulation".
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, eq=False)
class Convolution:
    """Re(sum_coils conj(s) F^H M F s x), and a preconditioner for it.

    Parameters
    ----------
    mask
        Real ``(H, W)``, with k = 0 at index (0, 0): the centring of image and k-space cancels in A^H A.
    maps, conjugated
        Coil sensitivity maps and their conjugates, complex ``(coils, H, W)``.
    powers
        Diagonal of F Re(A^H A) F^H, real ``(H, W // 2 + 1)``, k = 0 at index (0, 0).
    seen
        Whether any coil sees a pixel, boolean ``(H, W)``.
    """

    mask: torch.Tensor
    maps: torch.Tensor
    conjugated: torch.Tensor
    powers: torch.Tensor
    seen: torch.Tensor

    def __repr__(self) -> str:
        return f"Convolution(size={tuple(self.mask.shape)}, coils={len(self.maps)})"

    @classmethod
    def of(cls, mask: torch.Tensor, maps: torch.Tensor) -> "Convolution":
        """Build it from a real centred mask ``(H, W)`` and maps ``(coils, H, W)`` of the wanted precision."""
        mask = torch.fft.ifftshift(mask)
        energy = torch.fft.fft2(maps.to(torch.complex128), norm="forward").abs().square().sum(dim=0)
        seen = torch.fft.ifft2(torch.fft.fft2(energy).conj() * torch.fft.fft2(mask.double())).real.clamp_min(0)
        mirrored = seen.flip(0, 1).roll((1, 1), (0, 1))  # a real image has as much at -k as at k
        powers = ((seen + mirrored) / 2)[:, : mask.shape[1] // 2 + 1]
        return cls(mask, maps, maps.conj().resolve_conj(), powers.to(mask.dtype), (maps != 0).any(dim=0))

    def normal(self, x: torch.Tensor) -> torch.Tensor:
        """Re(A^H A x) for real images ``(B, H, W)``."""
        kspace = torch.fft.fft2(self.maps * x[:, None]).mul_(self.mask)
        return torch.fft.ifft2(kspace).mul_(self.conjugated).sum(dim=1).real

    def near_inverse(self, r: torch.Tensor, lam: float | torch.Tensor) -> torch.Tensor:
        """Apply the inverse of the circulant matrix nearest to Re(A^H A) + lam (T. Chan 1988) to ``(B, H, W)``.

        It halves the number of conjugate-gradient steps for a sixteenth of the cost of one. Pixels that no coil sees
        stay as they are, and so do images with lam = 0: only without preconditioner is their limit the solution
        nearest to the start.
        """
        lam = torch.as_tensor(lam, dtype=r.dtype, device=r.device).expand(len(r), 1, 1)
        factor = torch.where(lam > 0, 1 / (self.powers + lam), 1.0)
        inverse = torch.fft.irfft2(factor * torch.fft.rfft2(torch.where(self.seen, r, 0.0)), s=r.shape[-2:])
        return torch.where(self.seen, inverse, r)
