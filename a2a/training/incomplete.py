"""What the errors of a prior are where subjects lack modalities: pairs count where both were seen together."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from a2a.common.progress import progress
from a2a.common.rng import randn, spawn
from a2a.common.units import to_image, to_model
from a2a.data.store.datasets import identifiers, keys_of
from a2a.data.store.read import SliceStore
from a2a.prior.calibration import Calibration
from a2a.prior.frequency_bands import band_covariance
from a2a.prior.prior import Prior
from a2a.training.validation import BATCH, calibration_times, chosen_rows


def calibrated_in_part(prior: Prior, store: SliceStore) -> Prior:
    """Measure the errors of a prior's clean estimates on the validation split of a collection, and return it with them.

    The covariance of two modalities is measured on the slices that have both; of two that no slice has together
    nothing is known, and they count as independent. What is pieced together so need not be a covariance: its negative
    eigenvalues are set to 0.

    Parameters
    ----------
    prior
        A freshly trained prior whose card says its data sets.
    store
        The collection.
    """
    split, names = store.split("val"), identifiers(store)
    rows, keys, times = chosen_rows(len(split)), keys_of(store, split), calibration_times(prior.schedule.length)
    groups: dict[tuple[int, tuple[bool, ...]], list[int]] = {}
    for row in rows.tolist():
        groups.setdefault(keys[row], []).append(row)
    tables = []
    for t in progress(times, "measuring the clean estimate"):
        sums, counts = torch.zeros(()), torch.zeros(())
        for (number, available), members in groups.items():
            missing = tuple(i for i, there in enumerate(available) if not there)
            told = replace(prior.told(names[number]), absent=missing)
            images = torch.from_numpy(np.asarray(split.images[members], dtype=np.float32))
            covariance, there = band_covariance(_error(told, images, t)), torch.tensor(available, dtype=torch.float64)
            sums, counts = sums + len(members) * covariance, counts + len(members) * torch.outer(there, there)
        tables.append(nearest_covariance(sums / counts.clamp(min=1)).round(decimals=8))
    return replace(prior, calibration=Calibration(times, torch.stack(tables)))


def nearest_covariance(pieces: Tensor) -> Tensor:
    """Return symmetric matrices with their negative eigenvalues set to 0, but for a trace that keeps them regular.

    Parameters
    ----------
    pieces
        ``(..., n, n)``, symmetric.
    """
    values, vectors = torch.linalg.eigh(pieces)
    floor = 1e-8 * values.amax(dim=-1, keepdim=True).clamp(min=0)
    return vectors @ torch.diag_embed(torch.maximum(values, floor)) @ vectors.mT


@torch.no_grad()
def _error(prior: Prior, images: Tensor, t: int) -> Tensor:
    """Error of the clean estimate, image units; 0 in modalities that are missing."""
    truth = images.nan_to_num(0.5)
    noise = randn(truth.shape[1:], spawn(1, len(truth)))
    noisy = prior.schedule.diffuse(to_model(truth), torch.full((len(truth),), t), noise)
    estimates = [to_image(prior.predict(part.to(prior.like), t)).cpu() for part in noisy.split(BATCH)]
    return torch.where(images.isnan(), 0.0, torch.cat(estimates) - truth).double()
