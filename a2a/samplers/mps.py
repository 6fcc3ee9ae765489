"""MPS: ancestral sampling, steered by the gradient of the data misfit through the denoiser."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from a2a.common.errors import InputError, whole
from a2a.common.units import to_image
from a2a.forward.completion import Completion
from a2a.forward.observation import Observation
from a2a.prior.denoiser import Denoiser
from a2a.prior.schedule import Spacing
from a2a.samplers.matched import posterior_shift
from a2a.samplers.reverse import Update, reverse


def mps(
    prior: Denoiser,
    observation: Observation,
    *,
    steps: int = 100,
    guidance: Literal["norm", "moment-matched"] = "moment-matched",
    cg_steps: int = 1,
    scale: float = 0.5,
    spacing: Spacing = 1.0,
    restarts: int = 0,
    samples: int = 1,
    rows: Sequence[torch.Generator] | None = None,
    batch: int = 16,
) -> Completion:
    r"""Multimodal posterior sampling (Any2all, Gan, Wang et al. 2026); chapter "MPS".

    Given modalities are approached, not copied: clean ones come back nearly as they are.

    Parameters
    ----------
    prior
        The denoiser.
    observation
        What was acquired; with all modalities missing this is DDPM.
    steps
        Network evaluations (exactly), each with a gradient, or `cg_steps` of them. The paper takes 1000; with
        ``"moment-matched"`` 100 are enough, see the chapter "Fewer evaluations".
    guidance
        ``"moment-matched"`` has no step size: it adds the gradient of :math:`\log N(y; A \hat x_0, A C A^H + R)` to the
        score, C being the covariance of the clean estimate (the network's scaled Jacobian); see
        `a2a.samplers.matched.posterior_shift`. The shift is applied to the clean estimate, so that it stays bounded
        near t = T.
        ``"norm"`` is the paper's: it subtracts :math:`\zeta \nabla_{x_t} \sum_i \|y_i - A_i \hat x_{0,i}\|` from
        each ancestral step, as DPS does (Chung et al. 2023), but normalised for each sample and each modality, so
        that k-space of eight coils does not drown an image.
    cg_steps
        Conjugate-gradient steps of ``"moment-matched"``, each one gradient through the denoiser. One costs no more than
        ``"norm"``; more are exact for Gaussian stacks whose pixels are correlated, and rely on the Jacobian of the
        network more than a small one deserves.
    scale
        :math:`\zeta` of ``"norm"`` for each of the T times, with residuals in image units; a step that skips k times
        takes :math:`k \zeta`, so that one value serves any number of steps.
    spacing, restarts, samples, rows, batch
        See `a2a.samplers.reverse.reverse`.

    Raises
    ------
    InputError
        If `guidance` is neither of the two, `cg_steps` is not positive, or `scale` is negative or not finite.
    """
    if guidance not in ("norm", "moment-matched"):
        raise InputError(f"guidance: unknown value {guidance!r}; use 'norm' or 'moment-matched'.")
    whole("cg_steps", cg_steps, 1)
    if not 0 <= scale < math.inf:
        raise InputError(f"scale: {scale} must be finite and not negative.")

    def update_for(part: Observation) -> Update:
        if guidance == "norm":
            return _norm_update(prior, part, scale)
        return _matched_update(prior, part, cg_steps)

    course = {"steps": steps, "spacing": spacing, "restarts": restarts}
    common = {"samples": samples, "rows": rows, "batch": batch, "label": f"MPS, {observation.scenario}"}
    return reverse(prior, observation, update_for, **course, **common)


def _norm_update(prior: Denoiser, part: Observation, scale: float) -> Update:
    def update(x: Tensor, z: Tensor, t: int, s: int) -> Tensor:
        x = x.detach().requires_grad_(True)
        x0 = prior.predict(x, t)
        downhill = part.misfit_gradient(to_image(x0.detach())) / 2
        (gradient,) = torch.autograd.grad(x0, x, downhill)
        return prior.schedule.ancestral(x0.detach(), x.detach(), z, t, s) - scale * (t - s) * gradient

    return update


def _matched_update(prior: Denoiser, part: Observation, cg_steps: int) -> Update:
    def update(x: Tensor, z: Tensor, t: int, s: int) -> Tensor:
        abar = prior.schedule.abar(t)
        x = x.detach().requires_grad_(True)
        x0 = prior.predict(x, t)

        def covariance(u: Tensor) -> Tensor:
            (gradient,) = torch.autograd.grad(x0, x, u, retain_graph=cg_steps > 1)
            return (1 - abar) / abar**0.5 * gradient / 4

        image, variance = to_image(x0.detach()), prior.variance(t).to(x)
        shift = posterior_shift(part, image, variance, covariance, cg_steps)
        corrected = prior.clamp(x0.detach() + 2 * shift)
        return prior.schedule.ancestral(corrected, x.detach(), z, t, s)

    return update
