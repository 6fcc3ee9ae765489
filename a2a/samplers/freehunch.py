"""Free Hunch: a covariance of the clean estimate that costs no gradient, learned along the way."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from a2a.common.units import to_image
from a2a.forward.completion import Completion
from a2a.forward.observation import Observation
from a2a.prior.denoiser import Denoiser
from a2a.prior.frequency_bands import filtered, pixel_variance
from a2a.samplers.background import bounded
from a2a.samplers.draws import noise_variance
from a2a.samplers.matched import posterior_shift
from a2a.samplers.reverse import OnStep, reverse
from a2a.samplers.table import Spacing, Steps, sampler

CGSteps = Annotated[int, Field(ge=1, description="conjugate-gradient steps towards what data and covariance say")]
Updates = Annotated[int, Field(ge=0, description="steps from which the covariance learns; 0 keeps that of the data")]


@sampler
def freehunch(
    prior: Denoiser,
    observation: Observation,
    *,
    steps: Steps = 100,
    cg_steps: CGSteps = 8,
    updates: Updates = 10,
    spacing: Spacing = 1.0,
    samples: int = 1,
    generators: Sequence[torch.Generator] | None = None,
    batch: int = 16,
    on_step: OnStep | None = None,
) -> Completion:
    r"""Free Hunch (Rissanen, Heinonen and Solin 2025) for stacks; chapter "The family of samplers".

    Ancestral steps with the clean estimate that data and a covariance agree on,

    .. math:: x_0^* = \hat x_0 + C A^H (A C A^H + R)^{-1} (y - A \hat x_0) .

    C begins as that of the training data, between modalities in each band of spatial frequency (the paper has the
    variance of each coefficient of a cosine transform). Less noise adds to its inverse,
    :math:`C_s^{-1} = C_t^{-1} + (\tau_s^{-2} - \tau_t^{-2}) I` with :math:`\tau^2 = (1 - \bar\alpha) / \bar\alpha`, and
    what the estimate did from one step to the next corrects it, see `Hunch.learn`.

    Parameters
    ----------
    prior
        The denoiser.
    observation
        What was acquired.
    steps
        Network evaluations (exactly), none with a gradient.
    cg_steps
        Conjugate-gradient steps of the correction, see `a2a.samplers.matched.posterior_shift`.
    updates
        Steps from which C learns, the first ones; each adds two stacks to what a sample keeps.
    spacing, samples, generators, batch, on_step
        See `a2a.samplers.reverse.reverse`.

    Raises
    ------
    InputError
        If an option is out of its range.
    """
    return reverse(
        prior, observation, lambda part, draws: HunchStep(bounded(prior, part), part, cg_steps, updates),
        f"Free Hunch, {observation.scenario}", steps=steps, spacing=spacing, samples=samples, generators=generators,
        batch=batch, on_step=on_step,
    )  # fmt: skip


@dataclass(eq=False)
class HunchStep:
    """One step of Free Hunch for some rows of `data`; what it learns in one step it uses in the next.

    Parameters
    ----------
    prior
        The denoiser.
    data
        What was acquired of the rows.
    cg_steps, updates
        See `freehunch`.
    """

    prior: Denoiser
    data: Observation
    cg_steps: int
    updates: int
    directions: tuple[Tensor, ...] = ()
    weights: tuple[Tensor, ...] = ()
    before: "tuple[Hunch, Tensor, Tensor] | None" = None

    @torch.no_grad()
    def step(self, x: Tensor, z: Tensor, t: int, s: int) -> tuple[Tensor, Tensor]:
        """See `a2a.samplers.reverse.Step`."""
        schedule, guess = self.prior.schedule, self.prior.predict(x, t)
        seen, image = to_image(x / schedule.abar(t) ** 0.5), to_image(guess)
        hunch = self._at(t)
        if self.before is not None and len(self.directions) < 2 * self.updates:
            directions, weights = hunch.learn(*self.before, seen, image)
            self.directions, self.weights = self.directions + directions, self.weights + weights
            hunch = self._at(t)
        self.before = hunch, seen, image
        variance = hunch.variance(*image.shape[-2:]).to(image)
        shift = posterior_shift(self.data, image, variance, hunch.covariance, self.cg_steps)
        x0 = self.prior.clamp(guess + 2 * shift)
        return schedule.ancestral(x0, x, z, t, s), x0

    def _at(self, t: int) -> "Hunch":
        """What is known of the covariance, at time t."""
        last = self.prior.schedule.length - 1
        less = 1 / noise_variance(self.prior.schedule, t) - 1 / noise_variance(self.prior.schedule, last)
        return Hunch(self.prior.error_covariance(last), float(less), t, self.prior, self.directions, self.weights)


@dataclass(frozen=True, eq=False)
class Hunch:
    r"""Covariance of the clean estimate of some rows, :math:`(C_0^{-1} + \mu I + \sum_k w_k u_k u_k^\top)^{-1}`.

    Parameters
    ----------
    data
        C_0 in bands, ``(K, n, n)``, squared image units.
    less
        mu, what less noise adds.
    t
        The time.
    prior
        For its noise schedule.
    directions, weights
        u_k, ``(B, n, H, W)`` each, and w_k, ``(B,)`` each.
    """

    data: Tensor
    less: float
    t: int
    prior: Denoiser
    directions: tuple[Tensor, ...] = ()
    weights: tuple[Tensor, ...] = field(default=())

    @cached_property
    def _bands(self) -> Tensor:
        """Covariance in bands without what was learned."""
        floor = 1e-9 * torch.eye(self.data.shape[-1], dtype=self.data.dtype)
        return torch.linalg.inv(torch.linalg.inv(self.data + floor) + self.less * torch.eye(self.data.shape[-1]))

    @cached_property
    def _learned(self) -> tuple[Tensor, Tensor, Tensor]:
        """The directions, what the covariance in bands makes of them, and the inner matrix of Woodbury's identity."""
        u = torch.stack(self.directions, dim=1)
        seen = filtered(self._bands, u.flatten(0, 1)).reshape(u.shape)
        gram = torch.einsum("bknhw,blnhw->bkl", u.double(), seen.double())
        weights = torch.stack(self.weights, dim=1)
        inner = torch.eye(u.shape[1], dtype=torch.float64) + weights[:, :, None] * gram
        return u, seen, torch.linalg.solve(inner, torch.diag_embed(weights))

    def variance(self, height: int, width: int) -> Tensor:
        """Of each modality, averaged over the pixels, without what was learned; ``(n,)``."""
        return pixel_variance(self._bands, height, width)

    def covariance(self, v: Tensor) -> Tensor:
        """Multiply stacks ``(B, n, H, W)`` by the covariance."""
        plain = filtered(self._bands, v)
        if not self.directions:
            return plain
        u, seen, inner = self._learned
        share = torch.einsum("bknhw,bnhw->bk", u.double(), plain.double())
        return plain - torch.einsum("bk,bknhw->bnhw", (inner @ share[:, :, None])[:, :, 0].to(v), seen)

    def precision(self, v: Tensor) -> Tensor:
        """Multiply stacks ``(B, n, H, W)`` by the inverse of the covariance."""
        plain = filtered(torch.linalg.inv(self._bands), v)
        return plain + sum(_times(w * _dot(u, v), u) for u, w in zip(self.directions, self.weights, strict=True))

    def learn(
        self, before: "Hunch", seen: Tensor, image: Tensor, seen_now: Tensor, image_now: Tensor
    ) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        r"""Return two directions and weights, so that the covariance explains how the estimate changed.

        The estimate's Jacobian is :math:`C / \tau^2`. What it would have been at the former :math:`x_t` with the noise
        of now follows from the former covariance; from there :math:`\tau^2` times the change of the estimate, q, must
        be C times the change of x, d. A BFGS update of the inverse does it,

        .. math:: P \leftarrow P - \frac{P q q^\top P}{q^\top P q} + \frac{d d^\top}{d^\top q}

        where both products are positive; else the weights are 0.

        Parameters
        ----------
        before
            The covariance of the former step.
        seen, image
            :math:`x_t / \sqrt{\bar\alpha_t}` and its clean estimate in that step, image units.
        seen_now, image_now
            Those of now.
        """
        noise = float(noise_variance(self.prior.schedule, self.t))
        expected = self.covariance(before.precision(image) + (self.less - before.less) * seen)
        d, q = seen_now - seen, noise * (image_now - expected)
        pulled = self.precision(q)
        along, across = _dot(q, pulled), _dot(d, q)
        usable = (along > 0) & (across > 1e-6 * (_dot(d, d) * _dot(q, q)).sqrt())
        weights = [torch.where(usable, sign / size, 0.0) for sign, size in ((-1, along), (1, across))]
        return (pulled, d), (weights[0], weights[1])


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product of each row, ``(B,)``, float64."""
    return (a * b).double().sum(dim=(1, 2, 3))


def _times(factor: Tensor, images: Tensor) -> Tensor:
    """Multiply each row by its own number."""
    return factor.to(images)[:, None, None, None] * images
