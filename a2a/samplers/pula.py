"""pULA: Langevin dynamics under the whole likelihood at every noise level, preconditioned with the data's inverse."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from a2a.common.errors import whole
from a2a.common.units import to_image, to_model
from a2a.forward.completion import Completion
from a2a.forward.observation import Observation
from a2a.prior.denoiser import Denoiser
from a2a.prior.schedule import END, NoiseSchedule
from a2a.samplers.background import bounded
from a2a.samplers.draws import Draws, answered, fluctuation, noise_variance
from a2a.samplers.mds import copy_exact
from a2a.samplers.reverse import OnStep, reverse
from a2a.samplers.table import Spacing, Steps, sampler

LOUDEST = 10.0
"""Standard deviation of the noise with which the dynamics begins, in the model's range."""

Gamma = Annotated[float, Field(gt=0, le=1, description="step size of the Langevin dynamics, in preconditioned units")]


@sampler
def pula(
    prior: Denoiser,
    observation: Observation,
    *,
    steps: Steps = 100,
    gamma: Gamma = 1.0,
    spacing: Spacing = "log-snr",
    samples: int = 1,
    generators: Sequence[torch.Generator] | None = None,
    batch: int = 16,
    on_step: OnStep | None = None,
) -> Completion:
    r"""Preconditioned unadjusted Langevin algorithm (Blumenthal et al. 2025); chapter "The family of samplers".

    At each noise level :math:`\tau^2 = (1 - \bar\alpha_t) / \bar\alpha_t` the target is :math:`p_\tau(x)\, N(y; A x,
    \sigma^2 I)`, the prior with noise times the likelihood without. One step of Langevin dynamics with the
    preconditioner :math:`M = (A^H A / \sigma^2 + I / \tau^2)^{-1}` is

    .. math:: x \leftarrow x + \gamma\, (x^* - x) + \sqrt{2 \gamma}\, M^{1/2} z, \qquad
              x^* = M (A^H y / \sigma^2 + \hat x_0 / \tau^2)

    so the drift is the way to the solution of a least-squares problem, and M has a closed form here. The dynamics
    begins at :math:`\tau = 10` in the model's range with a draw under the data alone, and ends at :math:`x^*`.

    Parameters
    ----------
    prior
        The denoiser.
    observation
        What was acquired.
    steps
        Network evaluations (exactly), one for each noise level.
    gamma
        :math:`\gamma`.
    spacing
        Of the noise levels: ``"log-snr"`` makes them a geometric series.
    samples, generators, batch, on_step
        See `a2a.samplers.reverse.reverse`.

    Raises
    ------
    InputError
        If an option is out of its range.
    """
    begin = _begin(prior.schedule, steps)
    done = reverse(
        prior, observation, lambda part, draws: LangevinStep(bounded(prior, part), part, gamma, draws, begin),
        f"pULA, {observation.scenario}", steps=steps, passes=[prior.schedule.transitions(steps, spacing, begin)],
        samples=samples, generators=generators, batch=batch, on_step=on_step,
    )  # fmt: skip
    return replace(done, samples=copy_exact(observation, done.samples))


def _begin(schedule: NoiseSchedule, steps: int) -> int:
    """Last time whose noise is no louder than `LOUDEST`, or later where steps need more times."""
    whole("steps", steps, 1, schedule.length)
    quiet = [t for t in range(schedule.length) if noise_variance(schedule, t) <= LOUDEST**2 / 4]
    return max(quiet[-1], steps - 1)


@dataclass(frozen=True, eq=False)
class LangevinStep:
    """One step of pULA for some rows of `data`, with their `draws`, from time `begin` on; `gamma` is that of `pula`."""

    prior: Denoiser
    data: Observation
    gamma: float
    draws: Draws
    begin: int

    @torch.no_grad()
    def step(self, x: Tensor, z: Tensor, t: int, s: int) -> tuple[Tensor, Tensor]:
        """See `a2a.samplers.reverse.Step`."""
        schedule, level = self.prior.schedule, noise_variance(self.prior.schedule, t)
        if t == self.begin:
            drawn = answered(self.data, torch.full_like(x, 0.5), level) + fluctuation(self.data, level, self.draws)
            x = schedule.abar(t) ** 0.5 * to_model(drawn)
        here = to_image(x / schedule.abar(t) ** 0.5)
        target = answered(self.data, to_image(self.prior.predict(x, t)), level)
        x0 = to_model(target)
        if s == END:
            return x0, x0
        moved = here + self.gamma * (target - here)
        moved = moved + (2 * self.gamma) ** 0.5 * fluctuation(self.data, level, self.draws)
        return schedule.abar(s) ** 0.5 * to_model(moved), x0
