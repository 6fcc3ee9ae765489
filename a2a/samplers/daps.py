"""DAPS: a clean stack by the flow without noise, an exact draw around it that knows the data, and all noise afresh."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from a2a.common.units import to_image, to_model
from a2a.forward.completion import Completion
from a2a.forward.observation import Observation
from a2a.prior.denoiser import Denoiser
from a2a.prior.schedule import END
from a2a.samplers.background import bounded
from a2a.samplers.draws import Draws, Variance, answered, fluctuation, variance_of_estimate
from a2a.samplers.mds import copy_exact
from a2a.samplers.passes import Inner, annealed
from a2a.samplers.reverse import OnStep, reverse
from a2a.samplers.table import Spacing, Steps, sampler
from a2a.samplers.unconditional import DDIMStep


@sampler
def daps(
    prior: Denoiser,
    observation: Observation,
    *,
    steps: Steps = 100,
    inner: Inner = 5,
    variance: Variance = "measured",
    spacing: Spacing = 1.0,
    samples: int = 1,
    generators: Sequence[torch.Generator] | None = None,
    batch: int = 16,
    on_step: OnStep | None = None,
) -> Completion:
    r"""Decoupled annealing posterior sampling (Zhang et al. 2025); chapter "The family of samplers".

    A pass goes from x_t to a clean stack :math:`\hat x_0` in `inner` steps of DDIM without noise. The next begins with

    .. math:: x_0^* \sim p(x_0) \propto N(x_0; \hat x_0, V I)\, N(y; A x_0, \sigma^2 I), \qquad
              x_s = \sqrt{\bar\alpha_s}\, x_0^* + \sqrt{1 - \bar\alpha_s}\, z

    Langevin dynamics makes the draw in the paper; here it is exact. Its mean is what the last pass returns.

    Parameters
    ----------
    prior
        The denoiser.
    observation
        What was acquired.
    steps
        Network evaluations (exactly), of all passes.
    inner
        Network evaluations of a pass; the paper takes 5.
    variance
        V, see `a2a.samplers.draws.variance_of_estimate`. The paper takes the variance of the noise in x_t, with which
        an exact draw would be nothing but noise where nothing is given.
    spacing
        Of the times at which passes begin.
    samples, generators, batch, on_step
        See `a2a.samplers.reverse.reverse`.

    Raises
    ------
    InputError
        If an option is out of its range.
    """

    def again(part: Observation, x0: Tensor, t: int, s: int, draws: Draws) -> Tensor:
        of_estimate, abar = variance_of_estimate(prior, t, variance), prior.schedule.abar(s)
        image = answered(part, to_image(x0), of_estimate)
        if s == END:
            return to_model(image)
        drawn = to_model(image + fluctuation(part, of_estimate, draws))
        return abar**0.5 * drawn + (1 - abar) ** 0.5 * draws.images()

    done = reverse(
        prior, observation, lambda part, draws: DDIMStep(bounded(prior, part), 0.0, lambda z, t, s: z),
        f"DAPS, {observation.scenario}", steps=steps, passes=annealed(prior.schedule, steps, inner, spacing),
        again=again, samples=samples, generators=generators, batch=batch, on_step=on_step,
    )  # fmt: skip
    return replace(done, samples=copy_exact(observation, done.samples))
