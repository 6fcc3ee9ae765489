"""MPS: ancestral sampling, steered by the gradient of the data misfit through the denoiser."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from a2a.completion import Completion
from a2a.errors import InputError
from a2a.observation import Observation
from a2a.prior import Denoiser, to_image
from a2a.samplers.reverse import Update, reverse
from a2a.samplers.trust import prior_weight


def mps(
    prior: Denoiser,
    observation: Observation,
    *,
    steps: int = 1000,
    guidance: Literal["norm", "moment-matched"] = "moment-matched",
    scale: float = 0.5,
    samples: int = 1,
    rows: Sequence[torch.Generator] | None = None,
    batch: int = 16,
) -> Completion:
    r"""Multimodal posterior sampling (Any2all, Gan, Wang et al. 2026); chapter "MPS".

    Parameters
    ----------
    prior
        The denoiser.
    observation
        What was acquired; with all modalities missing this is DDPM.
    steps
        Network evaluations (exactly), each with one gradient.
    guidance
        ``"moment-matched"`` has no step size: it adds the gradient of :math:`\log N(y; A \hat x_0, A C A^H + R)` to the
        score, C being the covariance of the clean estimate (the network's scaled Jacobian). The inverse is taken by
        one preconditioned conjugate-gradient step, whose direction and length cost the one gradient that is needed
        anyway. The shift is applied to the clean estimate, so that it stays bounded near t = T.
        ``"norm"`` is the paper's: it subtracts :math:`\zeta \nabla_{x_t} \sum_i \|y_i - A_i \hat x_{0,i}\|` from
        each ancestral step, as DPS does (Chung et al. 2023), but normalised for each sample and each modality, so
        that k-space of eight coils does not drown an image.
    scale
        :math:`\zeta` of ``"norm"`` for each of the T times, with residuals in image units; a step that skips k times
        takes :math:`k \zeta`, so that one value serves any number of steps.
    samples, rows, batch
        See `a2a.samplers.reverse.reverse`.

    Raises
    ------
    InputError
        If `guidance` is neither of the two.
    """
    if guidance not in ("norm", "moment-matched"):
        raise InputError(f"guidance: unknown value {guidance!r}; use 'norm' or 'moment-matched'.")

    def update_for(part: Observation) -> Update:
        return _norm_update(prior, part, scale) if guidance == "norm" else _matched_update(prior, part)

    label = f"MPS, {observation.scenario}"
    return reverse(prior, observation, update_for, steps=steps, samples=samples, rows=rows, batch=batch, label=label)


def _norm_update(prior: Denoiser, part: Observation, scale: float) -> Update:
    def update(x: Tensor, z: Tensor, t: int, s: int) -> Tensor:
        x = x.detach().requires_grad_(True)
        x0, eps = prior.predict(x, t)
        downhill = part.misfit_gradient(to_image(x0.detach())) / 2
        (gradient,) = torch.autograd.grad(x0, x, downhill)
        return prior.schedule.step(x0.detach(), eps.detach(), z, t, s, eta=1.0) - scale * (t - s) * gradient

    return update


def _matched_update(prior: Denoiser, part: Observation) -> Update:
    def update(x: Tensor, z: Tensor, t: int, s: int) -> Tensor:
        abar = prior.schedule.abar(t)
        x = x.detach().requires_grad_(True)
        x0, _ = prior.predict(x, t)
        image, variance = to_image(x0.detach()), prior.variance(t).to(x)
        fit = part.operator.prox(image, part.adjoint, prior_weight(part, variance))
        pull = (fit - image) / variance[:, None, None]
        (gradient,) = torch.autograd.grad(x0, x, pull / 2)
        shift = (1 - abar) / abar**0.5 * gradient / 2
        length = step_length(part, image, fit, variance, pull, shift)[:, None, None, None]
        corrected = prior.clamp(x0.detach() + 2 * length * shift)
        eps = (x.detach() - abar**0.5 * corrected) / (1 - abar) ** 0.5
        return prior.schedule.step(corrected, eps, z, t, s, eta=1.0)

    return update


def step_length(
    part: Observation, image: Tensor, fit: Tensor, variance: Tensor, pull: Tensor, shift: Tensor
) -> Tensor:
    r"""Exact length of one conjugate-gradient step on :math:`(A C A^H + R)\, u = r`, r = y - A x.

    Along :math:`u_0 = (A V A^H + R)^{-1} r` the quadratic is least at :math:`u_0^\top r / u_0^\top (A C A^H + R) u_0`.
    Everything is known without applying A again: :math:`A^H u_0` is `pull` and :math:`C A^H u_0` is `shift`, and for
    noisy data :math:`R u_0 = y - A\, \mathrm{fit}`.

    Parameters
    ----------
    part
        B observed stacks.
    image, fit
        Clean estimate and its data-consistent version `(B, n, H, W)`, image units.
    variance
        V of each modality, `(n,)`.
    pull, shift
        See above, `(B, n, H, W)`.

    Returns
    -------
    Tensor
        `(B,)`, between 0 and 1; 1 where the errors of the clean estimate really are V.
    """
    noise = torch.tensor(part.noise_std, dtype=torch.float64, device=image.device).square()
    given = torch.tensor([kind != "missing" for kind in part.kinds], device=image.device)
    descent = part.adjoint - part.operator.normal(image)
    residual, left = part.residual_norm2(image), part.residual_norm2(fit)
    along = torch.where(noise > 0, (residual - _dot(descent, fit - image)) / noise, residual / variance.double())
    curvature = _dot(pull, shift) + torch.where(noise > 0, left / noise, 0.0)
    length = torch.where(given, along, 0.0).sum(dim=1) / curvature.sum(dim=1).clamp(min=1e-30)
    return length.clamp(0, 1).to(image)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product of each modality's images, `(B, n)`, float64."""
    return (a * b).double().sum(dim=(-2, -1))
