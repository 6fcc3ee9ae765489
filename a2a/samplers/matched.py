"""The exact answer to data for a Gaussian clean estimate, when its covariance is only known as a product."""

from collections.abc import Callable

import torch
from torch import Tensor

from a2a.forward.observation import Observation
from a2a.samplers.prior_weight import prior_weight


def posterior_shift(
    part: Observation, image: Tensor, variance: Tensor, covariance: Callable[[Tensor], Tensor], cg_steps: int
) -> Tensor:
    r"""Move a clean estimate by what the data say, :math:`C A^H (A C A^H + R)^{-1} (y - A \hat x_0)`.

    This is the shift of the mean of :math:`x_0 \sim N(\hat x_0, C)` under data with noise R, by conjugate gradients,
    preconditioned with the covariance V I of each modality, for which `a2a.forward.operators` solve exactly. Data
    vectors are written as A v and met only in products with :math:`N = A^H A`, so the system becomes

    .. math:: (C N + R)\, v = A^+ y - \hat x_0

    in the inner product :math:`v^\top N v`: no Fourier transform is taken, and C, which costs a gradient through
    the denoiser, is applied exactly `cg_steps` times.

    Parameters
    ----------
    part
        B observed stacks.
    image
        Clean estimates `(B, n, H, W)`, image units.
    variance
        V of each modality, `(n,)`, squared image units.
    covariance
        Multiplies stacks by C (symmetric, positive), `(B, n, H, W)` to the same, squared image units.
    cg_steps
        Conjugate-gradient steps, at least 1. One is exact where C = V I, more approach the exact inverse for errors
        that are correlated between pixels. A single step is never longer than 1, and a direction along which a
        network's Jacobian is not positive is not taken.

    Returns
    -------
    Tensor
        The shift `(B, n, H, W)`, image units; zero where nothing is given.
    """
    noise = torch.tensor(part.noise_std, dtype=torch.float64, device=image.device).square()
    nearly_none = torch.where(noise > 0, 10 * torch.finfo(image.dtype).eps, 0.0)
    variance = variance.clamp(min=1e-12)
    weight, noise = prior_weight(part, variance), noise.to(image)[:, None, None]
    longest = 1.0 if cg_steps == 1 else float("inf")

    def precondition(v: Tensor) -> Tensor:
        return part.operator.prox(torch.zeros_like(v), v, weight) / variance[:, None, None]

    left = part.operator.prox(image, part.adjoint, nearly_none) - image
    direction = precondition(left)
    seen, shift = part.operator.normal(direction), torch.zeros_like(image)
    size = _dot(left, seen)
    for left_to_do in reversed(range(cg_steps)):
        effect = covariance(seen)
        product = effect + noise * direction
        curvature = _dot(product, seen)
        length = torch.where(curvature > 0, size / curvature, 0.0).clamp(max=longest).to(image)
        shift, left = shift + length * effect, left - length * product
        if not left_to_do:
            break
        new = precondition(left)
        new_seen = part.operator.normal(new)
        former, size = size, _dot(left, new_seen)
        turn = torch.where(former > 0, size / former, 0.0).to(image)
        direction, seen = new + turn * direction, new_seen + turn * seen
    return shift


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product of each item, `(B, 1, 1, 1)`, float64."""
    return (a * b).double().sum(dim=(1, 2, 3), keepdim=True)
