"""What is measured of the completions of a split: per subject, per slice, and of all slices together."""

import numpy as np
import pandas as pd
import torch

from a2a.common.errors import InputError
from a2a.evaluation.calibration import coverage, fair_crps
from a2a.evaluation.frechet import frechet_distance, standardised
from a2a.evaluation.metrics import mae, psnr, ssim, subject_table
from a2a.evaluation.physical import physical_table
from a2a.evaluation.radiomics import radiomic_features
from a2a.evaluation.regions import HEAD, heads, region_table
from a2a.evaluation.sharpness import sharpness_table
from a2a.forward.stack import StackSpec
from a2a.methods.tissues import Tissues

EVERYBODY = "all subjects"
"""In place of a subject where a number, such as a Fréchet distance, is one of the whole split."""

HALVES = 40
Features = tuple[np.ndarray, np.ndarray]

LEVELS = (0.5, 0.8, 0.9)


def measured(
    truth: torch.Tensor,
    completed: torch.Tensor,
    subjects: np.ndarray,
    spec: StackSpec,
    targets: tuple[str, ...],
    acceleration: int | None = None,
    lesion: np.ndarray | None = None,
    paired: bool = True,
    learned: Tissues | None = None,
) -> pd.DataFrame:
    """Measure the targets of completed stacks.

    Parameters
    ----------
    truth, completed
        Stacks ``(N, n, H, W)`` in image units; modalities that are not targets may be NaN.
    subjects
        Of the N slices.
    spec, targets
        The stack, and which of its modalities to measure.
    acceleration
        Of k-space that was given, for ``aliasing``; None leaves it out.
    lesion
        Where a lesion is, bool ``(N, H, W)``, for `a2a.evaluation.regions.region_table`; None leaves it out.
    paired
        Whether the completed stacks show the heads of the truth; samples from nothing do not.
    learned
        The network whose features ``dfd`` compares; None leaves it out.

    Returns
    -------
    pandas.DataFrame
        ``subject, modality, metric, value``: for each subject those of `a2a.evaluation.metrics.subject_table` and
        `a2a.evaluation.sharpness.sharpness_table`; where they are paired also ``psnr``, ``ssim`` and ``mae`` with the
        ends ``_head`` and ``_air``, and what `a2a.evaluation.physical.physical_table` says; for all slices ``rfd``, the
        radiomic Fréchet distance inside the head of the truth (of each stack where they are not paired), and
        ``rfd_half``, the same of random halves of the subjects, the same halves for all methods, whose spread is the
        standard error of rfd (`a2a.evaluation.finite_sample.subsampled`); and ``dfd`` and ``dfd_half``, the same of
        learned features, of images that are black outside the head.
    """
    channels = [spec.index(name) for name in targets]
    x, y, only = truth[:, channels].numpy(), completed[:, channels].numpy(), spec.only(channels)
    inside = heads(truth.numpy())
    looked = inside if paired else heads(completed.numpy())
    tables = [subject_table(x, y, subjects, only)]
    tables.append(sharpness_table(x, y.clip(0, 1), subjects, only, acceleration, paired))
    if paired:
        regions = {"head": inside, "air": ~inside} | ({} if lesion is None else {"lesion": lesion})
        tables += [region_table(x, y, regions, subjects, only), physical_table(x, y, inside, subjects, only)]
    for channel, name in enumerate(only.names):
        features = radiomic_features(x[:, channel], inside), radiomic_features(y[:, channel].clip(0, 1), looked)
        tables.append(_distances("rfd", *features, subjects, name))
        if learned is not None:
            seen = [
                (learned.features(np.where(mask, image[:, channel].clip(0, 1), 0)[kept]), kept)
                for image, mask, (_, kept) in zip((x, y), (inside, looked), features, strict=True)
            ]
            tables.append(_distances("dfd", *seen, subjects, name))
    return pd.concat([table for table in tables if len(table)], ignore_index=True)


def of_slices(
    truth: torch.Tensor, completed: torch.Tensor, numbers: list[int], spec: StackSpec, targets: tuple[str, ...]
) -> pd.DataFrame:
    """Measure each slice of completed stacks on its own.

    Parameters
    ----------
    truth, completed, spec, targets
        As for `measured`.
    numbers
        The N slices' numbers in the split.

    Returns
    -------
    pandas.DataFrame
        ``slice, modality, metric, value`` with the metrics ``psnr``, ``ssim`` and ``mae``.
    """
    channels = [spec.index(name) for name in targets]
    x, y = truth[:, channels].numpy(), completed[:, channels].numpy()
    values = {metric.__name__: metric(x, y) for metric in (psnr, ssim, mae)}
    index = pd.MultiIndex.from_product([values, numbers, targets], names=["metric", "slice", "modality"])
    return pd.Series(np.concatenate([*values.values()]).ravel(), index, name="value").reset_index()


def of_samples(
    truth: torch.Tensor, samples: torch.Tensor, subjects: np.ndarray, spec: StackSpec, targets: tuple[str, ...]
) -> pd.DataFrame:
    """Measure whether several completions of each slice spread as their errors do, over the pixels of the head.

    Parameters
    ----------
    truth
        Stacks ``(N, n, H, W)`` in image units; the head is where any modality of it is above
        `a2a.evaluation.regions.HEAD`.
    samples
        ``(S, N, n, H, W)``, S >= 2.
    subjects, spec, targets
        As for `measured`.

    Returns
    -------
    pandas.DataFrame
        ``subject, modality, metric, value``: for each subject ``crps``, see `a2a.evaluation.calibration.fair_crps`, and
        ``covered_50``, ``covered_80`` and ``covered_90``, the share of true values in the central interval of this
        probability, for those that S samples have exactly (9 have the second, 19 all).
    """
    channels = [spec.index(name) for name in targets]
    only, head, tables = spec.only(channels), (truth > HEAD).any(dim=1), []
    for subject in np.unique(subjects):
        rows = torch.from_numpy(subjects == subject)
        if not bool(head[rows].any()):
            continue
        seen = truth[rows][:, channels], samples[:, rows][:, :, channels], only
        scores = fair_crps(*seen, region=head[rows]).assign(metric="crps").rename(columns={"crps": "value"})
        shares = coverage(*seen, LEVELS, region=head[rows]).rename(columns={"covered": "value"})
        shares = shares[np.isclose(shares["level"], shares["nominal"])]
        shares["metric"] = [f"covered_{100 * level:.0f}" for level in shares["level"]]
        tables.append(pd.concat([scores, shares])[["modality", "metric", "value"]].assign(subject=subject))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _distances(metric: str, real: Features, made: Features, subjects: np.ndarray, modality: str) -> pd.DataFrame:
    """Fréchet distances of one modality, of all subjects and of halves; none where images are too dark or too few."""
    (x, seen), (y, shown) = real, made
    ids = np.unique(subjects)
    if min(len(x), len(y)) < 2:
        return pd.DataFrame()
    x, y = standardised(x, y)
    rows, rng = [(EVERYBODY, modality, metric, frechet_distance(x, y))], np.random.default_rng(0)
    for number in range(HALVES if len(ids) >= 4 else 0):
        half = rng.choice(ids, len(ids) // 2, replace=False)
        parts = x[np.isin(subjects[seen], half)], y[np.isin(subjects[shown], half)]
        try:
            rows.append((f"half {number + 1}", modality, f"{metric}_half", frechet_distance(*parts)))
        except InputError:  # fewer than two images in this half
            continue
    return pd.DataFrame(rows, columns=["subject", "modality", "metric", "value"])
