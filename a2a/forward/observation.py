"""What was acquired of a stack: the pair (A, y) with its noise levels.

Explained in the chapter "The formulation".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch

from a2a.common.errors import InputError
from a2a.common.rng import generator, spawn
from a2a.forward.adjacent import Adjacent
from a2a.forward.measured import (
    AnyKSpace,
    Measured,
    as_tensor,
    consistent,
    norm2,
    scaled_image,
)
from a2a.forward.operators import DataFidelity, Identity, LinearOperator, Missing, StackOperator
from a2a.forward.scenario import Kind, Scenario
from a2a.forward.stack import StackSpec
from a2a.forward.undersampling import Undersampling


@dataclass(frozen=True, eq=False)
class Observation:
    """Data y = A x + noise of B stacks that were acquired alike.

    Parameters
    ----------
    spec
        The stack.
    scenario
        How each modality is given.
    operator
        A, with one block for each modality.
    data
        y: for each modality an image ``(B, H, W)``, k-space ``(B, coils, H, W)``, data ``(B, ...)`` of another
        operator, or empty ``(B, 0, H, W)``.
    noise_std
        For each modality, of the image or of each real and imaginary part of k-space, in image units; 0 where exact
        or missing.
    support
        ``bool (B, n, H, W)``, False where a modality is known to be 0, such as around a skull-stripped brain; None
        where nothing is known.
    adjacent
        The slices that lie below and above each stack in a volume, where they are known.

    Examples
    --------
    >>> spec = StackSpec.of("T1", "T2FLAIR")
    >>> Observation.simulate(torch.rand(3, 2, 16, 16), "T1 + y(FLAIR)", spec)
    Observation('T1 + y(T2FLAIR)', shape=(3, 16, 16))
    """

    spec: StackSpec
    scenario: Scenario
    operator: StackOperator
    data: tuple[torch.Tensor, ...] = field(repr=False)
    noise_std: tuple[float, ...]
    support: torch.Tensor | None = field(default=None, repr=False)
    adjacent: Adjacent | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        counts = {len(self.spec), len(self.scenario.kinds), len(self.operator), len(self.data), len(self.noise_std)}
        if len(counts) > 1 or len({len(y) for y in self.data}) > 1:
            batches = ", ".join(str(len(y)) for y in self.data)
            raise InputError(f"An observation needs data of one batch for each of its modalities, got {batches}.")

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """``"clean"``, ``"measured"`` or ``"missing"`` for each modality."""
        return self.scenario.kinds

    @cached_property
    def missing(self) -> torch.Tensor:
        """Which modalities are missing, boolean ``(n, 1, 1)`` on the device of the data."""
        kinds = [kind == "missing" for kind in self.kinds]
        return torch.tensor(kinds, device=self.data[0].device)[:, None, None]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(B, H, W)."""
        return (len(self.adjoint), *self.adjoint.shape[-2:])

    @cached_property
    def adjoint(self) -> torch.Tensor:
        """b = Re(A^H y), ``(B, n, H, W)``: clean images, zero-filled reconstructions, and zeros."""
        with torch.inference_mode(False):
            return self.operator.adjoint(self.data)

    @cached_property
    def data_fidelity(self) -> DataFidelity:
        """What the data say of a stack ``(B, n, H, W)``, see `a2a.forward.operators.LinearOperator.data_fidelity`."""
        with torch.inference_mode(False):
            return self.operator.data_fidelity(self.adjoint)

    @cached_property
    def energy(self) -> torch.Tensor:
        """||y_i||^2 of each modality, ``(B, n)``, float64."""
        with torch.inference_mode(False):
            return torch.stack([norm2(y) for y in self.data], dim=1)

    @cached_property
    def constants(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Energy of the noise m_i sigma_i^2 ``(n,)``, m_i being the count of real numbers that are measured, trace of
        A_i^H A_i ``(B, n)`` (infinite where nothing is), and sigma_i^2 ``(n,)``; float64.
        """
        like = self.data[0].new_empty(0, dtype=torch.float64)
        blocks, (items, *size) = self.operator.blocks, self.shape
        with torch.inference_mode(False):
            trace = torch.stack([torch.as_tensor(b.trace(*size)).to(like).expand(items) for b in blocks], dim=1)
            numbers = like.new_tensor([block.measurements(*size) for block in blocks])
            noise = like.new_tensor(self.noise_std).square()
            return numbers * noise, trace.where(trace > 0, torch.inf), noise

    def residual_norm2(self, x: torch.Tensor) -> torch.Tensor:
        """||y_i - A_i x_i||^2 of each modality of a stack ``(B, n, H, W)``, without k-space: ``(B, n)``, float64.

        Computed as ||A x||^2 - 2 <x, b> + ||y||^2, summed in float64 and clipped at 0. Rounding
        makes a k-space residual uncertain by about 1e-7 ||y_i||^2 in float32; one of a clean modality is exact.
        """
        return (self.data_fidelity(x).misfit() + self.energy).clamp_min(0)

    def misfit_gradient(self, x: torch.Tensor) -> torch.Tensor:
        """Gradient of sum_i ||y_i - A_i x_i|| with respect to x: (N x - b)_i / ||y_i - A_i x_i||.

        Each modality of each item has its own norm (DPS, Chung et al. 2023, with one norm for each). Zero where
        nothing is given or the data are met exactly.

        Parameters
        ----------
        x
            Stack ``(B, n, H, W)`` in image units.

        Returns
        -------
        torch.Tensor
            ``(B, n, H, W)``.
        """
        norm = self.residual_norm2(x).sqrt()
        inverse = torch.where(norm > 0, 1 / norm, 0.0).to(x.dtype)
        return (self.operator.normal(x) - self.adjoint) * inverse[:, :, None, None]

    def to(self, like: torch.Tensor) -> "Observation":
        """Bring the data to the device and the real precision of `like`; the operators follow by themselves."""
        kinds = {True: like.dtype.to_complex(), False: like.dtype}
        return replace(self, data=tuple(y.to(like.device, kinds[y.is_complex()]) for y in self.data))

    def __getitem__(self, rows: slice) -> "Observation":
        """Take a slice of the batch: ``observation[2:4]``."""
        if not isinstance(rows, slice):
            raise InputError(f"An observation is cut by a slice such as [0:1], got [{rows!r}].")
        operator, data = self.operator[rows], tuple(y[rows] for y in self.data)
        support = None if self.support is None else self.support[rows]
        adjacent = None if self.adjacent is None else self.adjacent[rows]
        return replace(self, operator=operator, data=data, support=support, adjacent=adjacent)

    def repeat(self, samples: int) -> "Observation":
        """Repeat the batch, for several posterior samples at once: row s B + b is sample s of item b."""
        data = tuple(y.repeat(samples, *[1] * (y.ndim - 1)) for y in self.data)
        support = None if self.support is None else self.support.repeat(samples, 1, 1, 1)
        adjacent = None if self.adjacent is None else self.adjacent.repeat(samples)
        operator = self.operator.repeat(samples)
        return replace(self, operator=operator, data=data, support=support, adjacent=adjacent)

    def joined(self, more: "Observation") -> "Observation":
        """Add what another observation gives of the same stacks; of a modality that both give, `more` is kept.

        Raises
        ------
        InputError
            If it is of other modalities, or of another batch or size.
        """
        if (more.spec.names, more.shape) != (self.spec.names, self.shape):
            raise InputError(f"joined: {more!r} of {more.spec.names} is not of the stacks of {self!r}.")
        parts = list(enumerate(self if kind == "missing" else more for kind in more.kinds))
        kinds, labels = (tuple(getattr(o.scenario, each)[i] for i, o in parts) for each in ("kinds", "labels"))
        data, noise_std = (tuple(getattr(o, each)[i] for i, o in parts) for each in ("data", "noise_std"))
        operator = StackOperator(tuple(o.operator.blocks[i] for i, o in parts))
        scenario = Scenario(self.spec.names, kinds, labels)
        return replace(self, scenario=scenario, operator=operator, data=data, noise_std=noise_std)

    def __repr__(self) -> str:
        return f"Observation({str(self.scenario)!r}, shape={self.shape})"

    @classmethod
    def simulate(
        cls,
        x: torch.Tensor | np.ndarray,
        text: str,
        spec: StackSpec,
        undersampling: Undersampling = Undersampling(),  # noqa: B008 - frozen, so one default serves all calls
        generators: Sequence[torch.Generator] | None = None,
        clean_noise_std: float = 0.0,
        operators: Mapping[str, tuple[LinearOperator, float]] | None = None,
    ) -> "Observation":
        """Simulate the acquisition of complete stacks.

        Each generator is advanced by the same amount whatever the scenario, and a modality gets the same noise
        whichever others are given: differences between scenarios are never differences of noise.

        Parameters
        ----------
        x
            Complete stacks ``(B, n, H, W)`` in image units, a tensor or a NumPy array.
        text
            The scenario, such as ``"T1 + y(T2FLAIR)"``.
        spec
            The stack.
        undersampling
            How k-space is acquired. Noise is added to the real and to the imaginary part of sampled positions only.
        generators
            One generator for each item, see `a2a.common.rng.generators`; by default those of seed 0.
        clean_noise_std
            Standard deviation of the noise on clean images.
        operators
            Operators that the scenario names, as ``"CT@20views"`` does, with the standard deviation of their noise.

        Raises
        ------
        InputError
            If the scenario, x or the number of generators is wrong, the mask cannot be made, or an operator is not
            there or is not consistent.
        """
        scenario, x = Scenario.parse(text, spec), as_tensor("x", x)
        if x.ndim != 4 or not len(x) or x.shape[1] != len(spec) or not bool(x.isfinite().all()):
            raise InputError(f"x must be finite (B, {len(spec)}, H, W) for {spec.names}; its shape is {(*x.shape,)}.")
        if not 0 <= clean_noise_std < float("inf"):
            raise InputError(f"clean_noise_std = {clean_noise_std} must be finite, and 0 or positive.")
        generators = spawn(0, len(x)) if generators is None else generators
        if len(generators) != len(x):
            raise InputError(f"generators: got {len(generators)} for {len(x)} items; one for each is needed.")
        named = _named(scenario, operators or {}, *x.shape[-2:])
        given = {"clean": (Identity(), clean_noise_std), "missing": (Missing(), 0.0)}
        if any(kind == "measured" and not label for kind, label in zip(scenario.kinds, scenario.labels, strict=True)):
            given["measured"] = (undersampling.operator(*x.shape[-2:]), undersampling.noise_std)
        each = zip(scenario.kinds, scenario.labels, strict=True)
        blocks, noise_std = zip(*(named[label] if label else given[kind] for kind, label in each), strict=True)
        operator = StackOperator(blocks)
        seeds = [int(torch.randint(2**62, (), generator=g)) for g in generators]
        data = tuple(
            block.noisy(y, std, [generator(seed, i) for seed in seeds])
            for i, (y, block, std) in enumerate(zip(operator.forward(x), blocks, noise_std, strict=True))
        )
        return cls(spec, scenario, operator, data, noise_std)

    @classmethod
    def build(
        cls,
        spec: StackSpec,
        images: Mapping[str, torch.Tensor | np.ndarray],
        measured: Mapping[str, AnyKSpace | Measured],
        shape: tuple[int, int, int] | None = None,
    ) -> "Observation":
        """Observe what a user has; modalities that are not named are missing.

        Parameters
        ----------
        spec
            The stack.
        images
            Clean images ``(B, H, W)`` in [0, 1], tensors or NumPy arrays, by modality name or alias.
        measured
            k-space, or data with an operator of their own, by modality name or alias.
        shape
            (B, H, W); only needed where nothing is given.

        Raises
        ------
        InputError
            If a modality is unknown or given twice, sizes differ, k-space does not fit its maps, values are not
            finite, or an image is not scaled to [0, 1].
        """
        parts: dict[int, tuple[Kind, LinearOperator, torch.Tensor, float]] = {}
        for name in (*images, *measured):
            index = spec.index(name)
            if index in parts or (name in images and name in measured):
                raise InputError(f"{spec.names[index]} is given twice; give it either as an image or as k-space.")
            if name in images:
                parts[index] = ("clean", Identity(), scaled_image(name, images[name]), 0.0)
            else:
                given = measured[name]
                if not isinstance(given, AnyKSpace | Measured):
                    raise InputError(f"k-space of {name} is of type {type(given).__name__}; expected a KSpace.")
                parts[index] = ("measured", *given.measurement(name), float(given.noise_std))
        sizes = {spec.names[i]: _size(block.adjoint(y)) for i, (_, block, y, _) in sorted(parts.items())}
        shape = shape or next(iter(sizes.values()), None)
        if shape is None:
            raise InputError("Nothing is given, so shape = (B, H, W) must say what to complete.")
        if set(sizes.values()) - {tuple(shape)}:
            raise InputError(f"Sizes (B, H, W) must all be {tuple(shape)}, got {sizes}.")
        like = next((y.real for _, _, y, _ in parts.values()), torch.zeros(0))
        nothing = ("missing", Missing(), like.new_zeros(shape[0], 0, *shape[1:]), 0.0)
        kinds, blocks, data, noise_std = zip(*(parts.get(i, nothing) for i in range(len(spec))), strict=True)
        return cls(spec, Scenario(spec.names, kinds), StackOperator(blocks), data, noise_std)


def _size(images: torch.Tensor) -> tuple[int, int, int]:
    """(B, H, W) of images."""
    return images.shape[0], images.shape[1], images.shape[2]


def _named(
    scenario: Scenario, operators: Mapping[str, tuple[LinearOperator, float]], height: int, width: int
) -> dict[str, tuple[LinearOperator, float]]:
    """Return the operators that a scenario names, each with its noise level; refuse what is missing or inconsistent."""
    wanted = dict.fromkeys(label for label in scenario.labels if label)
    if unknown := [label for label in wanted if label not in operators]:
        raise InputError(f"operators: the scenario {scenario!s} names {unknown[0]!r}, but it is not there.")
    return {label: (consistent(label, operators[label][0], height, width), operators[label][1]) for label in wanted}
