"""Which slices a training step sees, and how they are changed: pure functions of (seed, step).

Nothing needs to be saved or restored: a resumed run sees the data in the order in which the uninterrupted run would
have, and several processes can take their share of it without talking to each other.
"""

import math
from collections.abc import Hashable, Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from a2a.common.rng import generator
from a2a.training.config import Augmentation

ORDER, ROW, STEP, NETWORK, CROP, LABEL = 1, 2, 3, 4, 5, 6  # purposes of random streams, part of the key


def rows_of_step(seed: int, step: int, batch: int, slices: int) -> list[int]:
    """Return the slice numbers of a step: a new permutation of all slices each epoch.

    Parameters
    ----------
    seed
        Of the run.
    step
        Counted from 0.
    batch
        Slices of a step.
    slices
        Slices of the training split.
    """
    first = step * batch
    rows = []
    for epoch in range(first // slices, (first + batch - 1) // slices + 1):
        start = max(first - epoch * slices, 0)
        rows += _order(seed, epoch, slices)[start : first + batch - epoch * slices].tolist()
    return rows


def consistent_rows(keys: tuple[Hashable, ...], seed: int, step: int, batch: int) -> list[int]:
    """Return the slice numbers of a step so that all have the same key (MCBS, Zhang et al. 2026).

    In each epoch the slices of a key are filled up to a multiple of `batch` by random ones of their own, shuffled and
    cut into batches; then the batches of all keys are shuffled. An epoch has as many steps as there are batches.

    Parameters
    ----------
    keys
        Of every slice, such as its data set and which modalities it has.
    seed
        Of the run.
    step
        Counted from 0.
    batch
        Slices of a step.
    """
    groups = _groups(keys)
    steps = sum(-(-len(rows) // batch) for rows in groups)
    return _consistent(groups, seed, step // steps, batch)[step % steps]


def drawn_among(chosen: Sequence[int], rows: list[int], share: float, seed: int, step: int) -> list[int]:
    """Return the slice numbers of a step with a random share of them drawn anew, among some slices.

    Parameters
    ----------
    chosen
        The slices that are to come more often.
    rows
        Slice numbers of the step.
    share
        What share of them is drawn anew, in [0, 1].
    seed, step
        Of the run, and its number.
    """
    draw = generator(seed, LABEL, step)
    anew, which = (
        torch.rand(len(rows), generator=draw) < share,
        torch.randint(len(chosen), (len(rows),), generator=draw),
    )
    return [int(chosen[i]) if other else row for row, other, i in zip(rows, anew, which, strict=True)]


@lru_cache(maxsize=2)
def _groups(keys: tuple[Hashable, ...]) -> tuple[tuple[int, ...], ...]:
    """Numbers of the slices of each key, in the order in which the keys come."""
    groups: dict[Hashable, list[int]] = {}
    for row, key in enumerate(keys):
        groups.setdefault(key, []).append(row)
    return tuple(map(tuple, groups.values()))


@lru_cache(maxsize=2)
def _consistent(groups: tuple[tuple[int, ...], ...], seed: int, epoch: int, batch: int) -> list[list[int]]:
    """The batches of an epoch."""
    draw, batches = generator(seed, ORDER, epoch), []
    for group in groups:
        more = torch.randint(len(group), (-len(group) % batch,), generator=draw)
        filled = torch.tensor([*group, *(group[i] for i in more.tolist())])
        batches += filled[torch.randperm(len(filled), generator=draw)].split(batch)
    return [batches[i].tolist() for i in torch.randperm(len(batches), generator=draw).tolist()]


def share(batch: int, rank: int, world: int) -> range:
    """Places in the batch of a step that process `rank` of `world` computes; together they are all, each once.

    Parameters
    ----------
    batch
        Slices of a step.
    rank
        Of this process.
    world
        Number of processes.
    """
    return range(rank, batch, world)


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, slices: int) -> Tensor:
    """The permutation of all slices in an epoch; drawing it for 50,000 slices takes longer than reading a batch."""
    return torch.randperm(slices, generator=generator(seed, ORDER, epoch))


def augment(image: Tensor, config: Augmentation, draw: torch.Generator) -> Tensor:
    """Apply one random flip, affine map, gain and gamma to a slice `(n, H, W)` in [0, 1], or to several alike.

    All numbers are drawn whatever the configuration, so that switching one change off leaves the others.

    Parameters
    ----------
    image
        ``(n, H, W)`` or ``(k, n, H, W)`` in [0, 1].
    config
        What is changed, and how much.
    draw
        Source of the numbers.
    """
    flip = torch.rand((), generator=draw) < config.flip
    angle, zoom, dx, dy = torch.randn(4, generator=draw).tolist()
    gain, gamma = torch.randn(2, image.shape[-3], 1, 1, generator=draw)
    if flip:
        image = image.flip(-1)
    if config.rotate or config.scale or config.shift:
        a, z = math.radians(angle * config.rotate), math.exp(zoom * config.scale)
        matrix = torch.tensor(
            [
                [z * math.cos(a), -z * math.sin(a), 2 * dx * config.shift],
                [z * math.sin(a), z * math.cos(a), 2 * dy * config.shift],
            ]
        )
        several = image.reshape(-1, *image.shape[-3:])
        grid = F.affine_grid(matrix.expand(len(several), -1, -1), several.shape, align_corners=False)
        moved = F.grid_sample(several, grid, mode="bicubic", padding_mode="zeros", align_corners=False)
        missing = several[:, :, :1, :1].isnan()
        image = torch.where(missing, several, moved).reshape(image.shape)
        image = image.clamp(0, 1)  # bicubic interpolation keeps detail, and overshoots at edges
    if config.gain or config.gamma:
        image = (image ** (gamma * config.gamma).exp() * (gain * config.gain).exp()).clamp(0, 1)
    return image
