"""What a method is told that is not so: the noise level, where the coils are, that all images lie on each other.

Explained in the chapter "When what is told is wrong".
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from pydantic import BaseModel, ConfigDict, Field
from scipy.ndimage import shift as moved_by

from a2a.common.errors import InputError
from a2a.forward.observation import Observation
from a2a.forward.operators import CartesianSense, StackOperator
from a2a.forward.stack import StackSpec
from a2a.forward.undersampling import Undersampling


class Mismatch(BaseModel):
    """How an acquisition differs from what a method is told of it; by default it does not.

    Parameters
    ----------
    noise
        The method is told so many times the true standard deviation of the noise.
    shift
        The first of the given images lies so many pixels off all others, towards larger columns.
    maps
        The method is told the coil maps so many pixels off, along the columns.
    motion
        The head moved by so many pixels along the rows, which are phase-encoded, before the upper half of the lines of
        k-space was acquired.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    noise: float = Field(1.0, gt=0, le=100)
    shift: float = Field(0.0, ge=0, le=64)
    maps: float = Field(0.0, ge=0, le=64)
    motion: float = Field(0.0, ge=0, le=64)

    def __str__(self) -> str:
        default = Mismatch()
        changed = {name: value for name, value in self if value != getattr(default, name)}
        return ", ".join(f"{name} {value:g}" for name, value in changed.items())


def acquired(
    truth: torch.Tensor,
    given: str,
    spec: StackSpec,
    undersampling: Undersampling,
    generators: Callable[[], Sequence[torch.Generator]],
    mismatch: Mismatch,
) -> Observation:
    """Simulate what was acquired of stacks, and return it as a method is told.

    Parameters
    ----------
    truth
        Stacks ``(B, n, H, W)``, image units.
    given
        The scenario.
    spec
        The stack.
    undersampling
        How k-space is acquired.
    generators
        Makes the generators of the noise, the same ones each time.
    mismatch
        What is not so.

    Raises
    ------
    InputError
        If nothing is given that could differ in this way.
    """
    seen = Observation.simulate(truth, given, spec, undersampling, generators())
    _check(seen, mismatch)
    if mismatch.shift:
        first = seen.scenario.indices("clean")[0]
        scene = truth.clone()
        scene[:, first] = moved(truth[:, first], mismatch.shift, axis=-1)
        seen = Observation.simulate(scene, given, spec, undersampling, generators())
    if mismatch.motion:
        later = Observation.simulate(moved(truth, mismatch.motion, axis=-2), given, spec, undersampling, generators())
        measured = seen.scenario.indices("measured")
        data = [_halves(y, later.data[i]) if i in measured else y for i, y in enumerate(seen.data)]
        seen = replace(seen, data=tuple(data))
    blocks = [_displaced(block, mismatch.maps) if mismatch.maps else block for block in seen.operator.blocks]
    return replace(
        seen, operator=StackOperator(tuple(blocks)), noise_std=tuple(mismatch.noise * s for s in seen.noise_std)
    )


def moved(images: torch.Tensor, pixels: float, axis: int) -> torch.Tensor:
    """Move images along an axis by cubic interpolation; what comes in from outside is 0.

    Parameters
    ----------
    images
        ``(..., H, W)``.
    pixels
        How far, towards larger indices.
    axis
        -2 or -1.
    """
    steps = [0.0] * images.ndim
    steps[axis] = pixels
    return torch.from_numpy(moved_by(images.numpy(), steps, order=3, mode="constant")).clamp(0, 1)


def _check(seen: Observation, mismatch: Mismatch) -> None:
    """Refuse a difference that would change nothing."""
    clean, measured = (seen.scenario.indices(kind) for kind in ("clean", "measured"))
    if mismatch.shift and not (clean and len(clean) + len(measured) > 1):
        raise InputError(f"mismatch: shift moves one given image off another, but {seen.scenario} has no two.")
    for name in ("noise", "maps", "motion"):
        if getattr(mismatch, name) != getattr(Mismatch(), name) and not measured:
            raise InputError(f"mismatch: {name} is of k-space, and {seen.scenario} gives none.")
    if mismatch.maps and not all(isinstance(seen.operator.blocks[i], CartesianSense) for i in measured):
        raise InputError(f"mismatch: maps are those of coils, which an operator of {seen.scenario} does not have.")


def _halves(first: torch.Tensor, later: torch.Tensor) -> torch.Tensor:
    """K-space ``(B, coils, H, W)`` whose upper half of the lines was acquired later."""
    middle = first.shape[-2] // 2
    return torch.cat([first[..., :middle, :], later[..., middle:, :]], dim=-2)


def _displaced(block: object, pixels: float) -> object:
    """The operator with its maps moved; what has no maps stays."""
    if not isinstance(block, CartesianSense):
        return block
    parts = [
        moved_by(part.numpy(), (0, 0, pixels), order=3, mode="nearest") for part in (block.maps.real, block.maps.imag)
    ]
    return CartesianSense(block.mask, torch.complex(*map(torch.from_numpy, parts)), block.iterations)
