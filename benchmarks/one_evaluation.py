r"""What a prior knows with one evaluation, beside the mean of its samples and what regression knows.

A denoiser that is right at t = T and told the clean modalities as they are returns :math:`E[x | \text{given}]` in one
evaluation: at least as good as the mean of samples, and whatever noise is put in::

    a2a prepare phantom-any2all --profile full --out runs/data/phantom-any2all-64-full
    python benchmarks/one_evaluation.py weights/phantom-any2all-64.safetensors --trees \
        --data runs/data/phantom-any2all-64-full --out results/one-evaluation.csv

Columns: ``prior``, ``split``, ``given``, ``modality``, ``method`` and ``psnr``, of each subject's slices together, the
mean over subjects. The methods are ``1 evaluation`` (mean over four noises), ``1 evaluation, mean of 4 noises`` (what
the first loses to it is its dependence on the noise), ``1 evaluation, not of the mirror image`` (of a prior whose
expert is asked of both), ``10 evaluations`` (samples of MDS, levels of their own), ``mean
of 16 samples``, ``linear estimate`` (of a prior that has one), ``boosted trees``, and ``network-regression``, the
prior's own U-Net as plain regression (``experiments/baselines/network-regression-64.yaml``).
"""

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from a2a.common.files import write_atomically
from a2a.common.rng import spawn
from a2a.common.units import to_image, to_model
from a2a.data.store.read import SliceStore
from a2a.forward.observation import Observation
from a2a.methods.references.network import NetworkRegression
from a2a.methods.references.regression import BoostedTrees
from a2a.prior.prior import Prior
from a2a.samplers import mds
from a2a.samplers.spread import Eta

QUESTIONS = {
    "phantom-any2all": (("T1 + T2FLAIR + T2star", ("CT", "PET")), ("T1 + T2star + CT + PET", ("T2FLAIR",))),
    "phantom-brats": (("T1SE + T2 + T2FLAIR", ("T1GD",)), ("T1SE + T1GD + T2", ("T2FLAIR",))),
    "phantom-adni": (("T1", ("T2L", "PDW")), ("T1 + PDW", ("T2L",))),
}
NOISES, SAMPLES, EVALUATIONS = 4, 16, 10


@dataclass(frozen=True)
class Question:
    """Slices, what is given of them and what is wanted.

    Parameters
    ----------
    store
        Of the slices.
    split, rows
        Which slices.
    given, wanted
        Scenario and modalities.
    """

    store: SliceStore
    split: str
    rows: np.ndarray
    given: str
    wanted: tuple[str, ...]

    @property
    def channels(self) -> list[int]:
        """The wanted modalities by number."""
        return [self.store.spec.index(name) for name in self.wanted]

    @property
    def truth(self) -> Tensor:
        """The complete stacks, image units."""
        return torch.from_numpy(np.float32(self.store.split(self.split).images[self.rows]))

    @property
    def observation(self) -> Observation:
        """What is given."""
        return Observation.simulate(self.truth, self.given, self.store.spec)

    def score(self, images: Tensor) -> np.ndarray:
        """PSNR of each wanted modality of completed stacks `(..., B, n, H, W)`, as the docstring above says."""
        found = images[..., self.channels, :, :].clamp(0, 1)
        errors = (found - self.truth[:, self.channels]).double().square().mean(dim=(-2, -1))
        subjects = self.store.split(self.split).subjects[self.rows]
        pooled = [errors[..., subjects == subject, :].mean(dim=-2) for subject in np.unique(subjects)]
        return -10 * torch.stack(pooled).log10().flatten(0, -2).mean(dim=0).numpy()


def samples(prior: Prior, question: Question, steps: int, count: int, eta: Eta = 1.0) -> Tensor:
    """Completed stacks `(count, B, n, H, W)`."""
    generators = spawn(0, question.rows.tolist(), count)
    options = {"steps": steps, "eta": eta, "noise_levels": "per-modality"}
    return mds(prior, question.observation, **options, samples=count, generators=generators).samples


