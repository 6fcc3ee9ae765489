"""DiffPIR: the clean estimate moved to the data as far as the noise level says, and noised again, in part afresh."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from a2a.common.units import to_image, to_model
from a2a.forward.completion import Completion
from a2a.forward.observation import Observation
from a2a.prior.denoiser import Denoiser
from a2a.samplers.background import bounded
from a2a.samplers.draws import answered, noise_variance
from a2a.samplers.mds import copy_exact
from a2a.samplers.reverse import OnStep, reverse
from a2a.samplers.table import Spacing, Steps, sampler

Trust = Annotated[
    float,
    Field(gt=0, allow_inf_nan=False, description="in the clean estimate: 1 takes it to err as much as the noise in it"),
]
Zeta = Annotated[float, Field(ge=0, le=1, description="share of fresh noise: 0 none, 1 nothing but fresh noise")]


@sampler
def diffpir(
    prior: Denoiser,
    observation: Observation,
    *,
    steps: Steps = 100,
    trust: Trust = 7.0,
    zeta: Zeta = 0.3,
    spacing: Spacing = 1.0,
    samples: int = 1,
    generators: Sequence[torch.Generator] | None = None,
    batch: int = 16,
    on_step: OnStep | None = None,
) -> Completion:
    r"""Denoising diffusion for plug-and-play image restoration (Zhu et al. 2023); chapter "The family of samplers".

    .. math:: x_0^* = \arg\min_x \tfrac{1}{2 \sigma^2} \|y - A x\|^2
              + \tfrac{\lambda \bar\alpha_t}{2 (1 - \bar\alpha_t)} \|x - \hat x_0\|^2, \qquad
              x_s = \sqrt{\bar\alpha_s}\, x_0^*
              + \sqrt{1 - \bar\alpha_s} \left( \sqrt{1 - \zeta}\, \epsilon^* + \sqrt{\zeta}\, z \right)

    with the noise :math:`\epsilon^*` that :math:`x_0^*` leaves of x_t.

    Parameters
    ----------
    prior
        The denoiser.
    observation
        What was acquired.
    steps
        Network evaluations (exactly).
    trust
        :math:`\lambda`, all noise levels in image units.
    zeta
        :math:`\zeta`.
    spacing, samples, generators, batch, on_step
        See `a2a.samplers.reverse.reverse`.

    Raises
    ------
    InputError
        If an option is out of its range.
    """
    done = reverse(
        prior, observation, lambda part, draws: PlugAndPlayStep(bounded(prior, part), part, trust, zeta),
        f"DiffPIR, {observation.scenario}", steps=steps, spacing=spacing, samples=samples, generators=generators,
        batch=batch, on_step=on_step,
    )  # fmt: skip
    return replace(done, samples=copy_exact(observation, done.samples))


@dataclass(frozen=True, eq=False)
class PlugAndPlayStep:
    """One step of DiffPIR for some rows of `data`; `trust` and `zeta` are those of `diffpir`."""

    prior: Denoiser
    data: Observation
    trust: float
    zeta: float

    @torch.no_grad()
    def step(self, x: Tensor, z: Tensor, t: int, s: int) -> tuple[Tensor, Tensor]:
        """See `a2a.samplers.reverse.Step`."""
        schedule, guess = self.prior.schedule, to_image(self.prior.predict(x, t))
        x0 = to_model(answered(self.data, guess, noise_variance(schedule, t) / self.trust))
        noise = (1 - self.zeta) ** 0.5 * schedule.left_in(x, x0, t) + self.zeta**0.5 * z
        return schedule.step(x0, noise, z, t, s, 0.0), x0
