"""Batches made ahead of time, by several processes that read one store.

A worker computes whole batches, and the batch of a step depends on the step alone, so that neither the number of
workers nor that of devices changes what is learned. Explained in the chapter "The diffusion prior".
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from a2a.common.rng import generator
from a2a.data.store.read import release
from a2a.training.batches import ROW, augment, share
from a2a.training.objective import Objective

_AHEAD = 4


@dataclass(frozen=True, eq=False)
class Steps(Dataset):
    """The inputs of training steps by number, for one of several devices.

    The memory map is opened where it is first read: a process that receives a copy opens its own.

    Parameters
    ----------
    objective
        Says which slices of the split ``train`` a step reads and makes its inputs of them.
    rank, world
        Which share of each batch, of how many.
    """

    objective: Objective
    rank: int = 0
    world: int = 1

    def __getitem__(self, step: int) -> tuple[Tensor, ...]:
        config = self.objective.config
        rows, places = self.objective.rows(step, len(self._images)), share(config.batch, self.rank, self.world)
        draws = [generator(config.seed, ROW, step, place) for place in places]
        slices = [self.objective.read(self._images, rows[place]) for place in places]
        clean = [augment(image, config.augmentation, draw) for image, draw in zip(slices, draws, strict=True)]
        release(self._images)
        return self.objective.inputs(torch.stack(clean), draws, step)

    @cached_property
    def _images(self) -> np.ndarray:
        return self.objective.store.split("train").images


def load(steps: Steps, numbers: Sequence[int], workers: int = 0) -> Iterator[tuple[Tensor, ...]]:
    """Yield the inputs of the steps `numbers`, in this order.

    Parameters
    ----------
    steps
        Where they come from.
    numbers
        Steps, such as ``range(first, last)``.
    workers
        Processes that make them ahead of time; 0 makes each when it is asked for. A worker holds up to four.

    Yields
    ------
    tuple of Tensor
        See `a2a.training.objective.Objective.inputs`; in the main memory.
    """
    yield from DataLoader(
        steps,
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        prefetch_factor=_AHEAD if workers else None,
        generator=torch.Generator(),  # the seed of workers, which draw nothing from it; the global one stays untouched
    )
