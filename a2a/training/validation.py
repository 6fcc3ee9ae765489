"""How well a prior denoises slices it has not seen."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from a2a.common.progress import progress
from a2a.common.rng import randn, spawn
from a2a.common.units import to_image, to_model
from a2a.prior.calibration import Calibration
from a2a.prior.denoiser import Denoiser
from a2a.prior.frequency_bands import band_covariance
from a2a.prior.principal import PrincipalEstimate
from a2a.prior.prior import Prior
from a2a.prior.target import Target

SLICES, BATCH = 48, 16
DRAWS = 6  # of noise, where a gain is measured: a few numbers of each slice decide it at the noisiest times
KEPT = 1.5  # times the best gain; up to twice, a shrunk estimate errs no more than what it is shrunk towards


def chosen_rows(count: int) -> np.ndarray:
    """Return the numbers of at most `SLICES` of `count` slices, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(SLICES, count)).round().astype(int))


def _chosen(images: np.ndarray) -> torch.Tensor:
    """At most `SLICES` slices, evenly spread over the split."""
    return torch.from_numpy(np.asarray(images[chosen_rows(len(images))], dtype=np.float32))


@torch.no_grad()
def validation_loss(network: nn.Module, images: np.ndarray, target: Target, owners: np.ndarray | None = None) -> float:
    """Return the training loss on fixed slices, times (evenly spread) and noise, in float32.

    Parameters
    ----------
    network
        Predictor.
    images
        ``(N, n, H, W)`` in [0, 1]; what is missing is NaN, is shown as noise and does not count.
    target
        What it is shown, and what it should answer.
    owners
        Number of the data set of each slice, where the network is told it.
    """
    rows_of = chosen_rows(len(images))
    clean, schedule = to_model(_chosen(images)), target.schedule
    times = torch.linspace(0, schedule.length - 1, len(clean)).round().long()
    there, told = ~clean.isnan().flatten(2).any(dim=2), None if owners is None else torch.from_numpy(owners[rows_of])
    if not bool(there.all()):
        clean, times = clean.nan_to_num(0.0), torch.where(there, times[:, None], schedule.length - 1)
    noise = randn(clean.shape[1:], spawn(0, len(clean)))
    device, total = next(network.parameters()).device, 0.0
    for rows in torch.arange(len(clean)).split(BATCH):
        shown, line = target.shown(schedule.diffuse(clean[rows], times[rows], noise[rows]), times[rows])
        own = () if told is None else (told[rows].to(device),)
        predicted = network(shown.to(device), times[rows].to(device), *own).cpu()
        errors = (predicted - target.truth(clean[rows], noise[rows], times[rows], line)).square()
        each, counted = (target.weight(times[rows], line, errors) * errors).mean(dim=(2, 3)), there[rows]
        total += float(((each * counted).sum(dim=1) / counted.sum(dim=1)).sum())
    return total / len(clean)


def calibrated(prior: Prior, train: np.ndarray, held_out: np.ndarray, components: int = 0) -> Prior:
    """Measure the errors of a prior's clean estimates and return the prior with them.

    Measured on held-out slices is the covariance of the error over time, between modalities in each frequency band of
    spatial frequency: the samplers know from it what an estimate is worth. Where the network predicts noise, so is, for
    each modality, the gain that brings the clean estimate closest to the truth when it is shrunk towards the mean
    training stack. With components, estimates of any kind are shrunk towards the linear estimate of a Gaussian, no more
    than it takes to err less than it: the more is left of the estimates of a network, the more samples look like heads.

    Parameters
    ----------
    prior
        A freshly trained prior.
    train, held_out
        Slices `(N, n, H, W)` in [0, 1].
    components
        Principal components of the training slices that clean estimates are shrunk towards; 0 for none.
    """
    times = calibration_times(prior.schedule.length)
    raw = replace(prior, calibration=None)
    if prior.predicts != "noise" and not components:
        return replace(prior, calibration=Calibration(times, denoising_error(raw, held_out, times)))
    mean = torch.from_numpy(np.mean(train, axis=0, dtype=np.float64).astype(np.float32))
    known: dict[str, torch.Tensor] = {"mean": mean}
    if components:
        found = PrincipalEstimate.fit(to_model(torch.from_numpy(np.asarray(train, np.float32))), components)
        known = {"mean": to_image(found.mean), "components": found.components, "variances": found.variances / 4}
    n = len(mean)
    blank = Calibration(times, torch.zeros(len(times), 1, n, n), torch.ones(len(times), n), **known)
    gaussian, gains, errors = blank.gaussian(mean.double()), [], []
    for t, x, x0, truth in _estimates(raw, held_out, times, DRAWS if components else 1):
        abar = prior.schedule.abar(t)
        centre = to_image(prior.clamp(gaussian(x.double(), abar**0.5, (1 - abar) ** 0.5)))
        gains.append((_gain(x0 - centre, truth - centre) * (KEPT if components else 1.0)).clamp(max=1.0))
        errors.append(_error(torch.lerp(centre, x0, gains[-1][:, None, None]), truth))
    return replace(prior, calibration=replace(blank, error=torch.stack(errors), gain=torch.stack(gains)))


def calibration_times(length: int) -> tuple[int, ...]:
    """Times at which a prior is calibrated: even, and denser in the last eighth where estimates fall apart."""
    even, late = np.linspace(0, length - 1, 24), np.linspace(0.875 * length, length - 1, 16)
    return tuple(sorted({int(t) for t in np.concatenate([even, late]).round()}))


def denoising_error(prior: Denoiser, images: np.ndarray, times: Sequence[int]) -> torch.Tensor:
    r"""Measure the error :math:`x_0 - \hat x_0(x_t)` at `times`, see `a2a.prior.frequency_bands.band_covariance`.

    Parameters
    ----------
    prior
        The denoiser.
    images
        ``(N, n, H, W)`` in [0, 1].
    times
        Time indices.

    Returns
    -------
    Tensor
        The covariance between modalities in each frequency band at each time, `(times, K, n, n)`, squared image units.
    """
    return torch.stack([_error(x0, truth) for *_, x0, truth in _estimates(prior, images, times)])


def _error(estimate: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    return band_covariance(estimate - truth).round(decimals=8)


def _gain(estimate: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Least-squares factor of the estimate for each modality, in [0, 1]."""
    inner = (estimate * truth).sum(dim=(0, 2, 3))
    return (inner / estimate.square().sum(dim=(0, 2, 3)).clamp(min=1e-12)).clamp(0, 1)


@torch.no_grad()
def _estimates(
    prior: Denoiser, images: np.ndarray, times: Sequence[int], draws: int = 1
) -> Iterator[tuple[int, torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Denoise the chosen slices at each time: the time, noisy stacks, clean estimates and truth in image units."""
    truth, like = _chosen(images).repeat(draws, 1, 1, 1), prior.like
    noise = randn(truth.shape[1:], spawn(1, len(truth)))
    for t in progress(times, "measuring the clean estimate"):
        noisy = prior.schedule.diffuse(to_model(truth), torch.full((len(truth),), t), noise)
        estimates = [to_image(prior.predict(part.to(like), t)).cpu() for part in noisy.split(BATCH)]
        yield t, noisy, torch.cat(estimates).double(), truth.double()
