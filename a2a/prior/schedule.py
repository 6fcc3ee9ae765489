"""The diffusion process: how a clean stack becomes noise, and one step of the way back.

All tables are float64: at the last time of the cosine schedule ``abar`` is 2.4e-9 and its reciprocal root 20,291.
Explained in the chapter "The diffusion prior".
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from a2a.common.errors import InputError

Spacing = float | Literal["log-snr"]
LONGEST = 100_000
"""Times of the longest schedule."""
END = -1  # the time index of the clean stack: abar(END) = 1


@dataclass(frozen=True)
class NoiseSchedule:
    """Variance schedule of ``q(x_t | x_0) = N(sqrt(abar_t) x_0, (1 - abar_t) I)``, t = 0 ... T-1.

    Parameters
    ----------
    kind
        ``"cosine"`` (Nichol and Dhariwal 2021, Eq. 17, betas at most 0.999), ``"linear"`` (Ho et al. 2020:
        betas from 1e-4 to 0.02 at T = 1000, scaled for other T) or ``"vp"``, T large steps of the process whose beta
        grows from 0.1 to 20 (Xiao et al. 2022; Ozbey et al. 2023 with T = 4).
    length
        Number of times T.

    Examples
    --------
    >>> schedule = NoiseSchedule("cosine", 1000)
    >>> len(schedule.transitions(150)), schedule.transitions(150)[0][0], schedule.transitions(150)[-1]
    (150, 999, (0, -1))
    """

    kind: Literal["cosine", "linear", "vp"] = "cosine"
    length: int = 1000

    def __post_init__(self) -> None:
        if self.kind not in ("cosine", "linear", "vp"):
            raise InputError(f"Unknown noise schedule {self.kind!r}; use 'cosine', 'linear' or 'vp'.")
        if not (isinstance(self.length, Integral) and 2 <= self.length <= LONGEST):
            raise InputError(f"A noise schedule needs at least 2 times, and at most {LONGEST}, got {self.length!r}.")

    @cached_property
    def betas(self) -> np.ndarray:
        """Forward variances beta_t, float64 `(T,)`."""
        if self.kind == "linear":
            scale = 1000 / self.length
            return np.linspace(1e-4 * scale, min(0.02 * scale, 0.999), self.length)
        u = np.arange(self.length + 1) / self.length
        if self.kind == "vp":
            time = 0.001 + 0.999 * u
            return -np.expm1(np.diff(-0.5 * time**2 * (20 - 0.1) - 0.1 * time))
        f = np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2
        return np.minimum(1 - f[1:] / f[:-1], 0.999)

    @cached_property
    def _abar(self) -> np.ndarray:
        """Cumulative products with the clean stack appended, so that index END = -1 reads 1."""
        return np.append(np.cumprod(1 - self.betas), 1.0)

    def abar(self, t: int) -> float:
        """Signal variance ``abar_t``, the product of ``1 - beta`` up to t; 1 for `END`."""
        return float(self._abar[t])

    def coefficients(
        self, t: int | Sequence[int] | Tensor, like: Tensor
    ) -> tuple[float, float] | tuple[Tensor, Tensor]:
        """Return ``sqrt(abar_t)`` and ``sqrt(1 - abar_t)``, to be multiplied with stacks.

        Parameters
        ----------
        t
            One time, a time for each modality, or times of each item, `(B,)` or `(B, n)`.
        like
            Gives the dtype and device of the tensors, `(1, n, 1, 1)`, `(B, 1, 1, 1)` or `(B, n, 1, 1)`, that are
            returned but for one time, which gives numbers.
        """
        if isinstance(t, Integral):
            return self.abar(int(t)) ** 0.5, (1 - self.abar(int(t))) ** 0.5
        times = t.cpu().numpy() if isinstance(t, Tensor) else np.asarray([t])
        abar = self._abar[times.reshape(len(times), -1, 1, 1)]
        return torch.from_numpy(np.sqrt(abar)).to(like), torch.from_numpy(np.sqrt(1 - abar)).to(like)

    def diffuse(self, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Sample ``q(x_t | x_0)``: ``sqrt(abar) x0 + sqrt(1 - abar) noise`` (Ho et al. 2020, Eq. 4); t as above.

        Parameters
        ----------
        x0
            Clean stacks ``(B, n, H, W)``.
        t
            See `coefficients`.
        noise
            Standard normal, as `x0`.
        """
        signal, spread = self.coefficients(t, x0)
        return signal * x0 + spread * noise

    def velocity(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        r"""Velocity :math:`v = \sqrt{\bar\alpha}\, \epsilon - \sqrt{1 - \bar\alpha}\, x_0` (Salimans and Ho 2022).

        Parameters
        ----------
        x0
            Clean stacks ``(B, n, H, W)``.
        noise
            That in x_t, as `x0`.
        t
            See `coefficients`.
        """
        signal, spread = self.coefficients(t, x0)
        return signal * noise - spread * x0

    def times(self, steps: int, spacing: Spacing = 1.0, start: int | None = None) -> list[int]:
        r"""Return exactly `steps` decreasing times, from `start` (by default T-1) to 0 (one step: `start` alone).

        They are :math:`\text{start} \cdot u^{\text{spacing}}` for evenly spaced u, rounded and kept apart: 1 is even in
        time, more puts more steps where the stack is nearly clean, which pays when they are few. ``"log-snr"`` is even
        in :math:`\log \bar\alpha_t / (1 - \bar\alpha_t)` (but for T-1, which is nothing but noise): each step then
        costs samples the same share of their variety, at coarse and at fine scales. Chapter "Unconditional samples".

        Parameters
        ----------
        steps
            How many.
        spacing
            1 even in time, more denser near the clean stack, or ``"log-snr"``.
        start
            The first; None for T-1.

        Raises
        ------
        InputError
            If `start` is no time of the schedule, `steps` is not between 1 and start + 1, or `spacing` is not positive.
        """
        start = self.length - 1 if start is None else start
        if not 0 <= start < self.length:
            raise InputError(f"start must lie between 0 and {self.length - 1}, got {start}.")
        if not 1 <= steps <= start + 1:
            raise InputError(f"steps must lie between 1 and {start + 1} (the times from {start} on), got {steps}.")
        if spacing != "log-snr" and not (isinstance(spacing, Real) and 0 < spacing < float("inf")):
            raise InputError(f"spacing must be a positive number or 'log-snr', got {spacing!r}.")
        place = np.arange(steps)
        if spacing == "log-snr":
            noise = np.log(1 / self._abar[:-1] - 1)
            even = np.linspace(noise[min(start, self.length - 2)], noise[0], steps)
            wanted = np.round(np.interp(even, noise, np.arange(self.length))).astype(int)
            wanted[0] = start
        else:
            wanted = np.round(start * np.linspace(1, 0, steps) ** spacing).astype(int)
        apart = np.maximum.accumulate((wanted + place)[::-1])[::-1]  # not increasing, so times fall by at least 1
        return (np.minimum(apart, start) - place).tolist()

    def transitions(self, steps: int, spacing: Spacing = 1.0, start: int | None = None) -> list[tuple[int, int]]:
        """Return the `steps` pairs (t, next t) of `times`; the last one lands on the clean estimate (`END`).

        Parameters
        ----------
        steps, spacing, start
            See `times`.
        """
        times = self.times(steps, spacing, start)
        return list(zip(times, [*times[1:], END], strict=True))

    def sigma(self, t: int, s: int, eta: float) -> float:
        r"""Noise added on the way from t to s (DDIM, Song et al. 2021, Eq. 16).

        .. math:: \sigma = \eta \sqrt{\frac{1 - \bar\alpha_s}{1 - \bar\alpha_t}}
                           \sqrt{1 - \frac{\bar\alpha_t}{\bar\alpha_s}}

        eta = 0 is deterministic, eta = 1 is the DDPM posterior variance.

        Parameters
        ----------
        t, s
            This time and the next.
        eta
            Between 0 and 1.

        Raises
        ------
        InputError
            If `eta` is not between 0 and 1.
        """
        if not (isinstance(eta, Real) and 0 <= eta <= 1):
            raise InputError(f"eta must lie between 0 and 1, got {eta!r}; mds and ddim also take 'optimal'.")
        a, b = self.abar(t), self.abar(s)
        return eta * math.sqrt((1 - b) / (1 - a)) * math.sqrt(max(1 - a / b, 0.0))

    def step(self, x0: Tensor, eps: Tensor, noise: Tensor, t: int, s: int, eta: float) -> Tensor:
        r"""Recombine a clean estimate and a noise estimate into x_s (DDIM, Song et al. 2021, Eq. 12).

        .. math:: x_s = \sqrt{\bar\alpha_s}\, x_0 + \sqrt{1 - \bar\alpha_s - \sigma^2}\, \epsilon + \sigma z

        Parameters
        ----------
        x0, eps
            Estimates of the clean stack and of the noise in x_t, ``(B, n, H, W)``.
        noise
            Fresh standard normal noise z.
        t, s
            This time and the next.
        eta
            See `sigma`.
        """
        sigma, abar = self.sigma(t, s, eta), self.abar(s)
        direction = max(1 - abar - sigma**2, 0.0) ** 0.5
        return (abar**0.5 * x0).add_(eps, alpha=direction).add_(noise, alpha=sigma)

    def ancestral(self, x0: Tensor, x: Tensor, noise: Tensor, t: int, s: int) -> Tensor:
        r"""Sample ``q(x_s | x_t, x_0)`` (Ho et al. 2020, Eq. 6 and 7), for the next time s or one further on.

        .. math:: x_s = \frac{\sqrt{\bar\alpha_s}\, \beta}{1 - \bar\alpha_t} x_0
                      + \frac{\sqrt{1 - \beta}\, (1 - \bar\alpha_s)}{1 - \bar\alpha_t} x_t + \sigma z,
                  \qquad \beta = 1 - \bar\alpha_t / \bar\alpha_s

        It is `step` with eta = 1 and the noise that x_0 leaves in x_t; at the last time it is x_0 itself.

        Parameters
        ----------
        x0
            Clean estimate ``(B, n, H, W)``.
        x
            x_t.
        noise
            Fresh standard normal noise z.
        t, s
            This time and the next.
        """
        return self.step(x0, self.left_in(x, x0, t), noise, t, s, 1.0)

    def of_the_estimate(self, t: int, s: int) -> float:
        r"""Share of x_0 in an `ancestral` step, :math:`\sqrt{\bar\alpha_s}\, \beta / (1 - \bar\alpha_t)`."""
        a, b = self.abar(t), self.abar(s)
        return math.sqrt(b) * (1 - a / b) / (1 - a)

    def left_in(self, x: Tensor, x0: Tensor, t: int) -> Tensor:
        r"""Noise that x_0 leaves in x_t, :math:`(x_t - \sqrt{\bar\alpha_t}\, x_0) / \sqrt{1 - \bar\alpha_t}`.

        A step takes this one, not what the network predicts: the two differ where the clean estimate was clamped or
        shrunk, and a step with both would lose the difference, and with it variety of the samples.

        Parameters
        ----------
        x
            x_t, ``(B, n, H, W)``.
        x0
            Clean estimate.
        t
            The time.
        """
        abar = self.abar(t)
        return torch.sub(x, x0, alpha=abar**0.5).mul_((1 - abar) ** -0.5)
