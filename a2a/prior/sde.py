r"""The diffusion process in continuous time, t from 0 to 1 (Song et al. 2021, "variance preserving").

Explained in the chapter "UMM-CSGM".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from a2a.common.errors import InputError, whole
from a2a.common.rng import randn

EARLIEST = 1e-3
"""Time at which the process begins: nearer to 0 the score is nothing but large, 95 standard deviations here."""


@dataclass(frozen=True)
class ContinuousProcess:
    r"""``da = f(t) a dt + g(t) dw`` with ``f = -beta / 2``, ``g^2 = beta`` and ``beta(t) = low + (high - low) t``.

    It takes a_0 to ``a_t = alpha(t) a_0 + sigma(t) noise``.

    Parameters
    ----------
    low, high
        Of beta at t = 0 and t = 1.

    Raises
    ------
    InputError
        If they are not ``0 < low <= high``.

    Examples
    --------
    >>> process = ContinuousProcess()
    >>> round(process.alpha(torch.tensor(1.0)).item(), 5), process.beta(0.5)
    (0.00657, 10.05)
    """

    low: float = 0.1
    high: float = 20.0

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.high:
            raise InputError(f"A process needs 0 < low <= high, got {self.low} and {self.high}.")

    def beta(self, t: float) -> float:
        """Rate of the noise at time t."""
        return self.low + (self.high - self.low) * t

    def alpha(self, t: Tensor) -> Tensor:
        """Factor of the clean image at times t, a tensor of any shape."""
        return torch.exp(-self.low * t / 2 - (self.high - self.low) * t**2 / 4)

    def sigma(self, t: Tensor) -> Tensor:
        """Standard deviation of the noise at times t."""
        return torch.sqrt(-torch.expm1(2 * torch.log(self.alpha(t))))

    def diffuse(self, clean: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Return ``alpha(t) a_0 + sigma(t) noise``.

        Parameters
        ----------
        clean, noise
            ``(b, n, H, W)``.
        t
            Times ``(b,)``.
        """
        wide = t[:, None, None, None]
        return self.alpha(wide) * clean + self.sigma(wide) * noise

    def back(
        self,
        score: Callable[[Tensor, Tensor], Tensor],
        start: Tensor,
        moving: Tensor,
        generators: Sequence[torch.Generator],
        steps: int,
    ) -> Tensor:
        r"""Walk from t = 1 to 0 by Euler and Maruyama (Meng, Gu et al. 2022, Algorithm 1).

        .. math:: a \leftarrow a - f(t)\, a\, \Delta t + g(t)^2\, s(a, t)\, \Delta t + g(t) \sqrt{\Delta t}\, n,
                  \qquad \Delta t = 1 / \text{steps}

        The last step adds no noise.

        Parameters
        ----------
        score
            Of stacks ``(b, n, H, W)`` at the times ``(b,)``.
        start
            Stacks at t = 1.
        moving
            1 in images that move, 0 in those that stay as they are, bit for bit; ``(b, n, 1, 1)``.
        generators
            One for each row.
        steps
            How many.

        Raises
        ------
        InputError
            If `steps` is not between 1 and 1000.
        """
        whole("steps", steps, 1, round(1 / EARLIEST))
        x, dt = start, 1 / steps
        for number in range(steps):
            t = 1 - number * dt
            beta = self.beta(t)
            drift = (0.5 * beta * x + beta * score(x, x.new_full((len(x),), t))) * dt
            if number < steps - 1:
                drift = drift + (beta * dt) ** 0.5 * randn(x.shape[1:], generators, x)
            x = torch.where(moving.bool(), x + drift, x)
        return x
