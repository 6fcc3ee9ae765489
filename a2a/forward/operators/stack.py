"""The block-diagonal operator of a whole stack: one block for each modality."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from a2a.common.errors import InputError
from a2a.forward.operators.base import DataFidelity, FidelityAt, LinearOperator, Missing, checked_values
from a2a.forward.operators.per_item import PerItem
from a2a.forward.operators.sense import CartesianSense


@dataclass(frozen=True, eq=False)
class StackOperator:
    """A = diag(A_1, ..., A_n), acting on stacks ``(B, n, H, W)`` (any2all paper, Section II).

    Equal `CartesianSense` blocks are folded into the batch, so that several modalities sampled alike cost one solve.
    Explained in the chapter "The formulation".

    Parameters
    ----------
    blocks
        One operator for each modality, in the order of the stack.
    """

    blocks: tuple[LinearOperator, ...]

    def __post_init__(self) -> None:
        if not self.blocks:
            raise InputError("A StackOperator needs at least one block.")

    def __repr__(self) -> str:
        return f"StackOperator({', '.join(map(repr, self.blocks))})"

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, rows: slice) -> "StackOperator":
        """The operator of a part of the batch."""
        return self._with(lambda block: block[rows])

    def repeat(self, samples: int) -> "StackOperator":
        """The operator of the batch repeated."""
        return self._with(lambda block: block.repeat(samples))

    def _with(self, change: Callable[[PerItem], PerItem]) -> "StackOperator":
        """Change the blocks that know the items of a batch; without any this operator serves every batch."""
        if not any(isinstance(block, PerItem) for block in self.blocks):
            return self
        return StackOperator(tuple(change(b) if isinstance(b, PerItem) else b for b in self.blocks))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Data of each modality, ``(B, ...)`` as its operator makes them; empty ``(B, 0, H, W)`` where missing."""
        self._check(x)
        return tuple(block.forward(x[:, i]) for i, block in enumerate(self.blocks))

    def adjoint(self, data: Sequence[torch.Tensor]) -> torch.Tensor:
        """Stack ``(B, n, H, W)`` of Re(A_i^H y_i); zeros where a modality is missing."""
        if len(data) != len(self):
            raise InputError(f"Got data of {len(data)} modalities for a stack of {len(self)}.")
        images = [block.adjoint(y) for block, y in zip(self.blocks, data, strict=True)]
        if len({image.shape for image in images}) > 1:
            sizes = ", ".join(" x ".join(map(str, image.shape)) for image in images)
            raise InputError(f"An observation needs images of one size (B, H, W) for all modalities, got {sizes}.")
        return torch.stack(images, dim=1)

    def normal(self, x: torch.Tensor) -> torch.Tensor:
        """Stack ``(B, n, H, W)`` of Re(A_i^H A_i x_i)."""
        self._check(x)
        return self._put([block.normal(part) for block, part in self._parts(x)], torch.zeros_like(x))

    def prox(self, z: torch.Tensor, b: torch.Tensor, lam: float | torch.Tensor) -> torch.Tensor:
        """Per modality the minimiser of 1/2 ||y_i - A_i x_i||^2 + lam_i/2 ||x_i - z_i||^2.

        Parameters
        ----------
        z, b
            Stacks ``(B, n, H, W)``; ``b = adjoint(data)``.
        lam
            Weights >= 0: one number, one for each modality ``(n,)``, or one for each image ``(B, n)``. lam_i = 0
            replaces a clean modality by its data, bit for bit.

        Raises
        ------
        InputError
            If shapes do not fit or a weight is negative.
        """
        return self.data_fidelity(b)(z).solve(checked_values(torch.as_tensor(lam)))

    def data_fidelity(self, b: torch.Tensor) -> DataFidelity:
        """Return ``at(z)``: misfit of each modality, ``(B, n)``, and `prox` for every weight, unchecked."""
        self._check(b)
        each = [block.data_fidelity(part) for block, part in self._parts(b)]

        def at(z: torch.Tensor) -> FidelityAt:
            self._check(z)
            parts = [near(part) for near, (_, part) in zip(each, self._parts(z), strict=True)]

            def misfit() -> torch.Tensor:
                return self._put([part.misfit() for part in parts], z.new_zeros(z.shape[:2], dtype=torch.float64))

            def solve(lam: float | torch.Tensor) -> torch.Tensor:
                weights = self._parts(self._weights(lam, z))
                return self._put([part.solve(w) for part, (_, w) in zip(parts, weights, strict=True)], z.clone())

            return FidelityAt(misfit, solve)

        return at

    def _weights(self, lam: float | torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """One weight for each image of z, ``(B, n, 1, 1)``."""
        weights = torch.as_tensor(lam, dtype=z.dtype, device=z.device)
        if weights.shape not in ((), (len(self),), (1, len(self)), z.shape[:2]):
            wanted = f"a number, ({len(self)},) or {tuple(z.shape[:2])}"
            raise InputError(f"lam has shape {tuple(weights.shape)}; expected {wanted}.")
        return weights.expand(z.shape[:2])[:, :, None, None]

    @cached_property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Modalities that share one operator, by index; every other one that is given is a group of its own."""
        groups: list[list[int]] = []
        for i, block in enumerate(self.blocks):
            if isinstance(block, Missing):
                continue
            alike = (g for g in groups if isinstance(block, CartesianSense) and block.same_as(self.blocks[g[0]]))
            group = next(alike, None)
            if group is None:
                groups.append([i])
            else:
                group.append(i)
        return tuple(map(tuple, groups))

    def _parts(self, stack: torch.Tensor) -> Iterator[tuple[LinearOperator, torch.Tensor]]:
        """Each group's operator, and its modalities as one batch."""
        for group in self.groups:
            alone = len(group) == 1
            yield self.blocks[group[0]], stack[:, group[0]] if alone else stack[:, list(group)].flatten(0, 1)

    def _put(self, parts: Sequence[torch.Tensor], into: torch.Tensor) -> torch.Tensor:
        """Put what was computed for each group into a stack, which says what holds of a missing modality."""
        for group, part in zip(self.groups, parts, strict=True):
            images = [part] if len(group) == 1 else part.unflatten(0, (-1, len(group))).unbind(1)
            for i, image in zip(group, images, strict=True):
                into[:, i] = image
        return into

    def _check(self, x: torch.Tensor) -> None:
        if x.ndim != 4 or x.shape[1] != len(self):
            raise InputError(f"Stack has shape {tuple(x.shape)}; expected (B, {len(self)}, H, W).")
