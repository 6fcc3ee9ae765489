r"""What makes one evaluation good: small priors that differ in one thing from each other.

A U-Net of width 16 learns from the training slices of the phantom, 350 steps of 8, with the same order of slices, noise
and seeds; 24 validation slices are completed with one evaluation::

    a2a prepare phantom-any2all --profile full --out runs/data/phantom-any2all-64-full
    python benchmarks/designs.py --data runs/data/phantom-any2all-64-full --out results/designs.csv

What differs: the target (velocity, the clean stack, or the clean stack as a correction of the linear estimate of each
pixel, of one modality or across modalities), where training asks (more in the noisiest fifth of the times, half of the
questions at t = T, a third of them for CT and PET), attention, width, the length of training, and the yardstick: the
same U-Net as plain regression.

Columns: ``part`` (the design), ``parameters``, ``minutes`` of a core, ``images``, ``given``, ``modality`` and ``psnr``
of one evaluation, dB. Where ``given`` is ``all at t = 500``, it is that of the clean estimate where all is noisy alike.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from one_evaluation import Question, questions, samples
from side_by_side import write
from tilings import Uncalibrated

from a2a.common.paths import repository
from a2a.common.progress import progress
from a2a.common.rng import randn, spawn
from a2a.common.units import to_image, to_model
from a2a.data.store.read import SliceStore
from a2a.methods.recipes import load_config
from a2a.methods.references.network import NetworkRegression, NetworkRegressionConfig, NetworkRegressionObjective
from a2a.prior.prior import Prior
from a2a.training import PriorConfig, PriorObjective, train
from a2a.training.config import NetworkSize
from a2a.training.objective import Objective

MIDDLE, SLICES = 500, 24
SIZE = NetworkSize(width=16, multipliers=(1, 2, 2, 4), attention=(4, 8), noise_levels="per-modality")
CLEAN = {"predicts": "clean"}
PIXEL = {"predicts": "clean", "precondition": "pixel"}
ACROSS = {"predicts": "clean", "precondition": "cross-modal"}
LAST = {"last": 0.5}
DESIGNS: dict[str, dict] = {
    "velocity": {},
    "velocity, noisy": {"noisy": 0.5},
    "velocity, last": LAST,
    "clean": CLEAN,
    "clean, last": CLEAN | LAST,
    "corrects each modality": PIXEL,
    "corrects across modalities": ACROSS,
    "corrects across modalities, last": ACROSS | LAST,
    "that, asked for CT and PET": ACROSS | LAST | {"ask": {"T1 + T2FLAIR + T2star": 0.35}},
    "that, no attention": ACROSS | LAST | {"network": SIZE.model_copy(update={"attention": ()})},
    "that, width 8": ACROSS | LAST | {"network": SIZE.model_copy(update={"width": 8})},
    "that, width 32": ACROSS | LAST | {"network": SIZE.model_copy(update={"width": 32})},
    "that, twice as long": ACROSS | LAST,
    "that, four times as long": ACROSS | LAST,
}
"""What each design changes."""
LONGER = {"that, twice as long": 2, "that, four times as long": 4, "regression, four times as long": 4}
"""Of these the training, in so many times the steps of the others."""


def objectives(store: SliceStore, steps: int) -> Iterator[tuple[str, Objective]]:
    """The runs to compare, by name."""
    shipped = load_config(repository("experiments", "priors", f"{store.manifest['card']}-64.yaml"))
    same = {"data": shipped.data, "augmentation": shipped.augmentation, "batch": 8, "lr": 1e-3, "warmup": 50}
    same |= {"ema": 0.99, "precision": "float32 channels_last", "checkpoint_every": 10**6}
    asked = {"network": SIZE, "predicts": "velocity", "given": 0.75, "given_until": shipped.given_until}
    for name, changes in DESIGNS.items():
        config = PriorConfig(name="design", steps=steps * LONGER.get(name, 1), **same | asked | changes)
        yield name, Uncalibrated(config, store)
    same["network"] = SIZE.model_copy(update={"noise_levels": "joint"})
    for name in ("regression", "regression, four times as long"):
        config = NetworkRegressionConfig(name="design", steps=steps * LONGER.get(name, 1), **same)
        yield name, NetworkRegressionObjective(config, store)


def trained(objective: Objective) -> tuple[Prior | NetworkRegression, float]:
    """What a run makes, and the minutes of a core that it took."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        path = train(objective, Path(folder, "run"))
        minutes = (time.process_time() - began) / 60
        return (Prior.load(path) if isinstance(objective, PriorObjective) else NetworkRegression.load(path)), minutes


def answered(model: Prior | NetworkRegression, question: Question) -> torch.Tensor:
    """Completed stacks `(B, n, H, W)`."""
    if isinstance(model, Prior):
        return samples(model, question, 1, 1)[0]
    return model.complete(question.observation).samples[0]


def denoised(prior: Prior, question: Question) -> torch.Tensor:
    """The clean estimates of stacks that are noisy alike, image units."""
    clean = to_model(question.truth)
    noise = randn(clean.shape[1:], spawn(0, len(clean)))
    x = prior.schedule.diffuse(clean, torch.full((len(clean),), MIDDLE), noise)
    with torch.no_grad():
        return to_image(prior.predict(x, MIDDLE))


def rows(name: str, objective: Objective, asked: list[Question]) -> Iterator[dict]:
    """Train one design and measure it."""
    model, minutes = trained(objective)
    images, parameters = (
        objective.config.steps * objective.config.batch,
        sum(p.numel() for p in model.network.parameters()),
    )
    told = {"parameters": parameters, "minutes": round(minutes, 2), "images": images}
    for question in asked:
        found = {question.given: answered(model, question)}
        if isinstance(model, Prior):
            found[f"all at t = {MIDDLE}"] = denoised(model, question)
        for given, images in found.items():
            for modality, score in zip(question.wanted, question.score(images), strict=True):
                yield told | {"given": given, "modality": modality, "psnr": round(float(score), 2)}


def main() -> None:
    """Read the command line, and train and measure one design after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the slice store of the phantom")
    parser.add_argument("--steps", type=int, default=350, help="of 8 slices")
    parser.add_argument("--only", action="append", help="a design by name; all, unless some are named")
    parser.add_argument("--out", type=Path, required=True, help="CSV file; designs that it has are measured again")
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["A2A_QUIET"] = "1"
    store = SliceStore.open(options.data)
    asked = list(questions(store, ["val"], SLICES))
    wanted = {name: each for name, each in objectives(store, options.steps) if not options.only or name in options.only}
    for name in progress(list(wanted), "designs"):
        found = list(rows(name, wanted[name], asked))
        write(options.out, name, found)
        print(name, *(f"{row['modality']} {row['psnr']}" for row in found), f"{found[0]['minutes']} min", flush=True)


if __name__ == "__main__":
    main()
