"""How real a prior's unconditional samples are: ``python -m a2a.benchmark.realism weights/PRIOR.safetensors --help``.

Writes three files named like the prior: a CSV (one row for each modality, set, metric and number of images), a JSON
(where the numbers come from), and a PNG (some samples beside slices of test subjects). Every value stands next to its
noise floor, the same measured on real images of other subjects. Explained in the chapter "Unconditional samples".
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from a2a.common import provenance
from a2a.common.errors import InputError, whole
from a2a.common.files import write_json, write_text
from a2a.common.outputs import check_file
from a2a.common.paths import repository
from a2a.common.progress import progress
from a2a.common.rng import spawn
from a2a.data.store.read import SliceStore, Split
from a2a.evaluation.diversity import memorisation, precision_recall
from a2a.evaluation.finite_sample import distance_over_count, extrapolated, noise_floor, subsampled
from a2a.evaluation.frechet import standardised
from a2a.evaluation.radiomics import radiomic_features
from a2a.evaluation.sharpness import high_frequency_energy, mean_gradient
from a2a.figures import contact_sheet, realism_sheet
from a2a.prior.prior import Prior
from a2a.samplers import ddim

COLUMNS = ["modality", "set", "metric", "n", "value", "low", "high"]
GENERATED, FLOOR = "generated", "other real subjects"
FEWEST_SAMPLES = 20
_EVERY = 4
_SHOWN = 5
Row = tuple[str, str, str, int, float, float, float]


def realism_table(store: SliceStore, generated: np.ndarray, draws: int = 200, seed: int = 0) -> pd.DataFrame:
    """Measure unconditional samples against held-out slices, with noise floors.

    Parameters
    ----------
    store
        Its test split is what the samples should look like; slices of its training split (one in four of each subject)
        give the noise floors, and all of it the memorisation check.
    generated
        Stacks, shape (N, n, H, W), image units, N >= 20.
    draws
        Subsamples for intervals, at least 10; a tenth as many real sets for the noise floors.
    seed
        Of all drawing.

    Returns
    -------
    pandas.DataFrame
        Columns ``modality, set, metric, n, value, low, high``. Set is ``generated`` or ``other real subjects`` (as
        many training slices as were generated). ``rfd`` is the radiomic Fréchet distance to the test split at several
        n (the interval, at all samples, by subsampling; that of the floor holds 95 % of the real sets), ``rfd limit``
        its extrapolation to infinitely many; ``precision`` and ``recall``; ``hfr`` and ``gradient``, sharpness over
        that of the test split. Modality ``stack`` has the memorisation check: ``nearest smallest``, ``nearest p5``,
        ``nearest median`` (image units) and ``nearer`` (share), here ``other real subjects`` is the test split.

    Raises
    ------
    InputError
        If the shapes do not fit, there are too few samples, a value is not finite, or the store has too few slices.
    """
    whole("draws", draws, 10)
    expected = (len(store.spec), store.size, store.size)
    if generated.ndim != 4 or generated.shape[1:] != expected or len(generated) < FEWEST_SAMPLES:
        wanted = ", ".join(map(str, expected))
        raise InputError(f"realism needs N >= {FEWEST_SAMPLES} stacks ({wanted}), got {generated.shape}.")
    if not np.isfinite(generated).all():
        raise InputError("realism: the generated stacks have NaN or infinite values.")
    test, train = store.split("test"), store.split("train")
    rows = list(_memory(train.images, test.images, generated))
    for channel, name in enumerate(progress(store.spec.names, "modalities")):
        others = train.images[train.thinned(_EVERY), channel]
        sets = test.images[:, channel], others, generated[:, channel]
        rows += [(name, *row) for row in _distances(*sets, test, draws, seed)]
        rows += [(name, *row) for row in _sharpness(*sets)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _memory(train: np.ndarray, test: np.ndarray, generated: np.ndarray) -> Iterator[Row]:
    for found in memorisation(train, test, generated).to_dict("records"):
        name = GENERATED if found["set"] == "generated" else FLOOR
        for metric in ("smallest", "p5", "median"):
            yield "stack", name, f"nearest {metric}", found["n"], found[metric], np.nan, np.nan
        yield "stack", name, "nearer", found["n"], found["nearer"], np.nan, np.nan


def _distances(
    real: np.ndarray, others: np.ndarray, generated: np.ndarray, test: Split, draws: int, seed: int
) -> Iterator[tuple]:
    """Rows, without the modality, of the Fréchet distance at several n, its limit, precision and recall."""
    (x, kept), (o, _), (y, _) = (radiomic_features(images) for images in (real, others, generated))
    if len(o) < len(y):
        raise InputError(f"The store's training split gives {len(o)} slices for the noise floor; {len(y)} are needed.")
    if len(y) < FEWEST_SAMPLES or len(x) < FEWEST_SAMPLES:
        raise InputError(f"Only {len(y)} samples and {len(x)} real slices of {FEWEST_SAMPLES} needed show anything.")
    x, o, y = standardised(x, o, y)
    curve = distance_over_count(x, y, draws=draws // 10, seed=seed)
    for name, line in ((GENERATED, curve), (FLOOR, distance_over_count(x, o, curve["n"].unique(), draws // 10, seed))):
        for n, values in line[line["n"] < len(y)].groupby("n")["value"]:
            yield name, "rfd", n, values.mean(), np.nan, np.nan
        yield name, "rfd limit", len(y), extrapolated(line)[0], np.nan, np.nan
    found = subsampled(x, {GENERATED: y}, test.subjects[kept], draws=draws, seed=seed).iloc[0]
    yield GENERATED, "rfd", len(y), found["value"], found["low"], found["high"]
    floor = noise_floor(x, o, len(y), draws // 10, seed)
    yield FLOOR, "rfd", len(y), floor.mean(), *np.quantile(floor, (0.025, 0.975))
    rng = np.random.default_rng(seed)
    size = min(len(x), len(y))
    among = x[rng.choice(len(x), size, replace=False)]
    for name, features in ((GENERATED, y), (FLOOR, o)):
        shares = precision_recall(among, features[rng.choice(len(features), size, replace=False)])
        for metric, share in zip(("precision", "recall"), shares, strict=True):
            yield name, metric, size, share, np.nan, np.nan


def _sharpness(real: np.ndarray, others: np.ndarray, generated: np.ndarray) -> Iterator[tuple]:
    for metric, measure in (("hfr", high_frequency_energy), ("gradient", mean_gradient)):
        truth = np.nanmean(measure(real))
        for name, images in ((GENERATED, generated), (FLOOR, others)):
            yield name, metric, len(images), np.nanmean(measure(images)) / truth, np.nan, np.nan


def main(arguments: Sequence[str] | None = None) -> None:
    """Sample a prior and write its table."""
    parser = argparse.ArgumentParser(prog="python -m a2a.benchmark.realism", description="Measure a prior's samples.")
    parser.add_argument("prior", type=Path, help="weights (.safetensors, its .json beside it)")
    parser.add_argument("--store", type=Path, required=True, help="slice store that the prior was trained on")
    parser.add_argument("--samples", type=int, default=256, help="stacks to generate")
    parser.add_argument("--steps", type=int, default=50, help="network evaluations of each")
    parser.add_argument("--eta", type=float, default=1.0, help="noise of DDIM: 1 ancestral (DDPM), 0 deterministic")
    parser.add_argument("--spacing", choices=("even", "log-snr"), default="log-snr", help="of the times")
    parser.add_argument("--seed", type=int, default=0, help="of noise and drawing")
    parser.add_argument("--bf16", action="store_true", help="evaluate the network in bf16")
    parser.add_argument("--out", type=Path, default=Path("runs", "realism"), help="folder for CSV, JSON and PNG")
    options = parser.parse_args(arguments)
    if options.samples < FEWEST_SAMPLES:
        raise InputError(f"--samples must be at least {FEWEST_SAMPLES}, got {options.samples}.")
    for suffix in (".csv", ".json", ".png"):
        check_file(options.out / f"{options.prior.stem}-realism{suffix}")
    store = SliceStore.open(options.store, verify=True)
    prior, started = Prior.load(options.prior, store.spec, options.bf16), time.perf_counter()
    if prior.size != store.size:
        raise InputError(f"{options.prior} is for {prior.size} pixels, {options.store} has {store.size}.")
    shape, generators = (options.samples, store.size, store.size), spawn(options.seed, options.samples)
    spacing = 1.0 if options.spacing == "even" else options.spacing
    done = ddim(prior, shape, steps=options.steps, eta=options.eta, spacing=spacing, generators=generators)
    table = realism_table(store, done.samples[0].numpy(), seed=options.seed)
    stem, held_out = f"{options.prior.stem}-realism", store.split("test").images
    real = held_out[np.linspace(0, len(held_out) - 1, _SHOWN + 2).round().astype(int)[1:-1]]
    sheet = realism_sheet(done.samples[0, :_SHOWN], np.float32(real), store.spec)
    contact_sheet(options.out / f"{stem}.png", sheet, panel_inches=0.78, dpi=100)
    write_text(options.out / f"{stem}.csv", table.to_csv(index=False, float_format="%.5g"))
    record = {
        "prior": {"file": options.prior.name, "sha256": prior.digest, "bf16": prior.bf16},
        "store": {"name": f"{store.said('card')}/{store.said('profile')}", "sha256": store.manifest["sha256"]},
        **{name: getattr(options, name) for name in ("samples", "steps", "eta", "spacing", "seed")},
        "seconds": {"sampling": round(done.seconds), "all": round(time.perf_counter() - started)},
        "commit": provenance.commit(repository()),
        "machine": provenance.machine(),
    }
    write_json(options.out / f"{stem}.json", record)
    most = table.groupby(["modality", "set", "metric"])["n"].transform("max")
    shown = table[(table["metric"] != "rfd") | (table["n"] == most)]
    print(shown.drop(columns=["low", "high"]).round(3).to_string(index=False))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        print(f"realism: {error}", file=sys.stderr)
        sys.exit(2)