def answers(prior: Prior, question: Question, sampled: bool) -> Iterator[tuple[str, np.ndarray]]:
    """What a prior answers, method by method."""
    one = samples(prior, question, 1, NOISES)
    yield "1 evaluation", question.score(one)
    yield f"1 evaluation, mean of {NOISES} noises", question.score(one.mean(dim=0))
    if prior.expert is not None and prior.expert.mirrored:
        once = replace(prior, expert=replace(prior.expert, mirrored=False))
        yield "1 evaluation, not of the mirror image", question.score(samples(once, question, 1, 1))
    if prior.linear is not None:
        yield "linear estimate", question.score(linear(prior, question))
    if sampled:
        many = samples(prior, question, EVALUATIONS, SAMPLES)
        yield f"{EVALUATIONS} evaluations", question.score(many)
        yield f"mean of {SAMPLES} samples", question.score(many.mean(dim=0))


def linear(prior: Prior, question: Question) -> Tensor:
    """What the linear estimate that the prior corrects says by itself."""
    last, x = prior.schedule.length - 1, to_model(question.truth)
    times = torch.tensor([[0 if kind == "clean" else last for kind in question.observation.kinds]])
    return to_image(prior.linear(x, *prior.schedule.coefficients(times, x))[0])


def trees(question: Question) -> np.ndarray:
    """What boosted trees answer that were fitted on the training slices."""
    kinds, fitted_on = question.observation.kinds, question.store.split("train")
    given = [i for i, kind in enumerate(kinds) if kind == "clean"]
    model = BoostedTrees.fit(fitted_on.images[:, given], fitted_on.images[:, question.channels], fitted_on.z_mm)
    stacks = question.truth.clone()
    z_mm = question.store.split(question.split).z_mm[question.rows]
    stacks[:, question.channels] = torch.from_numpy(model.predict(stacks[:, given].numpy(), z_mm))
    return question.score(stacks)


def questions(store: SliceStore, splits: list[str], count: int) -> Iterator[Question]:
    """Ask everything of `count` slices of each split, evenly spread."""
    for split in splits:
        total = len(store.split(split))
        rows = np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(int))
        for given, wanted in QUESTIONS[store.manifest["card"]]:
            yield Question(store, split, rows, given, wanted)


def _name(path: Path) -> str:
    """Name of a weights file; those of a run are all called prior.safetensors, in a folder with its name."""
    return path.parent.name if path.stem == "prior" else path.stem


def main() -> None:
    """Read the command line, measure, and put the rows into the table in place of the former ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("priors", type=Path, nargs="*", help="weights of priors with levels of their own")
    parser.add_argument("--data", type=Path, required=True, help="the slice store that they were trained on")
    parser.add_argument("--split", action="append", choices=("val", "test"), help="both, unless one is named")
    parser.add_argument("--slices", type=int, default=24, help="of each split")
    parser.add_argument("--fast", action="store_true", help="one evaluation only, no samples")
    parser.add_argument("--trees", action="store_true", help="fit boosted trees, too")
    parser.add_argument("--network", type=Path, help="weights of the regression U-Net")
    parser.add_argument("--out", type=Path, help="CSV file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["A2A_QUIET"] = "1"
    store, found = SliceStore.open(options.data), []
    priors = {_name(path): Prior.load(path, store.spec) for path in options.priors}
    network = NetworkRegression.load(options.network, store.spec) if options.network else None

    def note(who: str, question: Question, method: str, scores: np.ndarray) -> None:
        labels = {"prior": who, "split": question.split, "given": question.given}
        for modality, score in zip(question.wanted, scores, strict=True):
            found.append(labels | {"modality": modality, "method": method, "psnr": round(float(score), 3)})
            print(*found[-1].values(), sep=", ", flush=True)

    for question in questions(store, options.split or ["val", "test"], options.slices):
        for name, prior in priors.items():
            for method, scores in answers(prior, question, not options.fast):
                note(name, question, method, scores)
        if network is not None:
            note("", question, network.name, question.score(network.complete(question.observation).samples))
        if options.trees:
            note("", question, "boosted trees", trees(question))
    if options.out:
        table = pd.DataFrame(found)
        if options.out.is_file():
            former = pd.read_csv(options.out, keep_default_na=False)
            table = pd.concat([former, table]).drop_duplicates(list(table.columns[:-1]), keep="last")
        write_atomically(options.out, lambda path: table.to_csv(path, index=False, lineterminator="\n"))


if __name__ == "__main__":
    main()
