"""Pseudo-inverse guidance: the data's correction of the clean estimate, sent back through the denoiser."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from a2a.common.units import to_image
from a2a.forward.completion import Completion
from a2a.forward.observation import Observation
from a2a.prior.denoiser import Denoiser
from a2a.samplers.background import bounded
from a2a.samplers.draws import Variance, answered, variance_of_estimate
from a2a.samplers.mps import MatchedStep
from a2a.samplers.reverse import OnStep, reverse
from a2a.samplers.table import Spacing, Steps, sampler


@sampler
def pigdm(
    prior: Denoiser,
    observation: Observation,
    *,
    steps: Steps = 100,
    variance: Variance = "unit",
    spacing: Spacing = 1.0,
    samples: int = 1,
    generators: Sequence[torch.Generator] | None = None,
    batch: int = 16,
    on_step: OnStep | None = None,
) -> Completion:
    r"""Pseudo-inverse guided diffusion (Song, Vahdat, Mardani and Kautz 2023); chapter "The family of samplers".

    The score of :math:`N(y; A \hat x_0, V A A^H + \sigma^2 I)` is added to that of the prior, in ancestral steps:

    .. math:: x_0^* = \hat x_0 + C A^H (V A A^H + \sigma^2 I)^{-1} (y - A \hat x_0), \qquad
              C = \frac{1 - \bar\alpha_t}{\sqrt{\bar\alpha_t}}\, J^\top

    with the Jacobian J of the denoiser. In `a2a.samplers.mps.mps` C stands in the inverse, too.

    Parameters
    ----------
    prior
        The denoiser.
    observation
        What was acquired.
    steps
        Network evaluations (exactly), each with a gradient.
    variance
        V: ``"unit"`` as published, or ``"measured"``; see `a2a.samplers.draws.variance_of_estimate`.
    spacing, samples, generators, batch, on_step
        See `a2a.samplers.reverse.reverse`.

    Raises
    ------
    InputError
        If an option is out of its range.
    """
    return reverse(
        prior, observation, lambda part, draws: GuidedStep(bounded(prior, part), part, variance),
        f"PiGDM, {observation.scenario}", steps=steps, spacing=spacing, samples=samples, generators=generators,
        batch=batch, on_step=on_step,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class GuidedStep:
    """One step of pseudo-inverse guidance for some rows of `data`; `variance` is that of `pigdm`."""

    prior: Denoiser
    data: Observation
    variance: Variance

    def step(self, x: Tensor, z: Tensor, t: int, s: int) -> tuple[Tensor, Tensor]:
        """See `a2a.samplers.reverse.Step`."""
        x = x.detach().requires_grad_(True)
        guess = self.prior.predict(x, t)
        image, variance = to_image(guess.detach()), variance_of_estimate(self.prior, t, self.variance)
        pull = (answered(self.data, image, variance) - image) / variance.clamp(min=1e-12).to(x).reshape(-1, 1, 1)
        shift = MatchedStep(self.prior, self.data, cg_steps=1).covariance(x, guess, t, pull)
        x0 = self.prior.clamp(guess.detach() + 2 * shift)
        return self.prior.schedule.ancestral(x0, x.detach(), z, t, s), x0
