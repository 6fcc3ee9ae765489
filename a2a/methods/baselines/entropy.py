"""A curriculum from simple to complicated slices, by the entropy of their grey levels (Mao et al. 2023).

Explained in the chapter "DisC-Diff".
"""

import numpy as np
import torch

LEVELS = 256
SPREAD = 0.5  # standard deviation of the entropies in a batch, in bits


def entropies(images: np.ndarray) -> np.ndarray:
    """Shannon entropy of each slice's histogram of 256 grey levels, rounded to whole bits, int ``(N,)``.

    The authors take the histogram of the distinct values of a floating-point image, which says how many pixels are not
    background; grey levels also see how much these differ.

    Parameters
    ----------
    images
        ``(N, H, W)`` in [0, 1].
    """
    return np.array([round(_entropy(np.asarray(image, dtype=np.float32))) for image in images], dtype=int)


def _entropy(image: np.ndarray) -> float:
    counts = np.bincount(np.round(image.ravel() * (LEVELS - 1)).astype(int), minlength=LEVELS)
    shares = counts[counts > 0] / image.size
    return float(-(shares * np.log2(shares)).sum())


def rows_of_entropy(values: np.ndarray, progress: float, count: int, draw: torch.Generator) -> list[int]:
    """Draw slices whose entropy is close to a level that rises from the lowest to the highest.

    The wanted entropies are normal around the level with standard deviation 0.5, truncated to the range that occurs,
    and rounded; for each a slice of that entropy, or of the nearest one that occurs, is drawn.

    Parameters
    ----------
    values
        Rounded entropy of each slice.
    progress
        How far the curriculum is, in [0, 1].
    count
        Slices to draw; a slice may come twice.
    draw
        Source of randomness.

    Returns
    -------
    list of int
        Numbers of slices.
    """
    present = np.unique(values)
    lowest, highest = float(present[0]), float(present[-1])
    level = lowest + progress * (highest - lowest)
    edges = torch.special.ndtr(torch.tensor([lowest - level, highest - level], dtype=torch.float64) / SPREAD)
    places = edges[0] + (edges[1] - edges[0]) * torch.rand(count, generator=draw, dtype=torch.float64)
    wanted = level + SPREAD * torch.special.ndtri(places).clamp(-9, 9)
    rows = []
    for value in wanted.round().tolist():
        nearest = present[np.abs(present - value).argmin()]
        candidates = np.flatnonzero(values == nearest)
        rows.append(int(candidates[int(torch.randint(len(candidates), (), generator=draw))]))
    return rows
