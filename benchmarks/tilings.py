r"""How slices of 224 x 224 are best learned on a processor: designs that trained for equally many minutes of a core.

Each learns from two heads and completes the FLAIR of a third, from T1, T1 with contrast agent and T2::

    a2a prepare data_cards/open-heads.yaml --profile tables --root FOLDER --out runs/data/open-heads-tables
    python benchmarks/tilings.py --data runs/data/open-heads-tables --out results/tilings.csv

The designs are ``crops`` (squares of several sizes, told where they lie, as the shipped prior), ``patches`` (whole
slices, 2 x 2 pixels folded into channels, the clean stack predicted), ``regression`` (``crops`` that only ever see
nothing but noise in what is missing, so that one evaluation is plain regression) and ``regression, 3 slices`` (the
same, which also sees the given modalities of the slices below and above). What ``crops`` learned is evaluated twice: on
the ``whole`` slice, and in disjoint ``tiles`` of 96 x 96 whose grid is shifted in each evaluation (PaDIS, Hu et
al. 2024).

Columns: ``design``, ``minutes`` and ``steps`` of training, ``evaluated``, ``evaluations``, ``psnr_brain`` (dB, mean
over samples), ``fine`` (energy of fine structures, share of the true one), ``evaluation_ms`` (processor time of a
slice), and ``seam``: how much the error changes across borders of tiles, those of the last evaluation, or of patches,
over how much it changes between other neighbours; of tiles as a multiple of that of the whole slice at the same places.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from side_by_side import write
from torch import Tensor, nn

from a2a.benchmark.heads import observe
from a2a.common.paths import repository
from a2a.common.rng import spawn
from a2a.data.store.read import SliceStore, Split
from a2a.evaluation.volumes import volume_measures
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.forward.undersampling import Undersampling
from a2a.methods.recipes import load_config
from a2a.networks.plain import places
from a2a.prior.denoiser import Times
from a2a.prior.prior import Prior
from a2a.samplers import mds
from a2a.training import PriorObjective, train
from a2a.training.config import NetworkSize

GIVEN, TARGET, SAMPLES, EVALUATIONS, TIMED = "T1 + T1POST + T2", "FLAIR", 4, (1, 10), 12
TILE = 96
BESIDE = ("below", "above")


@dataclass(frozen=True, eq=False)
class Uncalibrated(PriorObjective):
    """Ends without the calibration, which completing from clean images does not use."""

    def finished(self, network: nn.Module, card: dict) -> Prior:
        """The network as it is."""
        what = {"predicts": self.config.predicts, "linear": self.target.linear}
        return Prior(network, self.schedule, self.store.spec, self.store.size, card=card, **what)


class Neighbours(SliceStore):
    """A store whose slices also have the modalities of the slices below and above, as further ones."""

    @classmethod
    def of(cls, store: SliceStore) -> "Neighbours":
        """Wrap a store."""
        beside = [replace(each, name=f"{each.name}_{side}", aliases=()) for side in BESIDE for each in store.spec]
        return cls(store.path, store.manifest, StackSpec((*store.spec, *beside)), store.size)

    def split(self, name: str) -> Split:
        """One split; at its ends, and at gaps, a slice is its own neighbour."""
        found = SliceStore.open(self.path).split(name)
        rows, parts = np.arange(len(found)), [found.images]
        for side in (-1, 1):
            near = (rows + side).clip(0, len(rows) - 1)
            there = (found.subjects[near] == found.subjects) & (found.planes[near] == found.planes + side)
            parts.append(found.images[np.where(there, near, rows)])
        return replace(found, images=np.concatenate(parts, axis=1))


@dataclass(frozen=True, eq=False)
class OfThree(Uncalibrated):
    """Neighbours are given where their modality is, and nobody asks for them."""

    def _times_of_all(self, modalities: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        stacks = 1 + len(BESIDE)
        times, asked = super()._times_of_all(modalities // stacks, draw)
        return times.repeat(stacks), F.pad(asked, (0, modalities - len(asked)))


@dataclass(frozen=True, eq=False)
class Tiled:
    """A prior that is asked for disjoint tiles of a slice, whose grid is shifted at random in each evaluation.

    Parameters
    ----------
    prior
        It learned from crops.
    draws
        Generator of the shifts.
    shifts
        Those of all evaluations so far, down and to the right.
    """

    prior: Prior
    draws: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(0))
    shifts: list[tuple[int, int]] = field(default_factory=list)

    def __getattr__(self, name: str) -> object:
        return getattr(self.prior, name)

    def predict(self, x: Tensor, t: Times) -> Tensor:
        """The clean estimate, see `a2a.prior.denoiser.Denoiser.predict`."""
        prior, side, batch = self.prior, self.prior.size, len(x)
        shown, (offset, slope) = prior.target.shown(x, t)
        place = places(side, side).to(x).expand(batch, -1, -1, -1)
        count = side // TILE + 2
        up, left = (int(torch.randint(TILE, (), generator=self.draws)) for _ in range(2))
        self.shifts.append((up, left))
        edges = (left, count * TILE - side - left, up, count * TILE - side - up)
        maps = torch.cat([F.pad(shown, edges), F.pad(place, edges)], dim=1)
        tiles = maps.unflatten(2, (count, TILE)).unflatten(4, (count, TILE)).permute(0, 2, 4, 1, 3, 5).flatten(0, 2)
        said = prior.network(tiles).unflatten(0, (batch, count, count))
        said = said.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)
        return prior.clamp(offset + slope * said[:, :, up : up + side, left : left + side])


def designs(store: SliceStore) -> Iterator[tuple[str, PriorObjective]]:
    """The runs to compare, by name."""
    crops = load_config(repository("experiments", "priors", "open-ms-1mm-first.yaml"))
    crops = crops.model_copy(update={"checkpoint_every": 10**6, "precision": "float32 channels_last"})
    network = NetworkSize(width=32, multipliers=(1, 2, 2, 4), attention=(), patch=2, noise_levels="per-modality")
    other = {"plain": None, "precondition": "none", "crops": (), "network": network, "batch": 2}
    regression = crops.model_copy(update={"given": 1.0, "last": 1.0})
    yield "crops", Uncalibrated(crops, store)
    yield "patches", Uncalibrated(crops.model_copy(update=other), store)
    yield "regression", Uncalibrated(regression, store)
    yield "regression, 3 slices", OfThree(regression, Neighbours.of(store))


def seconds_of_a_step(objective: PriorObjective) -> float:
    """Processor time of a step: of a longer run over a shorter one, which are thrown away."""
    spent = []
    for steps in (2, 2 + TIMED):
        with tempfile.TemporaryDirectory() as folder:
            began = time.process_time()
            train(objective, Path(folder, "run"), stop_after=steps)
            spent.append(time.process_time() - began)
    return (spent[1] - spent[0]) / TIMED


def trained(objective: PriorObjective, minutes: float) -> tuple[Prior, int]:
    """A prior that trained for so long, and in how many steps."""
    steps = max(round(60 * minutes / seconds_of_a_step(objective)), 1)
    run = replace(objective, config=objective.config.model_copy(update={"steps": steps}))
    with tempfile.TemporaryDirectory() as folder:
        return Prior.load(train(run, Path(folder, "run"))), steps


def observed(store: SliceStore, rows: np.ndarray) -> tuple[Observation, np.ndarray]:
    """What is given of some test slices, with what their store has beside them, and the truth."""
    split, names = store.split("test"), GIVEN.split(" + ")
    beside = [f"{name}_{side}" for side in BESIDE for name in names if isinstance(store, Neighbours)]
    found = observe(store, split, rows, " + ".join([*names, *beside]), Undersampling())
    return found, np.float32(split.images[rows][:, store.spec.index(TARGET)])


def seam(error: np.ndarray, side: int, shift: tuple[int, int] = (0, 0)) -> float:
    """How much an error ``(..., H, W)`` changes across the borders of squares, over how much elsewhere; RMS."""
    at, away = [], []
    for axis, start in zip((-2, -1), shift, strict=True):
        changes = np.moveaxis(np.square(np.diff(error, axis=axis)), axis, 0)
        border = (np.arange(1, len(changes) + 1) + start) % side == 0
        at.append(changes[border].ravel())
        away.append(changes[~border].ravel())
    return float(np.sqrt(np.concatenate(at).mean() / np.concatenate(away).mean()))


@dataclass(frozen=True, eq=False)
class Completed:
    """Completed test slices.

    Parameters
    ----------
    images, truth
        Samples ``(S, N, H, W)`` and the truth, image units.
    milliseconds
        Processor time of one evaluation of one slice.
    """

    images: np.ndarray
    truth: np.ndarray
    milliseconds: float

    @classmethod
    def by(cls, prior: Prior | Tiled, store: SliceStore, evaluations: int, every: int) -> "Completed":
        """Complete the slices, all of them at a time."""
        rows = store.split("test").thinned(every)
        found, truth = observed(store, rows)
        samples, began = SAMPLES if evaluations > 1 else 1, time.process_time()
        many = samples * len(rows)
        options = {"steps": evaluations, "noise_levels": "per-modality", "samples": samples, "batch": many}
        done = mds(prior, found, **options, generators=spawn(0, len(rows), samples))
        spent = (time.process_time() - began) / (evaluations * many)
        return cls(done.samples[:, :, store.spec.index(TARGET)].numpy(), truth, 1e3 * spent)

    @property
    def error(self) -> np.ndarray:
        """Of the samples."""
        return self.images - self.truth

    def figures(self) -> dict[str, float]:
        """Fidelity, detail and time."""
        measured = pd.DataFrame([volume_measures(image, self.truth, self.truth > 0) for image in self.images]).mean()
        found = {"psnr_brain": round(measured.psnr_brain, 2), "fine": round(measured.fine, 3)}
        return found | {"evaluation_ms": round(self.milliseconds)}


def measured(name: str, prior: Prior, store: SliceStore, every: int) -> Iterator[dict[str, object]]:
    """The rows of one design."""
    for evaluations in EVALUATIONS[: 1 if "regression" in name else 2]:
        whole = Completed.by(prior, store, evaluations, every)
        seams = {"seam": round(seam(whole.error, 2), 3)} if name == "patches" else {}
        yield {"evaluated": "whole", "evaluations": evaluations} | whole.figures() | seams
        if name == "crops":
            tiled = Tiled(prior)
            tiles = Completed.by(tiled, store, evaluations, every)
            ratio = seam(tiles.error, TILE, tiled.shifts[-1]) / seam(whole.error, TILE, tiled.shifts[-1])
            yield {"evaluated": "tiles", "evaluations": evaluations} | tiles.figures() | {"seam": round(ratio, 3)}


def main() -> None:
    """Read the command line, train, measure, and write the table with what made it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="store of the card open-heads, profile tables")
    parser.add_argument("--minutes", type=float, default=15.0, help="of training, for each design")
    parser.add_argument("--every", type=int, default=13, help="complete each N-th slice of the head")
    parser.add_argument("--out", type=Path, help="CSV file; a JSON of what made it is written beside it")
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["A2A_QUIET"] = "1"
    rows = []
    for name, objective in designs(SliceStore.open(options.data)):
        prior, steps = trained(objective, options.minutes)
        found = [{"design": name, "minutes": options.minutes, "steps": steps} | row
                 for row in measured(name, prior, objective.store, options.every)]  # fmt: skip
        print(pd.DataFrame(found).to_string(index=False), flush=True)
        rows += found
    if options.out:
        write(options.out, "tilings", rows)


if __name__ == "__main__":
    main()
