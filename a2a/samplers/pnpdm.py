"""PnP-DM: draws from the prior around a noisy stack and draws of a noisy stack that knows the data, in turn."""

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
from a2a.samplers.draws import Draws, answered, fluctuation, noise_variance
from a2a.samplers.mds import copy_exact
from a2a.samplers.passes import Inner, annealed
from a2a.samplers.reverse import OnStep, reverse
from a2a.samplers.table import Spacing, Steps, sampler
from a2a.samplers.unconditional import DDIMStep


@sampler
def pnpdm(
    prior: Denoiser,
    observation: Observation,
    *,
    steps: Steps = 100,
    inner: Inner = 5,
    spacing: Spacing = 1.0,
    samples: int = 1,
    generators: Sequence[torch.Generator] | None = None,
    batch: int = 16,
    on_step: OnStep | None = None,
) -> Completion:
    r"""Plug-and-play diffusion models (Wu et al. 2024), a split Gibbs sampler; chapter "The family of samplers".

    A pass draws :math:`x_0 \sim p(x_0 | x_t)` in `inner` ancestral steps. The next begins with a stack that is
    :math:`x_0` with noise of variance :math:`\rho^2 = (1 - \bar\alpha_s) / \bar\alpha_s`, as far as the data allow it:

    .. math:: x_s = \sqrt{\bar\alpha_s}\, u, \qquad u \sim p(u) \propto N(u; x_0, \rho^2 I)\, N(y; A u, \sigma^2 I)

    The draw is exact. Without data this is a restart, see `a2a.samplers.reverse.reverse`.

    Parameters
    ----------
    prior
        The denoiser.
    observation
        What was acquired.
    steps
        Network evaluations (exactly), of all passes.
    inner
        Network evaluations of a pass.
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
        if s == END:
            return x0
        rho2 = noise_variance(prior.schedule, s)
        drawn = answered(part, to_image(x0), rho2) + fluctuation(part, rho2, draws)
        return prior.schedule.abar(s) ** 0.5 * to_model(drawn)

    done = reverse(
        prior, observation, lambda part, draws: DDIMStep(bounded(prior, part), 1.0, lambda z, t, s: z),
        f"PnP-DM, {observation.scenario}", steps=steps, passes=annealed(prior.schedule, steps, inner, spacing),
        again=again, samples=samples, generators=generators, batch=batch, on_step=on_step,
    )  # fmt: skip
    return replace(done, samples=copy_exact(observation, done.samples))
