"""Which positions of k-space are sampled; every mask is centred, with k = 0 at index ``n // 2``, and samples k = 0.

Explained in the chapter "The formulation".
"""

import numpy as np
import torch

from a2a.common.errors import InputError
from a2a.common.rng import generator

_HALVINGS = 12


def _centre(length: int, lines: int) -> slice:
    """The `lines` central positions of an axis whose k = 0 is at index length // 2."""
    start = length // 2 - lines // 2
    return slice(start, start + lines)


def equispaced_mask(n: int, acceleration: int, offset: int | None = None, acs: int = 0) -> torch.Tensor:
    """Every R-th line, and optionally a fully sampled centre (autocalibration signal).

    Line k is sampled if k = offset mod R. The default offset ``(n // 2) % R`` samples k = 0; with another one only
    calibration lines do. Real images have conjugate-symmetric k-space, so other offsets can be much easier
    to reconstruct at the same R: state the offset with every result.

    Parameters
    ----------
    n
        Number of phase-encode lines H.
    acceleration
        R; must divide n.
    offset
        First line, 0 <= offset < R.
    acs
        Number of central lines sampled in addition.

    Returns
    -------
    torch.Tensor
        Boolean ``(n,)``.

    Raises
    ------
    InputError
        If R does not divide n (the message lists what does), or offset or acs is out of range.

    Examples
    --------
    >>> equispaced_mask(8, 4).int().tolist()
    [1, 0, 0, 0, 1, 0, 0, 0]
    """
    if acceleration < 1 or n % acceleration:
        fitting = ", ".join(str(r) for r in range(2, n // 2 + 1) if n % r == 0) or "only 1"
        raise InputError(f"acceleration R = {acceleration} does not divide H = {n} lines; R could be {fitting}.")
    offset = (n // 2) % acceleration if offset is None else offset
    if not 0 <= offset < acceleration:
        raise InputError(f"offset = {offset} is out of range; with R = {acceleration} it is 0 to {acceleration - 1}.")
    if not 0 <= acs <= n:
        raise InputError(f"acs = {acs} is out of range; with H = {n} lines it is 0 to {n}.")
    mask = torch.zeros(n, dtype=torch.bool)
    mask[offset::acceleration] = True
    mask[_centre(n, acs)] = True
    return mask


def random_mask(n: int, acceleration: int, acs: int = 0, seed: int = 0) -> torch.Tensor:
    """Random lines without replacement: exactly round(n / R), the central ones included.

    Parameters
    ----------
    n
        Number of phase-encode lines H.
    acceleration
        R, at least 1.
    acs
        Number of central lines that are always sampled; the line k = 0 always is.
    seed
        Decides the lines.

    Returns
    -------
    torch.Tensor
        Boolean ``(n,)``.

    Raises
    ------
    InputError
        If round(n / R) is less than the central lines alone.
    """
    lines, centre = round(n / acceleration) if acceleration >= 1 else 0, max(acs, 1)
    if not 0 <= acs <= n or lines < centre:
        raise InputError(f"acceleration = {acceleration} with acs = {acs} is impossible for H = {n} lines.")
    score = torch.rand(n, generator=generator(seed))
    score[_centre(n, centre)] = 2.0
    mask = torch.zeros(n, dtype=torch.bool)
    mask[score.topk(lines).indices] = True
    return mask


def poisson_mask(shape: tuple[int, int], acceleration: float, acs: int = 0, seed: int = 0) -> torch.Tensor:
    """Variable-density Poisson-disc mask in both axes: random, but nowhere crowded, and denser in the centre.

    Positions are drawn in random order, and each keeps a disc of radius 1 + a r around it free of later ones, r being
    the distance from the central square relative to the half axes. The slope a is the largest for which
    round(H W / R) positions find room, so the acceleration is met exactly.

    Parameters
    ----------
    shape
        (H, W).
    acceleration
        R, the ratio of all to sampled positions, at least 1.
    acs
        Side of the fully sampled central square.
    seed
        Decides the positions.

    Returns
    -------
    torch.Tensor
        Boolean ``(H, W)``.

    Raises
    ------
    InputError
        If round(H W / R) is less than the central square alone.

    References
    ----------
    Bridson, SIGGRAPH sketches (2007). Unlike SigPy's ``poisson``, whose bisection does not end where no slope meets
    its tolerance, this always returns.
    """
    height, width = shape
    count, side = round(height * width / acceleration) if acceleration >= 1 else 0, max(acs, 1)
    if not 0 <= acs <= min(shape) or count < side**2:
        raise InputError(f"acceleration = {acceleration} with acs = {acs} is impossible for {height} x {width}.")
    order = torch.randperm(height * width, generator=generator(seed)).tolist()
    rows, columns = (np.maximum(np.abs(np.arange(n) - n // 2) - side / 2, 0) * 2 / n for n in shape)
    distance = np.hypot(rows[:, None], columns)
    low, high = 0.0, float(max(shape))
    mask = _throw_darts(order, np.ones(shape), side, count)
    for _ in range(_HALVINGS):
        slope = (low + high) / 2
        sparser = _throw_darts(order, 1 + slope * distance, side, count)
        low, high = (low, slope) if sparser is None else (slope, high)
        mask = mask if sparser is None else sparser
    return torch.from_numpy(mask)


def _throw_darts(order: list[int], radius: np.ndarray, side: int, count: int) -> np.ndarray | None:
    """Accept positions in the given order while their discs leave room, up to `count`; None if fewer find room."""
    (height, width), reach = radius.shape, int(radius.max())
    offsets = np.arange(-reach, reach + 1)
    squared = offsets[:, None] ** 2 + offsets**2
    free, mask = np.ones(radius.shape, dtype=bool), np.zeros(radius.shape, dtype=bool)
    mask[_centre(height, side), _centre(width, side)] = True
    free &= ~mask
    left = count - side**2
    for position in order:
        if left == 0:
            return mask
        row, column = divmod(position, width)
        if not free[row, column]:
            continue
        mask[row, column], left = True, left - 1
        r = int(radius[row, column])
        top, start = max(row - r, 0), max(column - r, 0)
        window = squared[reach - row + top : reach + r + 1, reach - column + start : reach + r + 1]
        patch = free[top : row + r + 1, start : column + r + 1]
        patch &= window[: patch.shape[0], : patch.shape[1]] >= radius[row, column] ** 2
    return mask if left == 0 else None
