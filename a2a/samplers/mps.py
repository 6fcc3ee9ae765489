"""MPS: ancestral sampling, steered by the gradient of the data misfit through the denoiser."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from a2a.common.units import to_image
from a2a.forward.completion import Completion
from a2a.forward.observation import Observation
from a2a.prior.denoiser import Denoiser
from a2a.samplers.background import bounded
from a2a.samplers.draws import Draws
from a2a.samplers.matched import posterior_shift
from a2a.samplers.reverse import OnStep, Step, reverse
from a2a.samplers.table import Restarts, Rho, Spacing, Steps, sampler

Guidance = Annotated[
    Literal["moment-matched", "norm"],
    Field(description="how data steer: without a step size, or by the gradient of the residual's norm as in the paper"),
]
CGSteps = Annotated[int, Field(ge=1, description="conjugate-gradient steps of the moment-matched guidance")]
Scale = Annotated[float, Field(ge=0, allow_inf_nan=False, description="step size of the norm guidance")]


@sampler
def mps(
    prior: Denoiser,
    observation: Observation,
    *,
    steps: Steps = 100,
    guidance: Guidance = "moment-matched",
    cg_steps: CGSteps = 1,
    scale: Scale = 0.5,
    spacing: Spacing = 1.0,
    restarts: Restarts = 0,
    rho: Rho = 0.0,
    samples: int = 1,
    generators: Sequence[torch.Generator] | None = None,
    batch: int = 16,
    on_step: OnStep | None = None,
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
        `a2a.samplers.matched.posterior_shift`. This is MMPS (Rozet et al. 2024), which the book applies to stacks.
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
    spacing, restarts, rho, samples, generators, batch, on_step
        See `a2a.samplers.reverse.reverse`.

    Raises
    ------
    InputError
        If an option is out of its range.
    """

    def step_for(part: Observation, draws: Draws) -> Step:
        told = bounded(prior, part)
        return NormStep(told, part, scale) if guidance == "norm" else MatchedStep(told, part, cg_steps)

    return reverse(
        prior, observation, step_for, f"MPS, {observation.scenario}", steps=steps, spacing=spacing, restarts=restarts,
        rho=rho, samples=samples, generators=generators, batch=batch, on_step=on_step,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class NormStep:
    """One step of MPS as in the paper, for some rows of `data`; `scale` is that of `mps`."""

    prior: Denoiser
    data: Observation
    scale: float

    def step(self, x: Tensor, z: Tensor, t: int, s: int) -> tuple[Tensor, Tensor]:
        """See `a2a.samplers.reverse.Step`."""
        x = x.detach().requires_grad_(True)
        x0 = self.prior.predict(x, t)
        downhill = self.data.misfit_gradient(to_image(x0.detach())) / 2
        (gradient,) = torch.autograd.grad(x0, x, downhill)
        x, x0 = x.detach(), x0.detach()
        return self.prior.schedule.ancestral(x0, x, z, t, s) - self.scale * (t - s) * gradient, x0


@dataclass(frozen=True, eq=False)
class MatchedStep:
    """One step of moment-matched MPS for some rows of `data`; `cg_steps` is that of `mps`."""

    prior: Denoiser
    data: Observation
    cg_steps: int

    def step(self, x: Tensor, z: Tensor, t: int, s: int) -> tuple[Tensor, Tensor]:
        """See `a2a.samplers.reverse.Step`."""
        x = x.detach().requires_grad_(True)
        guess = self.prior.predict(x, t)
        covariance = partial(self.covariance, x, guess, t)
        image, variance = to_image(guess.detach()), self.prior.variance(t).to(x)
        shift = posterior_shift(self.data, image, variance, covariance, self.cg_steps)
        x0 = self.prior.clamp(guess.detach() + 2 * shift)
        return self.prior.schedule.ancestral(x0, x.detach(), z, t, s), x0

    def covariance(self, x: Tensor, guess: Tensor, t: int, u: Tensor) -> Tensor:
        r"""Multiply u by the covariance of the clean estimate,
        :math:`\frac{1 - \bar\alpha_t}{\sqrt{\bar\alpha_t}} J^\top u`, J the Jacobian of the estimate; image units.

        Parameters
        ----------
        x
            x_t, which asks for a gradient.
        guess
            Its clean estimate.
        t
            The time.
        u
            ``(B, n, H, W)``.
        """
        abar = self.prior.schedule.abar(t)
        (gradient,) = torch.autograd.grad(guess, x, u, retain_graph=self.cg_steps > 1)
        return (1 - abar) / abar**0.5 * gradient / 4
