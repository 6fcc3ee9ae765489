"""A prior that can be solved by hand: the yardstick that every sampler is measured against.

If the stack is Gaussian, the denoiser, and the posterior under any linear observation, are known exactly.
Explained in the chapters on the samplers.
"""

from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from typing import Literal

import torch
from torch import Tensor

from a2a.common.errors import InputError
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.prior.denoiser import Times
from a2a.prior.frequency_bands import band_covariance
from a2a.prior.schedule import NoiseSchedule


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian over stacks: mean `(n, H, W)` and covariance `(d, d)`, d = n H W, in image units, float64."""

    mean: Tensor
    covariance: Tensor

    def __repr__(self) -> str:
        return f"Gaussian(shape={tuple(self.mean.shape)})"

    @property
    def std(self) -> Tensor:
        """Standard deviation of each pixel, `(n, H, W)`."""
        return self.covariance.diagonal().clamp(min=0).sqrt().reshape(self.mean.shape)

    def sample(self, generators: list[torch.Generator]) -> Tensor:
        """Draw one stack for each generator, `(B, n, H, W)`."""
        values, vectors = torch.linalg.eigh(self.covariance)
        root = vectors * values.clamp(min=0).sqrt()
        z = torch.stack([torch.randn(len(values), generator=g, dtype=torch.float64) for g in generators])
        return self.mean + (z @ root.T).reshape(-1, *self.mean.shape)


@dataclass(frozen=True)
class GaussianPrior:
    r"""The exact denoiser of Gaussian stacks :math:`x_0 \sim N(m, C)`.

    .. math:: E[x_0 | x_t] = m + \sqrt{\bar\alpha}\, C (\bar\alpha C + (1 - \bar\alpha) I)^{-1}
                             (x_t - \sqrt{\bar\alpha}\, m)

    Parameters
    ----------
    mean
        `(n, H, W)` in image units.
    covariance
        `(n H W, n H W)` in squared image units, symmetric and positive definite.
    spec
        Names of the n modalities.
    schedule
        Noise schedule.

    Raises
    ------
    InputError
        If the shapes do not match or the covariance is not symmetric and positive definite.
    """

    mean: Tensor
    covariance: Tensor
    spec: StackSpec
    schedule: NoiseSchedule = NoiseSchedule()

    def __post_init__(self) -> None:
        d = self.mean.numel()
        if self.mean.shape[0] != len(self.spec) or self.covariance.shape != (d, d):
            raise InputError(
                f"mean must be ({len(self.spec)}, H, W) and covariance ({d}, {d}) for it, "
                f"got {tuple(self.mean.shape)} and {tuple(self.covariance.shape)}."
            )
        if not torch.allclose(self.covariance, self.covariance.T) or self._spectrum[0].min() <= 0:
            raise InputError("covariance must be symmetric and positive definite.")

    def __repr__(self) -> str:
        return f"GaussianPrior({self.spec.names}, size={tuple(self.mean.shape[1:])})"

    @classmethod
    def correlated(
        cls, spec: StackSpec, mean: Tensor, std: float, correlation: float, length: float
    ) -> "GaussianPrior":
        """Modalities with one common correlation and a spatial covariance that decays over `length` pixels.

        Parameters
        ----------
        spec
            The n modalities.
        mean
            ``(n, H, W)`` in image units.
        std
            Standard deviation of every pixel.
        correlation
            Between any two modalities.
        length
            Pixels over which the spatial covariance decays; 0 for independent pixels.
        """
        n, height, width = mean.shape
        between = std**2 * torch.full((n, n), correlation, dtype=torch.float64).fill_diagonal_(1.0)
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        place = torch.stack([rows.flatten(), columns.flatten()], dim=1).double()
        within = torch.exp(-0.5 * torch.cdist(place, place).square() / max(length, 1e-6) ** 2)
        within = within + 1e-3 * torch.eye(len(within), dtype=torch.float64)
        return cls(mean.double(), torch.kron(between, within / within[0, 0]), spec)

    @cached_property
    def _spectrum(self) -> tuple[Tensor, Tensor]:
        return torch.linalg.eigh(self.covariance.double())

    @property
    def noise_levels(self) -> Literal["joint", "per-modality"]:
        """Each modality may have a noise level of its own."""
        return "per-modality"

    @property
    def like(self) -> Tensor:
        """Empty float64 tensor: this prior works in double precision."""
        return torch.empty(0, dtype=torch.float64)

    def clamp(self, x: Tensor) -> Tensor:
        """A Gaussian has no bounds: return `x`."""
        return x

    def predict(self, x: Tensor, t: Times) -> Tensor:
        """Return the exact clean estimate for `x` `(B, n, H, W)` in the model's range."""
        if not isinstance(t, Integral):
            return self._predict_each(x, torch.tensor([t]))
        abar, (values, vectors) = self.schedule.abar(int(t)), self._spectrum
        gain = 4 * values * abar**0.5 / (4 * abar * values + 1 - abar)
        mean = (2 * self.mean.double() - 1).flatten()
        offset = (x.flatten(1) - abar**0.5 * mean) @ vectors
        return (mean + (offset * gain) @ vectors.T).reshape(x.shape)

    def _predict_each(self, x: Tensor, times: Tensor) -> Tensor:
        """Predict from modalities that have a time each, `(1, n)`."""
        each = self.schedule.coefficients(times, self.like)
        signal, spread = (torch.as_tensor(value).expand(x[:1].shape) for value in each)
        mean, root = 2 * self.mean.double() - 1, signal.flatten()
        seen = 4 * self.covariance.double() * root
        inner = root[:, None] * seen + torch.diag(spread.flatten().square())
        return mean + ((x - signal * mean).flatten(1) @ torch.linalg.solve(inner, seen.T)).reshape(x.shape)

    def variance(self, t: int) -> Tensor:
        """Variance of x_0 given x_t, averaged over the pixels of each modality: `(n,)`, squared image units."""
        abar, (values, vectors) = self.schedule.abar(t), self._spectrum
        left = values * (1 - abar) / (4 * abar * values + 1 - abar)
        return (vectors.square() @ left).reshape(len(self.spec), -1).mean(dim=1)

    def error_covariance(self, t: int) -> Tensor:
        """Covariance of x_0 given x_t between modalities in each frequency band, `(K, n, n)`, squared image units."""
        abar, (values, vectors) = self.schedule.abar(t), self._spectrum
        left = values * (1 - abar) / (4 * abar * values + 1 - abar)
        factor = (vectors * left.sqrt()).T.reshape(-1, *self.mean.shape)
        return len(factor) * band_covariance(factor)

    def posterior(self, observation: Observation) -> Gaussian:
        r"""Return the exact posterior under the observation of one stack.

        .. math:: m' = m + W (y - A m), \quad C' = C - W A C, \quad W = C A^H (A C A^H + R)^{-1}

        The operator is written out column by column; real and imaginary parts count as separate data.

        Raises
        ------
        InputError
            If the observation is of several stacks.
        """
        if observation.shape[0] != 1:
            raise InputError(f"observation: it is of {observation.shape[0]} stacks; give one, observation[i : i + 1].")
        d = self.mean.numel()
        basis = torch.eye(d, dtype=torch.float64).reshape(d, *self.mean.shape)
        columns = [_real(part) for part in observation.operator.forward(basis)]
        data = [_real(part)[0] for part in observation.data]
        noise = [torch.full_like(y, std**2) for y, std in zip(data, observation.noise_std, strict=True)]
        a, y, r = torch.cat(columns, dim=1).T, torch.cat(data), torch.cat(noise)
        sampled = a.abs().amax(dim=1) > 0
        a, y, r = a[sampled], y[sampled], r[sampled]
        covariance, mean = self.covariance.double(), self.mean.double().flatten()
        gain = torch.linalg.solve(a @ covariance @ a.T + torch.diag(r), a @ covariance).T
        return Gaussian((mean + gain @ (y - a @ mean)).reshape(self.mean.shape), covariance - gain @ a @ covariance)


def _real(data: Tensor) -> Tensor:
    """Flatten one modality's data to real float64 numbers, `(B, m)`."""
    real = torch.view_as_real(data) if data.is_complex() else data
    return real.flatten(1).double()
