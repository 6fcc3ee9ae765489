"""The centred orthonormal Fourier transform: zero frequency at index ``(H // 2, W // 2)``."""

import torch

_AXES = (-2, -1)


def fft2c(image: torch.Tensor) -> torch.Tensor:
    """Centred orthonormal 2-D Fourier transform over the last two axes.

    X[k, l] = 1/sqrt(HW) sum_jm x[j, m] exp(-2 pi i ((k - H//2)(j - H//2)/H + (l - W//2)(m - W//2)/W).
    It keeps the norm, and it is SigPy's default (chapter "The formulation").

    Parameters
    ----------
    image
        Real or complex, ``(..., H, W)``.

    Returns
    -------
    torch.Tensor
        Complex, of the same shape.
    """
    centred = torch.fft.fft2(torch.fft.ifftshift(image, dim=_AXES), norm="ortho")
    return torch.fft.fftshift(centred, dim=_AXES)


def ifft2c(kspace: torch.Tensor) -> torch.Tensor:
    """Inverse, and at the same time adjoint, of `fft2c`; complex, ``(..., H, W)``."""
    centred = torch.fft.ifft2(torch.fft.ifftshift(kspace, dim=_AXES), norm="ortho")
    return torch.fft.fftshift(centred, dim=_AXES)
