"""What every measurement operator can do, and the two trivial ones: a clean and a missing modality."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch

from a2a.common.errors import InputError
from a2a.common.rng import randn
from a2a.forward.operators.iterative import estimated_trace, solved
from a2a.forward.operators.solvers import dot


@dataclass(frozen=True)
class FidelityAt:
    """What data say of estimates z: how far they are from them, and where they move them, for every weight of z.

    Both need A^H A z, which is computed once for the two.

    Parameters
    ----------
    misfit
        Returns ||A z||^2 - 2 <z, b> of each image, ``(B,)``, float64: ||y - A z||^2 without the constant ||y||^2.
    solve
        Solves the least-squares problem for a weight, see `LinearOperator.prox`, which checks it first.
    """

    misfit: Callable[[], torch.Tensor]
    solve: Callable[[float | torch.Tensor], torch.Tensor]


DataFidelity = Callable[[torch.Tensor], FidelityAt]
"""What data say of any estimate, see `LinearOperator.data_fidelity`."""


class LinearOperator(Protocol):
    """A linear map A from real images ``(B, H, W)`` to data of any shape ``(B, ...)``.

    `forward` and `adjoint` are all that must be written. The rest follows from them by conjugate gradients, and is
    overridden where an operator knows better. Operators are immutable and live on no device: they follow the
    dtype (float32 or float64) and device of their input. Images are real, so the adjoint is that of the real inner
    product Re<., .>, and every solve is one of the real normal equations. Explained in the chapters "The formulation"
    and "An operator of your own".
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Data A x of real images ``(B, H, W)``."""
        ...

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Re(A^H y): real images ``(B, H, W)``."""
        ...

    def normal(self, x: torch.Tensor) -> torch.Tensor:
        """Re(A^H A x): real images ``(B, H, W)``."""
        return self.adjoint(self.forward(x))

    def noisy(self, y: torch.Tensor, std: float, generators: Sequence[torch.Generator]) -> torch.Tensor:
        """Add noise to every real number that is measured.

        Parameters
        ----------
        y
            Exact data.
        std
            Standard deviation, also of real and imaginary parts each; >= 0.
        generators
            One for each item.
        """
        if not y.is_complex():
            return y + std * randn(y.shape[1:], generators, y)
        noise = std * randn((2, *y.shape[1:]), generators, y.real)
        return y + torch.complex(noise[:, 0], noise[:, 1])

    def measurements(self, height: int, width: int) -> int:
        """How many real numbers are measured of one image; a complex number counts twice."""
        data = self.forward(torch.zeros(1, height, width))
        return data.numel() * (2 if data.is_complex() else 1)

    def trace(self, height: int, width: int) -> float | torch.Tensor:
        """Trace of Re(A^H A), the sum of ||A e||^2 over all pixels e; ``(B,)`` where it differs between items."""
        return estimated_trace(self.normal, height, width)

    def prox(self, z: torch.Tensor, b: torch.Tensor, lam: float | torch.Tensor) -> torch.Tensor:
        """argmin_x 1/2 ||y - A x||^2 + lam/2 ||x - z||^2, where b = adjoint(y).

        Parameters
        ----------
        z
            Where the solution is pulled to, ``(B, H, W)``.
        b
            ``adjoint(y)``, computed once by the caller: a step of a sampler then needs no data.
        lam
            Weight >= 0: a number, or a tensor with one value per image, ``(B, 1, 1)``. lam = 0 means the limit
            lam -> 0: of all least-squares solutions the one nearest to z.

        Raises
        ------
        InputError
            If lam is negative, not finite or of another shape, or the images do not fit the operator.
        """
        return self.data_fidelity(b)(z).solve(checked_weight(lam, z))

    def data_fidelity(self, b: torch.Tensor) -> DataFidelity:
        """Return ``at(z)``, the misfit of z and its `prox` for every weight; what b alone decides is done once.

        An operator with a solution of its own overrides this one, from which `prox` follows.
        """

        def at(z: torch.Tensor) -> FidelityAt:
            image = self.normal(z)
            misfit = partial(dot, z, image.double().sub(b, alpha=2))
            return FidelityAt(misfit, lambda lam: z + solved(self.normal, b - image, lam))

        return at


def checked_weight(lam: float | torch.Tensor, like: torch.Tensor) -> float | torch.Tensor:
    """Return lam in the dtype and on the device of the images ``like (B, H, W)``, or refuse it.

    Raises
    ------
    InputError
        If lam is negative or not finite, or a tensor that is neither a scalar nor ``(B, 1, 1)``.
    """
    if not isinstance(lam, torch.Tensor):
        if not (math.isfinite(lam) and lam >= 0):
            raise InputError(f"lam = {lam} is no weight; it must be finite and >= 0.")
        return lam
    if lam.ndim and lam.shape not in ((1, 1, 1), (len(like), 1, 1)):
        raise InputError(f"lam has shape {tuple(lam.shape)}; expected a scalar or ({len(like)}, 1, 1), one per image.")
    return checked_values(lam).to(like)


def checked_values(lam: torch.Tensor) -> torch.Tensor:
    """Return a tensor of weights, or refuse one that is negative or not finite, as `checked_weight` does."""
    low, high = lam.aminmax()
    if not (low >= 0 and high < math.inf):
        raise InputError("lam has a negative or non-finite value; every weight must be finite and >= 0.")
    return lam


@dataclass(frozen=True)
class Identity(LinearOperator):
    """A clean modality: A = I, data are the image itself, possibly with noise (any2all paper, Section II)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x."""
        return x

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Return y."""
        return y

    def normal(self, x: torch.Tensor) -> torch.Tensor:
        """Return x."""
        return x

    def measurements(self, height: int, width: int) -> int:
        """Return H W: every pixel."""
        return height * width

    def trace(self, height: int, width: int) -> float:
        """Return H W."""
        return float(height * width)

    def data_fidelity(self, b: torch.Tensor) -> DataFidelity:
        """Misfit ||z||^2 - 2 <z, b>, and (b + lam z) / (1 + lam), which for lam = 0 is b, bit for bit."""

        def at(z: torch.Tensor) -> FidelityAt:
            exact = z.double()
            return FidelityAt(lambda: dot(exact, exact.sub(b, alpha=2)), lambda lam: torch.lerp(b, z, lam / (1 + lam)))

        return at


@dataclass(frozen=True)
class Missing(LinearOperator):
    """A modality that was not acquired: A = 0.

    Its data are an empty k-space ``(B, 0, H, W)``, one with no coil at all: zero numbers, yet batch and image size
    are known, so that a stack with everything missing is an observation like any other.
    """

    def noisy(self, y: torch.Tensor, std: float, generators: Sequence[torch.Generator]) -> torch.Tensor:
        """Return y: nothing is measured that could be noisy."""
        return y

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return empty data ``(B, 0, H, W)``."""
        return x.new_empty(len(x), 0, *x.shape[1:])

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Return zeros ``(B, H, W)``."""
        return y.sum(dim=1)

    def normal(self, x: torch.Tensor) -> torch.Tensor:
        """Return zeros ``(B, H, W)``."""
        return torch.zeros_like(x)

    def measurements(self, height: int, width: int) -> int:
        """Return 0."""
        return 0

    def trace(self, height: int, width: int) -> float:
        """Return 0."""
        return 0.0

    def data_fidelity(self, b: torch.Tensor) -> DataFidelity:
        """No misfit, and z for every weight: nothing was measured that could correct it."""
        return lambda z: FidelityAt(lambda: z.new_zeros(len(z), dtype=torch.float64), lambda lam: z)
