"""Batches made ahead of time, by several processes that read one store.

A worker computes whole batches, and the batch of a step depends on the step alone, so that neither the number of
workers nor that of devices changes what is learned. Explained in the chapter "The diffusion prior".
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from a2a.data.store import SliceStore
from a2a.diffusion import NoiseSchedule
from a2a.training.batches import Batch, make_batch
from a2a.training.config import TrainConfig

_AHEAD = 4


@dataclass(frozen=True, eq=False)
class Steps(Dataset):
    """The training batches by step, for one of several devices.

    The memory map is opened where it is first read: a process that receives a copy opens its own.

    Parameters
    ----------
    store
        Its split ``train`` is read.
    schedule, config
        See `a2a.training.batches.make_batch`.
    rank, world
        Which share of each batch, of how many.
    """

    store: SliceStore
    schedule: NoiseSchedule
    config: TrainConfig
    rank: int = 0
    world: int = 1

    def __getitem__(self, step: int) -> Batch:
        return make_batch(self._images, self.schedule, self.config, step, self.rank, self.world)

    @cached_property
    def _images(self) -> np.ndarray:
        return self.store.split("train").images


def load(steps: Steps, numbers: Sequence[int], workers: int = 0) -> Iterator[Batch]:
    """Yield the batches of the steps `numbers`, in this order.

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
    Batch
        In the main memory.
    """
    yield from DataLoader(
        steps,
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        prefetch_factor=_AHEAD if workers else None,
        generator=torch.Generator(),  # the seed of workers, which draw nothing from it; the global one stays untouched
    )
