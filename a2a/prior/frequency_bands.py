"""How images vary together in each band of spatial frequency, and filters made of that.

Explained in the chapter "MDS".
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def bands(height: int, width: int) -> Tensor:
    """Frequency band of each spatial frequency of `torch.fft.fft2`, int64 ``(H, W)``.

    0 is the mean, k >= 1 stands for 2^(k-1) up to 2^k cycles over the longer side.
    """
    down, across = (torch.fft.fftfreq(side, dtype=torch.float64) for side in (height, width))
    cycles = (down[:, None].square() + across.square()).sqrt() * max(height, width)
    return torch.where(cycles < 1 - 1e-6, 0, (cycles.clamp(min=1) * (1 + 1e-9)).log2().floor() + 1).long()


def band_covariance(images: Tensor) -> Tensor:
    r"""Covariance between modalities in each frequency band.

    .. math:: C_k = \frac{1}{B\,|k|} \sum_b \sum_{f \in k} \mathrm{Re}\, X_b(f) X_b(f)^H

    with X the orthonormal Fourier transform, so that C_k has the unit of a pixel's variance.

    Parameters
    ----------
    images
        ``(B, n, H, W)``, of mean zero.

    Returns
    -------
    Tensor
        ``(K, n, n)``, float64.
    """
    waves = torch.fft.fft2(images.double(), norm="ortho").permute(2, 3, 1, 0).flatten(0, 1)
    products = (waves @ waves.mH).real / len(images)
    of, count = bands(*images.shape[-2:]).flatten(), images.shape[1]
    sums = products.new_zeros(int(of.max()) + 1, count, count).index_add_(0, of, products)
    return sums / of.bincount()[:, None, None]


def white(variance: Sequence[float], height: int, width: int) -> Tensor:
    """Covariance in each band of noise that is independent in all modalities and pixels, ``(K, n, n)``, float64.

    Parameters
    ----------
    variance
        Of each modality.
    height, width
        Of the images.
    """
    count = int(bands(height, width).max()) + 1
    return torch.diag(torch.tensor(variance, dtype=torch.float64)).expand(count, -1, -1)


def pixel_variance(covariance: Tensor, height: int, width: int) -> Tensor:
    """Variance of each modality, averaged over the pixels, from its frequency bands ``(K, n, n)``: ``(n,)``.

    Parameters
    ----------
    covariance
        ``(K, n, n)``.
    height, width
        Of the images.
    """
    share = bands(height, width).flatten().bincount() / (height * width)
    return share.to(covariance) @ covariance.diagonal(dim1=1, dim2=2)


def filtered(gains: Tensor, images: Tensor) -> Tensor:
    """Apply one matrix between modalities in each frequency band.

    Parameters
    ----------
    gains
        ``(K, m, n)``.
    images
        ``(B, n, H, W)``.

    Returns
    -------
    Tensor
        ``(B, m, H, W)``, as the images.
    """
    size = images.shape[-2:]
    waves = torch.fft.rfft2(images).permute(2, 3, 1, 0)
    each = gains.to(images)[bands(*size)[:, : waves.shape[1]]]
    return torch.fft.irfft2((each.to(waves.dtype) @ waves).permute(3, 2, 0, 1), s=size)
