"""Data consistency for a clean estimate whose errors are correlated between modalities."""

import torch
from torch import Tensor

from a2a.forward.observation import Observation
from a2a.prior.frequency_bands import filtered
from a2a.samplers.prior_weight import corrected

_JITTER = 1e-6


def cross_modal_estimate(part: Observation, image: Tensor, covariance: Tensor) -> Tensor:
    r"""Move a clean estimate to where data and the cross-modal errors agree.

    .. math:: x_0^* = \arg\min_x \tfrac12 \|R^{-1/2}(y - A x)\|^2 + \tfrac12 (x - \hat x_0)^\top C^{-1} (x - \hat x_0)

    C couples the modalities in each band of spatial frequency and is blind to place. The problem is solved in
    turn: all modalities follow the clean ones, :math:`C_{\cdot c} (C_{cc} + R_c)^{-1} (y_c - \hat x_c)`; each
    measured one solves its own least-squares problem, its remaining errors taken for independent; and what is
    missing follows them by what C leaves between them when the clean ones are known.

    Parameters
    ----------
    part
        B observed stacks.
    image
        Clean estimates ``(B, n, H, W)``, image units.
    covariance
        C, ``(K, n, n)``, squared image units, see `a2a.prior.frequency_bands.band_covariance`.

    Returns
    -------
    Tensor
        ``(B, n, H, W)``, image units. Exact where at most clean modalities are given and C is true.
    """
    clean, measured = (list(part.scenario.indices(kind)) for kind in ("clean", "measured"))
    noise = torch.tensor(part.noise_std, dtype=torch.float64).square()
    gain = regression(covariance, clean, noise)
    image = follow(image, clean, gain, part.adjoint - image)
    if not measured:
        return image
    solved = corrected(part, image)
    gain = regression(covariance - gain @ covariance[:, clean], measured, torch.zeros_like(noise))
    gain[:, clean + measured] = 0
    change = solved - image
    image = follow(image, measured, gain, change)
    image[:, measured] = solved[:, measured]
    return image


def regression(covariance: Tensor, given: list[int], noise: Tensor) -> Tensor:
    """How all modalities follow from errors of the given ones: ``C_.g (C_gg + R_g)^-1``, ``(K, n, |g|)``, float64.

    Parameters
    ----------
    covariance
        C, ``(K, n, n)``.
    given
        Modalities g, by index.
    noise
        Variance of the noise of each modality, ``(n,)``.
    """
    inner = covariance[:, given][:, :, given]
    scale = inner.diagonal(dim1=1, dim2=2).mean(dim=1) if given else inner.new_zeros(len(inner))
    ridge = noise[given] + (_JITTER * scale[:, None]).clamp(min=1e-12)
    return torch.linalg.solve(inner + torch.diag_embed(ridge), covariance[:, given]).mT


def follow(image: Tensor, given: list[int], gain: Tensor, change: Tensor) -> Tensor:
    """Add to all modalities what the change of the given ones says of them.

    Parameters
    ----------
    image
        Stacks ``(B, n, H, W)``.
    given
        Modalities that changed, by index.
    gain
        ``(K, n, |g|)``, see `regression`.
    change
        Of all modalities, ``(B, n, H, W)``; that of the given ones counts.
    """
    return image + filtered(gain, change[:, given]) if given else image.clone()
