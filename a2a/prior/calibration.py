"""What validation slices say of a prior's clean estimates: how far they err, and how far they should be shrunk.

Measured by `a2a.training.validation.calibrated`. Explained in the chapter "The diffusion prior".
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from a2a.common.errors import InputError
from a2a.common.units import to_model
from a2a.prior.principal import PrincipalEstimate

PREFIX = "calibration."
_TABLES = ("error", "gain", "mean", "components", "variances")


@dataclass(frozen=True, eq=False)
class Calibration:
    """Tables with a row for each of some `times`, float64 on the CPU; see `at_all_times` for those in between.

    Parameters
    ----------
    times
        Time indices of the rows, increasing.
    error
        Covariance of the error of the clean estimate between modalities in each frequency band, `(times, K, n, n)` in
        squared image units; see `a2a.prior.frequency_bands`.
    gain
        Shrinkage of the clean estimate towards that of a Gaussian, `(times, n)` in [0, 1]; None where there is none.
    mean
        Mean of this Gaussian, that of the training stacks, `(n, H, W)` in image units.
    components
        Principal components of the training stacks, see `a2a.prior.principal`; None where the Gaussian is its mean.
    variances
        Variances along them, `(K,)` in squared image units.

    Raises
    ------
    InputError
        If the times do not increase, or a table does not fit them or is not finite.
    """

    times: tuple[int, ...]
    error: Tensor
    gain: Tensor | None = None
    mean: Tensor | None = None
    components: Tensor | None = None
    variances: Tensor | None = None

    def __post_init__(self) -> None:
        if any(a >= b for a, b in pairwise(self.times)):
            raise InputError("calibration: its times must increase.")
        if (self.mean is None) != (self.gain is None):
            raise InputError("calibration: it has a gain and a mean, or neither.")
        if (self.components is None) != (self.variances is None) or (self.components is not None and self.mean is None):
            raise InputError("calibration: components come with their variances and with a mean.")
        rows, n = len(self.times), self.error.shape[-1]
        fits = self.error.ndim == 4 and self.error.shape[::2] == (rows, n)
        if self.gain is not None and self.mean is not None:
            fits = fits and self.gain.shape == (rows, n) and len(self.mean) == n
        if self.components is not None and self.variances is not None and self.mean is not None:
            n, *sides = self.components.shape[1:]
            block = self.mean.shape[-1] // max(1, *sides)
            fits = fits and (n, *(block * side for side in sides)) == tuple(self.mean.shape)
            fits = fits and bool((self.variances > 0).all())
            fits = fits and self.variances.shape == self.components.shape[:1]
        tables = [getattr(self, name) for name in _TABLES if getattr(self, name) is not None]
        if not (fits and all(bool(table.isfinite().all()) for table in tables)):
            raise InputError(f"calibration: its tables must be finite, a row for each of the {rows} times.")

    def __repr__(self) -> str:
        bands, modalities = self.error.shape[1:3]
        return f"Calibration(times={len(self.times)}, {bands=}, {modalities=}, shrinks={self.gain is not None})"

    def gaussian(self, like: Tensor) -> PrincipalEstimate:
        """Return the estimate that clean estimates are shrunk towards, model range.

        Parameters
        ----------
        like
            Gives dtype and device.
        """
        assert self.mean is not None
        none = self.mean.new_zeros(0, *self.mean.shape)
        components = none if self.components is None else self.components
        variances = none.new_zeros(0) if self.variances is None else 4 * self.variances
        return PrincipalEstimate(*(each.to(like) for each in (to_model(self.mean), components, variances)))

    def gaussian_tensors(self) -> dict[str, Tensor]:
        """Return what changes clean estimates of a prior that has components: all tables but that of errors."""
        if self.components is None:
            return {}
        return {name: table for name, table in self.tensors().items() if name != f"{PREFIX}error"}

    def check(self, shape: tuple[int, int, int], predicts: str) -> None:
        """Refuse what does not belong to a prior of stacks `(n, H, W)` that predicts this.

        Raises
        ------
        InputError
            If the tables are of other stacks, or a mean belongs to estimates that are not shrunk.
        """
        if predicts != "noise" and self.mean is not None and self.components is None:
            raise InputError(f"calibration: estimates from a {predicts} are not shrunk towards a mean alone.")
        found = self.error.shape[-1:] if self.mean is None else self.mean.shape
        if tuple(found) != shape[: len(found)]:
            raise InputError(f"calibration: it is of {tuple(found)}, but the prior is for {shape}.")

    def tensors(self, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        """Return the tables by the names that they have beside the weights, components like weights."""
        tables = {name: getattr(self, name) for name in _TABLES}
        if self.components is not None:
            tables["components"] = self.components.to(dtype)
        return {f"{PREFIX}{name}": table.contiguous() for name, table in tables.items() if table is not None}

    @classmethod
    def taken_from(cls, times: tuple[int, ...], tensors: dict[str, Tensor]) -> "Calibration":
        """Take out of a file's tensors what `tensors` returned.

        Raises
        ------
        InputError
            If there is no table of errors, or the tables do not fit the times.
        """
        found = {name.removeprefix(PREFIX): tensors.pop(name) for name in list(tensors) if name.startswith(PREFIX)}
        if "error" not in found or not set(found) <= set(_TABLES):
            raise InputError("calibration: its table of errors is not among the tensors.")
        formats = {"error": torch.float64, "gain": torch.float64}
        return cls(times, **{name: table.to(formats.get(name, torch.float32)) for name, table in found.items()})


def at_all_times(times: tuple[int, ...], rows: Tensor, length: int) -> Tensor:
    """Interpolate what was measured at `times`, `(times, ...)` to `(length, ...)`, float64.

    Parameters
    ----------
    times
        Where rows were measured, increasing.
    rows
        ``(times, ...)``.
    length
        Times T of the schedule.
    """
    every = np.arange(length)
    return torch.from_numpy(np.apply_along_axis(lambda value: np.interp(every, times, value), 0, rows.numpy()))
