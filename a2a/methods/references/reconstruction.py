"""References for undersampled modalities: the zero-filled image and Tikhonov-regularised SENSE."""

from collections.abc import Sequence

import numpy as np
import torch

from a2a.common.errors import InputError
from a2a.evaluation.metrics import psnr
from a2a.forward.observation import Observation

LAMBDAS = tuple(float(v) for v in np.geomspace(1e-4, 1.0, 25))
"""Weights tried by `tune_lambda`: six a decade."""


def zero_filled(observation: Observation) -> torch.Tensor:
    """Return the zero-filled images Re(A^H y).

    The plain adjoint of the orthonormal transform, without density compensation: at acceleration R its
    intensities are about 1 / R of the truth, which is what the data alone imply.

    Parameters
    ----------
    observation
        What was acquired.

    Returns
    -------
    torch.Tensor
        Stack ``(B, n, H, W)`` in image units: clean modalities as given, missing ones zero.
    """
    return observation.adjoint


def tikhonov_sense(observation: Observation, lam: float) -> torch.Tensor:
    """Return the SENSE reconstruction argmin_x 1/2 ||y - A x||^2 + lam/2 ||x||^2 of real images.

    Parameters
    ----------
    observation
        What was acquired.
    lam
        Weight >= 0, the same for every undersampled modality; see `tune_lambda`.

    Returns
    -------
    torch.Tensor
        Stack ``(B, n, H, W)`` in image units: clean modalities as given, missing ones zero.

    Raises
    ------
    InputError
        If `lam` is negative or not finite.

    References
    ----------
    Pruessmann et al., "SENSE: sensitivity encoding for fast MRI", Magnetic Resonance in Medicine 42, 1999;
    with the regularisation of Lin et al., Magnetic Resonance in Medicine 51, 2004.
    """
    adjoint = observation.adjoint
    weights = torch.tensor([lam if kind == "measured" else 0.0 for kind in observation.kinds], dtype=adjoint.dtype)
    return observation.operator.prox(torch.zeros_like(adjoint), adjoint, weights)


def tune_lambda(observation: Observation, target: torch.Tensor, grid: Sequence[float] = LAMBDAS) -> float:
    """Return the weight of `tikhonov_sense` with the best PSNR.

    Tune on validation subjects only.

    Parameters
    ----------
    observation
        Simulated from `target`, with at least one measured modality.
    target
        True stacks ``(B, n, H, W)``, image units.
    grid
        Weights to try. The mean PSNR over slices and measured modalities decides.

    Raises
    ------
    InputError
        If no modality is measured, the grid is empty, or the shapes differ.
    """
    measured = [i for i, kind in enumerate(observation.kinds) if kind == "measured"]
    if not measured or not len(grid):
        raise InputError("tune_lambda needs an observation with a measured modality, such as y(T1), and a grid.")
    truth = target[:, measured]
    scores = [psnr(truth, tikhonov_sense(observation, lam)[:, measured]).mean() for lam in grid]
    return float(grid[int(np.argmax(scores))])
