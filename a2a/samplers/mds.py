"""MDS: DDIM whose clean estimate is corrected by a small least-squares problem."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from a2a.common.errors import InputError
from a2a.common.units import to_image, to_model
from a2a.forward.completion import Completion
from a2a.forward.observation import Observation
from a2a.prior.denoiser import Denoiser
from a2a.samplers.background import bounded
from a2a.samplers.cross_modal import cross_modal_estimate
from a2a.samplers.draws import Draws
from a2a.samplers.noise_levels import NoiseLevels, prediction, seeing_adjacent
from a2a.samplers.prior_weight import corrected, fixed_weight
from a2a.samplers.reverse import OnStep, reverse
from a2a.samplers.spread import noise_of_a_step
from a2a.samplers.table import Eta, Restarts, Rho, Spacing, Steps, sampler

Weight = Annotated[
    Annotated[float, Field(ge=0, allow_inf_nan=False)] | None,
    Field(description="of the prior where data are noisy; without it the residual of each step decides"),
]
Covariance = Annotated[
    Literal["independent", "cross-modal"],
    Field(description="of the errors of the clean estimate: between modalities none, or as on validation slices"),
]


@sampler
def mds(
    prior: Denoiser,
    observation: Observation,
    *,
    steps: Steps = 150,
    eta: Eta = 1.0,
    weight: Weight = None,
    covariance: Covariance = "independent",
    noise_levels: NoiseLevels = "joint",
    spacing: Spacing = 1.0,
    restarts: Restarts = 0,
    rho: Rho = 0.0,
    samples: int = 1,
    generators: Sequence[torch.Generator] | None = None,
    batch: int = 16,
    on_step: OnStep | None = None,
) -> Completion:
    r"""Multimodal decomposition sampling (Any2all, Gan, Wang et al. 2026); chapter "MDS".

    Each step predicts the clean stack, moves it to

    .. math:: x_0^* = \arg\min_x \tfrac12 \|y - A x\|^2 + \sum_i \tfrac{\lambda_i}{2} \|x_i - \hat x_{0,i}\|^2

    and recombines :math:`x_0^*` with the noise that :math:`\hat x_0` left of x_t. Noise derived from :math:`x_0^*`
    would undo what the given modalities say of the others.

    Parameters
    ----------
    prior
        The denoiser.
    observation
        What was acquired; with all modalities missing this is DDIM.
    steps
        Network evaluations (exactly).
    eta
        DDIM noise level, which the paper does not give. 1, ancestral, forgets earlier errors fastest, which matters
        where the network cannot reproduce clean data exactly. ``"optimal"`` gives missing modalities the variety that
        few steps lose, see `a2a.samplers.spread.noise_of_a_step`.
    weight
        Weight lambda of the prior for modalities with noise. None derives it anew in each step, for each sample and
        modality, from the residual: :math:`\lambda_i = \sigma_i^2 / V_i` with the variance V of the clean estimate
        of `a2a.samplers.prior_weight.residual_variance`. Clean modalities have lambda = 0: they are copied exactly.
    covariance
        Of the errors of the clean estimate: ``"independent"`` between pixels and modalities, as in the paper, or
        ``"cross-modal"`` as they were on validation slices, so that missing modalities follow the given ones; see
        `a2a.samplers.cross_modal.cross_modal_estimate`. The noise of the missing ones is then what :math:`x_0^*`
        leaves, for what the given ones say is in it already.
    noise_levels
        ``"joint"``: the clean modalities are noised as the others, as in the paper. ``"per-modality"``: the network
        sees them as they are; needs a prior that was trained so, see `a2a.samplers.noise_levels.prediction`.
    spacing, restarts, rho, samples, generators, batch, on_step
        See `a2a.samplers.reverse.reverse`.

    Raises
    ------
    InputError
        If an option is out of its range, `weight` meets a cross-modal `covariance`, or the prior has no noise level for
        each modality.
    """
    if covariance == "cross-modal" and weight is not None:
        raise InputError("weight: a cross-modal covariance has no single weight; leave it out, or use 'independent'.")

    def step_for(part: Observation, draws: Draws) -> "MDSStep":
        told = part.scenario.indices("clean") if "joint" != noise_levels or covariance == "cross-modal" else ()
        level, noise = noise_of_a_step(prior, eta, list(part.scenario.indices("missing")), list(told))
        known = bounded(prior if noise_levels == "joint" else seeing_adjacent(prior, part), part)
        predict = prediction(known, part, noise_levels)
        return MDSStep(known, part, predict, noise, level, weight, covariance)

    done = reverse(
        prior, observation, step_for, f"MDS, {observation.scenario}", steps=steps, spacing=spacing, restarts=restarts,
        rho=rho, samples=samples, generators=generators, batch=batch, on_step=on_step,
    )  # fmt: skip
    return replace(done, samples=copy_exact(observation, done.samples))


@dataclass(frozen=True, eq=False)
class MDSStep:
    """One step of MDS for some rows; see `mds` for what the settings mean.

    Parameters
    ----------
    prior
        The denoiser.
    data
        What was acquired of the rows.
    predict
        ``predict(x_t, t)``, the clean estimate.
    noise
        ``noise(z, t, s)``, what fresh noise z becomes, see `a2a.samplers.spread.noise_of_a_step`.
    eta, weight, covariance
        See `mds`.
    """

    prior: Denoiser
    data: Observation
    predict: Callable[[Tensor, int], Tensor]
    noise: Callable[[Tensor, int, int], Tensor]
    eta: float
    weight: float | None
    covariance: Covariance

    @torch.no_grad()
    def step(self, x: Tensor, z: Tensor, t: int, s: int) -> tuple[Tensor, Tensor]:
        """See `a2a.samplers.reverse.Step`."""
        schedule, guess = self.prior.schedule, self.predict(x, t)
        if self.covariance == "cross-modal":
            estimate = cross_modal_estimate(self.data, to_image(guess), self.prior.error_covariance(t))
            x0 = self.prior.clamp(to_model(estimate))
            guess = torch.where(self.data.missing, x0, guess)
        elif self.weight is None:
            x0 = to_model(corrected(self.data, to_image(guess)))
        else:
            weights = fixed_weight(self.data, self.weight)
            x0 = to_model(self.data.operator.prox(to_image(guess), self.data.adjoint, weights))
        return schedule.step(x0, schedule.left_in(x, guess, t), self.noise(z, t, s), t, s, self.eta), x0


def copy_exact(observation: Observation, samples: Tensor) -> Tensor:
    """Put data without noise back bit for bit: the way to the model's range and back rounds in the last place."""
    exact = [k == "clean" and std == 0 for k, std in zip(observation.kinds, observation.noise_std, strict=True)]
    return torch.where(torch.tensor(exact)[:, None, None], observation.adjoint.to(samples), samples)
