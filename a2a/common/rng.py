"""Randomness that belongs to a sample, not to a batch.

Every random number of the package comes from an explicit `torch.Generator`, one per sample, so that
neither the batch size nor the order of work changes a result, and seed 0 is a seed like any other.
"""

from collections.abc import Sequence

import numpy as np
import torch


def generator(*key: int) -> torch.Generator:
    """Return a CPU generator that depends on the whole key, e.g. ``generator(seed, sample, item)``.

    Parameters
    ----------
    *key
        Non-negative integers; different keys give independent streams (NumPy's `SeedSequence`), but for chance: a CPU
        generator uses 32 bits of its seed, so that of k keys about k^2 / 2^33 pairs share a stream.
    """
    state = np.random.SeedSequence(list(key)).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


def spawn(seed: int, items: Sequence[int] | int, samples: int = 1) -> list[torch.Generator]:
    """Return one generator for each (sample, item), sample by sample.

    Parameters
    ----------
    seed
        The user's seed.
    items
        Identities of the batch items (a number means ``range(number)``). An item keeps its random
        numbers whichever batch it is processed in.
    samples
        Posterior samples per item.

    Returns
    -------
    list of torch.Generator
        Length ``samples * len(items)``, in the order in which `(S, B)` is flattened.
    """
    ids = range(items) if isinstance(items, int) else items
    return [generator(seed, s, int(i)) for s in range(samples) for i in ids]


def randn(
    shape: Sequence[int], generators: Sequence[torch.Generator], like: torch.Tensor | None = None
) -> torch.Tensor:
    """Draw standard normal noise of shape ``(len(generators), *shape)``, each row from its own generator.

    The numbers are drawn on the CPU in float32 and moved to the device and dtype of `like`, so a GPU
    sees the same noise.

    Parameters
    ----------
    shape
        Of one row.
    generators
        One for each row.
    like
        Gives device and dtype; None leaves float32 on the CPU.
    """
    noise = torch.empty(len(generators), *shape)
    for row, drawn_by in zip(noise, generators, strict=True):
        torch.randn(tuple(shape), generator=drawn_by, out=row)
    return noise if like is None else noise.to(device=like.device, dtype=like.dtype)
