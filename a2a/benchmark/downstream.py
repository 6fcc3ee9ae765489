"""What completed images are good for: ``python -m a2a.benchmark.downstream experiments/downstream/brats.yaml --help``.

Each modality of a data set is completed from the others by each method, and a network that learned from real images
outlines the lesions in the completed stacks. Beside it stand the real images (ceiling), the missing one filled with
zeros and with the mean of the training images (floor), and a network that learned without it.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from a2a.benchmark.complete import completion
from a2a.benchmark.experiment import Experiment, Job
from a2a.benchmark.runners import Runners
from a2a.benchmark.table import origin, write_table
from a2a.common.errors import Failure, InputError
from a2a.common.progress import progress
from a2a.data.store.read import SliceStore
from a2a.evaluation.regions import region_table
from a2a.evaluation.segmentation import REGIONS, segmentation_table
from a2a.forward.stack import StackSpec
from a2a.methods.segmenter import Segmenter
from a2a.prior.prior import Prior
from a2a.prior.shipped import located

REAL, ZEROS, MEAN, WITHOUT = "real", "zeros", "mean", "without"


class Downstream(Experiment):
    """An experiment whose jobs complete one modality each, and what then outlines lesions.

    Parameters
    ----------
    segmenter
        Weights that learned from all modalities of the data set.
    without
        Weights that learned without a modality, by its name.
    """

    segmenter: Path
    without: dict[str, Path] = {}


def downstream_table(experiment: Downstream, prior: Prior, store: SliceStore, batch: int = 16) -> pd.DataFrame:
    """Complete, outline and measure.

    Parameters
    ----------
    experiment
        What is completed by which methods; all jobs of one data set of a collection.
    prior
        The trained prior.
    store
        The collection.
    batch
        Rows completed together.

    Returns
    -------
    pandas.DataFrame
        Rows of `a2a.benchmark.table.SCHEMA`: of each subject and region Dice and HD95 against the labels, and
        ``dice_REGION_real`` against what the network outlines in real images; of each method also PSNR and SSIM in the
        lesions and elsewhere in the brain. ``method`` is also ``real``, ``zeros``, ``mean`` or ``without``.

    Raises
    ------
    InputError
        If a job completes several modalities, weights do not fit, or the store lacks the label map.
    """
    runners = Runners(experiment, prior, batch)
    found = Segmenter.load(located(experiment.segmenter))
    lacking = {name: Segmenter.load(located(path)) for name, path in experiment.without.items()}
    tables = []
    for place, jobs in progress(_places(experiment), f"{experiment.name}: modalities"):
        tables.append(_place(place, jobs, runners, found, lacking.get(place.targets[0]), store))
    dataset = experiment.jobs[0].dataset
    return pd.concat(tables).assign(**origin(experiment.name, experiment.seed, store, experiment.split, dataset))


def _places(experiment: Downstream) -> list[tuple[Job, list[Job]]]:
    """The jobs by what they complete; the first of each stands for all."""
    places: dict[tuple[str, str], list[Job]] = {}
    for job in experiment.jobs:
        if len(job.targets) != 1:
            raise InputError(
                f"targets: {job.given} completes {', '.join(job.targets)}; name one modality for each job."
            )
        places.setdefault((job.given, job.targets[0]), []).append(job)
    return [(jobs[0], jobs) for jobs in places.values()]


def _place(
    place: Job, jobs: list[Job], runners: Runners, segmenter: Segmenter, without: Segmenter | None, store: SliceStore
) -> pd.DataFrame:
    """All rows of one completed modality."""
    split, target, own = store.split(runners.experiment.split), place.targets[0], segmenter.spec
    rows, truth, stacks = _completed(place, jobs, runners, store)
    channels = [store.spec.index(name) for name in own.names]
    real, hidden, labels = truth[:, channels], own.index(target), _labels(split.labels[rows], store, segmenter)
    shown = {
        REAL: real,
        ZEROS: _with(real, hidden, torch.zeros(())),
        MEAN: _with(real, hidden, segmenter.network.mean[hidden]),
    }
    shown |= {name: _with(real, hidden, made) for name, made in stacks.items()}
    outlined = {name: segmenter.outline(stack) for name, stack in shown.items()}
    if without is not None:
        outlined[WITHOUT] = without.outline(real)
    regions = REGIONS[segmenter.config.labels]
    pixel = store.said("preprocessing")["field_of_view_mm"] / store.size
    subjects, z_mm = split.subjects[rows], split.z_mm[rows]
    parts = []
    for name, found in outlined.items():
        measured = segmentation_table(found, labels, subjects, regions, pixel, z_mm)
        against = segmentation_table(found, outlined[REAL], subjects, regions, pixel, z_mm)
        against = against[against["metric"].str.startswith("dice")].assign(metric=lambda t: t["metric"] + "_real")
        parts.append(pd.concat([measured, against]).assign(method=name))
    for name, made in stacks.items():
        parts.append(_fidelity(real[:, hidden], made, labels > 0, subjects, own.only([hidden])).assign(method=name))
    scenario, count = place.given, len(rows)
    return pd.concat(parts).assign(scenario=scenario, modality=target, slices=count, estimate="single sample")


def _completed(
    place: Job, jobs: list[Job], runners: Runners, store: SliceStore
) -> tuple[list[int], torch.Tensor, dict[str, torch.Tensor]]:
    """Slices, truth, and the target as each method completes it; of several samples the first."""
    channel, made = store.spec.index(place.targets[0]), {}
    for job in jobs:
        rows, truth, _, done = completion(job, runners, store)
        if isinstance(done, str):
            raise InputError(f"{job.label} cannot complete {place.targets[0]} from {job.given}: {done}.")
        made[job.label] = done.samples[0, :, channel]
    return rows, truth, made


def _labels(labels: np.ndarray, store: SliceStore, segmenter: Segmenter) -> np.ndarray:
    names = [found["name"] for found in store.label_maps]
    if segmenter.config.labels not in names:
        raise InputError(f"labels: {store.path} has no label map {segmenter.config.labels!r}; prepare it again.")
    return labels[:, names.index(segmenter.config.labels)]


def _with(stacks: torch.Tensor, channel: int, image: torch.Tensor) -> torch.Tensor:
    """Stacks with another image in one channel."""
    changed = stacks.clone()
    changed[:, channel] = image
    return changed


def _fidelity(
    truth: torch.Tensor, made: torch.Tensor, lesion: np.ndarray, subjects: np.ndarray, spec: StackSpec
) -> pd.DataFrame:
    """PSNR and SSIM of a modality inside lesions and in the rest of the brain, by subject."""
    x, y = truth.numpy()[:, None], made.numpy()[:, None]
    regions = {"lesion": lesion, "healthy": (x[:, 0] > 0) & ~lesion}
    return region_table(x, y, regions, subjects, spec).drop(columns="modality")


def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m a2a.benchmark.downstream", description=__doc__)
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--profile", default="ci")
    parser.add_argument("--out", type=Path, required=True, help="Parquet table.")
    chosen = parser.parse_args(arguments)
    asked = Downstream.load(chosen.experiment).at(chosen.profile)
    store = SliceStore.open(asked.data, verify=True)
    table = downstream_table(asked, Prior.load(located(asked.prior)), store)
    write_table(chosen.out, table)
    means = table.groupby(["modality", "metric", "method"])["value"].mean().unstack("method")
    print(means[means.index.get_level_values("metric").str.startswith(("dice", "hd95"))].round(3).to_string())


if __name__ == "__main__":
    try:
        main()
    except (InputError, Failure) as error:
        print(f"a2a: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, InputError) else 1)
