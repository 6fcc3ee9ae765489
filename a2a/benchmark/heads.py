"""Measure a prior on real heads that it has not seen: ``python -m a2a.benchmark.heads``.

Slices of a store are completed and compared with the truth as one volume, in the unit of the store. Explained in the
chapter "Your own NIfTI files".
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from a2a.benchmark.coarse import CoarseRoute
from a2a.common import provenance
from a2a.common.errors import InputError
from a2a.common.files import write_json, write_text
from a2a.common.outputs import check_file
from a2a.common.paths import repository
from a2a.common.rng import spawn
from a2a.data.store.read import SliceStore, Split
from a2a.evaluation.volumes import volume_measures
from a2a.forward.adjacent import NONE, Adjacent
from a2a.forward.observation import Observation
from a2a.forward.scenario import Scenario
from a2a.forward.undersampling import Undersampling
from a2a.methods.references.reconstruction import tikhonov_sense, tune_lambda
from a2a.methods.references.regression import BoostedTrees, TreesConfig
from a2a.prior.prior import Prior
from a2a.samplers.mds import mds
from a2a.samplers.table import Eta

TREES = TreesConfig(pixels=300_000, iterations=250, rate=0.08)
TUNED = 6  # validation slices on which the weight of SENSE is chosen


def observe(store: SliceStore, split: Split, rows: np.ndarray, given: str, undersampling: Undersampling) -> Observation:
    """Observe slices of a store as a patient's files are observed: around a stripped brain every modality is 0.

    Parameters
    ----------
    store
        Slices of skull-stripped heads.
    split, rows
        Which slices.
    given
        The scenario.
    undersampling
        How k-space is acquired.
    """
    images = torch.from_numpy(np.asarray(split.images[rows], np.float32))
    found = Observation.simulate(images, given, store.spec, undersampling, spawn(0, len(rows)))
    free = torch.tensor([kind == "clean" for kind in found.kinds])[:, None, None]
    shown = [i for i, kind in enumerate(found.kinds) if kind != "missing"]
    support = (images[:, shown] > 0).any(dim=1, keepdim=True) | free
    return replace(found, support=support, adjacent=_adjacent(split, rows, free[:, 0, 0]))


def _adjacent(split: Split, rows: np.ndarray, clean: torch.Tensor) -> Adjacent:
    """What lies below and above some slices, of the modalities that are given clean."""
    needed, where = np.unique(split.adjacent[rows], return_inverse=True)
    images = torch.from_numpy(np.asarray(split.images[needed], np.float32))
    images[:, ~clean] = torch.nan
    images[torch.from_numpy(needed == NONE)] = torch.nan
    return Adjacent(images, torch.from_numpy(where.reshape(-1, 2)))


def completions(
    prior: Prior, observation: Observation, steps: Sequence[int], samples: int, rho: float, eta: Eta
) -> Iterator[tuple[str, torch.Tensor, float]]:
    """Yield name, samples `(S, B, n, H, W)` and seconds of MDS with several numbers of evaluations.

    Parameters
    ----------
    prior, observation
        What is completed, and by what.
    steps
        Evaluations; one of them needs one sample.
    samples, rho, eta
        See `a2a.samplers.mds.mds`.
    """
    for count in steps:
        several = 1 if count == 1 else samples
        done = mds(
            prior, observation, steps=count, noise_levels=prior.noise_levels, rho=rho, eta=eta, samples=several,
            generators=spawn(0, observation.shape[0], several),
        )  # fmt: skip
        yield f"prior, {count} evaluation{'s' * (count > 1)}", done.samples, done.seconds


def head_rows(
    prior: Prior,
    store: SliceStore,
    subject: str,
    given: str,
    options: argparse.Namespace,
    coarse: CoarseRoute | None = None,
) -> Iterator[Mapping[str, object]]:
    """Yield a row of the table for each way to complete one head; single samples and their mean apart.

    Parameters
    ----------
    prior
        The prior.
    store
        Its test split holds the head.
    subject
        Name of the head.
    given
        The scenario.
    options
        Of the command.
    coarse
        A prior of a coarser grid that is measured on the same slices.
    """
    split = store.split("test")
    rows = split.rows(subject)[options.every // 2 :: options.every]
    undersampling = Undersampling(acceleration=options.acceleration)
    observation = observe(store, split, rows, given, undersampling)
    truth, target = np.asarray(split.images[rows], np.float32), store.spec.index(options.target)
    brain = (truth > 0).any(axis=1)
    lesions = split.labels[rows, 0] > 0 if split.labels.shape[1] else None

    def row(method: str, of: str, image: np.ndarray, seconds: float) -> Mapping[str, object]:
        common = {"subject": subject, "given": given, "target": options.target, "slices": len(rows)}
        measured = volume_measures(image, truth[:, target], brain, lesions)
        return common | {"method": method, "of": of} | measured | {"seconds": round(seconds, 1)}

    for name, samples, seconds in completions(
        prior, observation, options.steps, options.samples, options.rho, options.eta
    ):
        yield from _of_samples(row, name, samples[:, :, target], seconds)
    if coarse is not None:
        images = torch.from_numpy(truth)
        yield row(f"the truth at {coarse.millimetres:g} mm", "image", coarse.seen(images)[:, target].numpy(), 0.0)
        steps, samples = max(options.steps), options.samples
        found, seconds = coarse.complete(images, given, target, undersampling, steps, samples, options.rho)
        found = torch.where(observation.support[:, target], found, 0.0)
        yield from _of_samples(row, f"at {coarse.millimetres:g} mm, {steps} evaluations", found, seconds)
    if observation.kinds[target] == "measured":
        started, weight = time.perf_counter(), _weight_of_sense(store, given, undersampling)
        image = tikhonov_sense(observation, weight)[:, target].numpy()
        yield row("SENSE", "estimate", image, time.perf_counter() - started)
    clean = [i for i, kind in enumerate(observation.kinds) if kind == "clean"]
    if options.trees and clean:
        started, train = time.perf_counter(), store.split("train")
        trees = BoostedTrees.fit(train.images[:, clean], train.images[:, [target]], train.z_mm, TREES)
        image = trees.predict(truth[:, clean], split.z_mm[rows])[:, 0] * observation.support[:, target].numpy()
        yield row("boosted trees", "estimate", image, time.perf_counter() - started)


def _of_samples(
    row: Callable[[str, str, np.ndarray, float], Mapping[str, object]], name: str, samples: torch.Tensor, seconds: float
) -> Iterator[Mapping[str, object]]:
    """Yield a row of the first sample `(S, B, H, W)` and, of several, one of their mean."""
    yield row(name, "sample", samples[0].numpy(), seconds)
    if len(samples) > 1:
        yield row(name, "mean of samples", samples.mean(dim=0).numpy(), seconds)


def _weight_of_sense(store: SliceStore, given: str, undersampling: Undersampling) -> float:
    """Tune the weight of SENSE on `TUNED` slices of the validation split."""
    split = store.split("val")
    rows = np.unique(np.linspace(0, len(split.images) - 1, TUNED).round().astype(int))
    observation = observe(store, split, rows, given, undersampling)
    return tune_lambda(observation, torch.from_numpy(np.asarray(split.images[rows], np.float32)))


def _eta(text: str) -> Eta:
    return "optimal" if text == "optimal" else float(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m a2a.benchmark.heads", description="Measure a prior on real heads.")
    parser.add_argument("prior", type=Path, help="weights (.safetensors, its .json beside it)")
    parser.add_argument("--store", type=Path, required=True, help="slice store; its test split is measured")
    parser.add_argument("--given", action="append", required=True, help="a scenario; may be named several times")
    parser.add_argument("--target", required=True, help="modality that is compared with the truth")
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 10], help="network evaluations of MDS")
    parser.add_argument("--samples", type=int, default=4, help="samples of each slice")
    parser.add_argument("--rho", type=float, default=0.9, help="correlation of the noise of neighbouring slices")
    parser.add_argument("--eta", type=_eta, default="optimal", help="fresh noise of MDS: a number, or optimal")
    parser.add_argument("--acceleration", type=int, default=4, help="R of simulated k-space")
    parser.add_argument("--every", type=int, default=1, help="measure every n-th slice; jumps need all")
    parser.add_argument("--trees", action="store_true", help="also boosted trees, fitted on the training split")
    parser.add_argument("--coarse", type=Path, help="weights of a prior on a coarser grid, measured on the same one")
    parser.add_argument("--bf16", action="store_true", help="evaluate the network in bf16")
    parser.add_argument("--out", type=Path, default=Path("runs", "heads"), help="folder for CSV and JSON")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Complete the heads of a test split and write the table."""
    options = _parser().parse_args(arguments)
    stem = f"{options.prior.stem}-heads"
    for suffix in (".csv", ".json"):
        check_file(options.out / f"{stem}{suffix}")
    store = SliceStore.open(options.store)
    prior = Prior.load(options.prior, store.spec, options.bf16)
    if prior.size != store.size:
        raise InputError(f"{options.prior} is for {prior.size} pixels, {options.store} has {store.size}.")
    coarse = CoarseRoute(Prior.load(options.coarse), store) if options.coarse else None
    for given in options.given:
        Scenario.parse(given, store.spec).require_open([options.target], store.spec)
    subjects = list(dict.fromkeys(store.split("test").subjects.tolist()))
    heads = [(subject, given) for subject in subjects for given in options.given]
    rows = [row for head in heads for row in head_rows(prior, store, *head, options, coarse)]
    table = pd.DataFrame(rows)
    write_text(options.out / f"{stem}.csv", table.to_csv(index=False, float_format="%.5g"))
    record = {
        "prior": {"file": options.prior.name, "sha256": prior.digest, "bf16": prior.bf16},
        "coarse": coarse and {"file": options.coarse.name, "sha256": coarse.prior.digest},
        "store": {"name": f"{store.said('card')}/{store.said('profile')}", "sha256": store.manifest["sha256"]},
        **{name: getattr(options, name) for name in ("given", "target", "steps", "samples", "rho", "eta", "every")},
        "commit": provenance.commit(repository()),
        "machine": provenance.machine(),
    }
    write_json(options.out / f"{stem}.json", record)
    print(table.round(3).to_string(index=False))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        print(f"heads: {error}", file=sys.stderr)
        sys.exit(2)
