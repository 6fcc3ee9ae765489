"""An operator for each item of a batch: slices that were measured alike, each with coil maps of its own."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from a2a.common.errors import InputError
from a2a.forward.operators.base import DataFidelity, FidelityAt, LinearOperator
from a2a.forward.operators.lines import LineSense
from a2a.forward.operators.plane import PlaneSense
from a2a.forward.operators.sense import CartesianSense


@dataclass(frozen=True, eq=False)
class PerItem(LinearOperator):
    """A = diag over the batch: item b is measured by the b-th operator.

    Real coils see every slice differently, so measured k-space has maps of each slice (simulated k-space shares one
    set). Costs one small solve for each item, little beside the network. Explained in the chapter "The formulation".

    Parameters
    ----------
    operators
        One for each item, with the same mask and number of coils.

    Raises
    ------
    InputError
        If there is none, or they differ in more than the values of their maps.
    """

    operators: tuple[CartesianSense | LineSense | PlaneSense, ...]

    def __post_init__(self) -> None:
        alike = {(op.maps.shape, _sampling(op)) for op in self.operators}
        if len(alike) != 1:
            raise InputError("Operators of one batch need the same mask and number of coils; only maps may differ.")

    def __repr__(self) -> str:
        return f"PerItem(items={len(self.operators)}, first={self.operators[0]!r})"

    def __getitem__(self, rows: slice) -> "PerItem":
        """Operators of a part of the batch."""
        return PerItem(self.operators[rows])

    def repeat(self, samples: int) -> "PerItem":
        """Operators of the batch repeated, as `a2a.forward.observation.Observation.repeat` repeats data."""
        return PerItem(self.operators * samples)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """k-space ``(B, coils, H, W)`` of real images ``(B, H, W)``."""
        return self._each(lambda op, part: op.forward(part), x)

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Re(A^H y): real images ``(B, H, W)`` of k-space ``(B, coils, H, W)``."""
        return self._each(lambda op, part: op.adjoint(part), y)

    def noisy(self, y: torch.Tensor, std: float, generators: Sequence[torch.Generator]) -> torch.Tensor:
        """Add noise where something is sampled, see `a2a.forward.operators.LinearOperator.noisy`."""
        return self.operators[0].noisy(y, std, generators)

    def sampled(self, y: torch.Tensor) -> torch.Tensor:
        """M y: the k-space ``(B, coils, H, W)`` with zeros where nothing was sampled."""
        return self.operators[0].sampled(y)

    def normal(self, x: torch.Tensor) -> torch.Tensor:
        """Re(A^H A x) of real images ``(B, H, W)``."""
        return self._each(lambda op, part: op.normal(part), x)

    def data_fidelity(self, b: torch.Tensor) -> DataFidelity:
        """Item by item, see `a2a.forward.operators.LinearOperator.data_fidelity`."""
        each = [op.data_fidelity(part) for op, part in self._items(b)]

        def at(z: torch.Tensor) -> FidelityAt:
            items = [near(part) for near, (_, part) in zip(each, self._items(z), strict=True)]

            def solve(lam: float | torch.Tensor) -> torch.Tensor:
                weights = torch.as_tensor(lam, dtype=z.dtype, device=z.device).expand(len(z), 1, 1)
                return torch.cat([item.solve(w) for item, w in zip(items, weights.split(1), strict=True)])

            return FidelityAt(lambda: torch.cat([item.misfit() for item in items]), solve)

        return at

    def measurements(self, height: int, width: int) -> int:
        """Real numbers measured of one image."""
        return self.operators[0].measurements(height, width)

    def trace(self, height: int, width: int) -> torch.Tensor:
        """Trace of Re(A^H A) for each item, float64 ``(B,)``."""
        return torch.tensor([op.trace(height, width) for op in self.operators], dtype=torch.float64)

    def _each(self, apply: Callable[..., torch.Tensor], batch: torch.Tensor) -> torch.Tensor:
        return torch.cat([apply(op, part) for op, part in self._items(batch)])

    def _items(self, *batches: torch.Tensor) -> Iterator[tuple[Any, ...]]:
        """Each operator with its part of the batches."""
        if len(batches[0]) != len(self.operators):
            raise InputError(f"A batch of {len(batches[0])} does not fit operators of {len(self.operators)} items.")
        return zip(self.operators, *(batch.split(1) for batch in batches), strict=True)


def _sampling(operator: CartesianSense | LineSense | PlaneSense) -> tuple[object, ...]:
    """What decides where an operator samples."""
    if isinstance(operator, CartesianSense):
        return tuple(operator.mask.flatten().tolist())
    if isinstance(operator, PlaneSense):
        return tuple(torch.cat([part.flatten() for part in (operator.mask, operator.rows, operator.columns)]).tolist())
    band = None if operator.band is None else tuple(operator.band.tolist())
    return (operator.columns, band, *operator.frequencies.tolist())
