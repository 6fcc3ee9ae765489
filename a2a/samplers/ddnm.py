"""DDNM: ancestral sampling whose clean estimate is replaced by the data wherever they say what it is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from a2a.common.errors import InputError
from a2a.common.units import to_image, to_model
from a2a.forward.completion import Completion
from a2a.forward.observation import Observation
from a2a.prior.denoiser import Denoiser
from a2a.samplers.background import bounded
from a2a.samplers.mds import copy_exact
from a2a.samplers.reverse import OnStep, reverse
from a2a.samplers.table import Spacing, Steps, sampler


@sampler
def ddnm(
    prior: Denoiser,
    observation: Observation,
    *,
    steps: Steps = 100,
    spacing: Spacing = 1.0,
    samples: int = 1,
    generators: Sequence[torch.Generator] | None = None,
    batch: int = 16,
    on_step: OnStep | None = None,
) -> Completion:
    r"""Denoising diffusion null-space model (Wang, Yu and Zhang 2023, Algorithm 1); chapter "The family of samplers".

    .. math:: x_0^* = A^+ y + (I - A^+ A)\, \hat x_0, \qquad x_s \sim q(x_s | x_t, x_0^*)

    Unlike in `a2a.samplers.mds.mds`, the noise is what :math:`x_0^*` leaves of x_t.

    Parameters
    ----------
    prior
        The denoiser.
    observation
        What was acquired, without noise.
    steps
        Network evaluations (exactly).
    spacing, samples, generators, batch, on_step
        See `a2a.samplers.reverse.reverse`.

    Raises
    ------
    InputError
        If an option is out of its range, or data have noise, which the pseudo-inverse would copy.
    """
    for name, std in zip(observation.spec.names, observation.noise_std, strict=True):
        if std:
            why = f"{name} has noise_std = {std}, which a pseudo-inverse would copy"
            raise InputError(f"ddnm: {why}; use 'diffpir' or 'pigdm', or data without noise.")
    done = reverse(
        prior, observation, lambda part, draws: NullSpaceStep(bounded(prior, part), part),
        f"DDNM, {observation.scenario}", steps=steps, spacing=spacing, samples=samples, generators=generators,
        batch=batch, on_step=on_step,
    )  # fmt: skip
    return replace(done, samples=copy_exact(observation, done.samples))


@dataclass(frozen=True, eq=False)
class NullSpaceStep:
    """One step of DDNM for some rows of `data`."""

    prior: Denoiser
    data: Observation

    @torch.no_grad()
    def step(self, x: Tensor, z: Tensor, t: int, s: int) -> tuple[Tensor, Tensor]:
        """See `a2a.samplers.reverse.Step`."""
        guess = to_image(self.prior.predict(x, t))
        x0 = to_model(self.data.operator.prox(guess, self.data.adjoint, 0.0))
        return self.prior.schedule.ancestral(x0, x, z, t, s), x0
