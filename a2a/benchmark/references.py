"""The table of the trivial references: ``python -m a2a.benchmark.references experiments/references.yaml --help``.

Writes a results table named like the experiment (`a2a.benchmark.table`).
"""

import argparse
import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from a2a.benchmark.measures import measured
from a2a.benchmark.partial import PartialResults
from a2a.benchmark.table import NOISE_SEEDS, origin, read_table, split_digest
from a2a.common.errors import Failure, InputError
from a2a.common.progress import progress
from a2a.common.rng import spawn
from a2a.data.store.read import SliceStore, Split
from a2a.evaluation.metrics import summary
from a2a.forward.observation import Observation
from a2a.forward.scenario import Scenario
from a2a.forward.stack import StackSpec
from a2a.methods.references.config import ReferencesConfig, ScenarioTargets
from a2a.methods.references.network import NetworkRegression
from a2a.methods.references.reconstruction import tikhonov_sense, tune_lambda, zero_filled
from a2a.methods.references.regression import BoostedTrees, LinearRegression, TreesConfig
from a2a.methods.tissues import Tissues
from a2a.prior.shipped import located

_CHUNK = 256


def reference_table(
    config: ReferencesConfig, trees: TreesConfig, train: SliceStore, tests: Sequence[SliceStore]
) -> pd.DataFrame:
    """Fit the references on one store and measure them on the test splits of others; see also `network_table`.

    Parameters
    ----------
    config
        Scenarios and undersampling.
    trees
        Size of the boosted trees.
    train
        Its training split fits the regressions, its validation split tunes SENSE.
    tests
        Stores of the same modalities and size.

    Returns
    -------
    pandas.DataFrame
        Rows of `a2a.benchmark.table.SCHEMA`; ``settings`` says the tuned weight of SENSE.

    Raises
    ------
    InputError
        If a test store has other modalities or another size, or a name is unknown.
    """
    _check(config, train, tests)
    blocks = [_block(block, config, trees, train, tests) for block in config.scenarios]
    return pd.concat(blocks, ignore_index=True).assign(job=_key(config, trees, train, tests))


def network_table(config: ReferencesConfig, network: NetworkRegression, tests: Sequence[SliceStore]) -> pd.DataFrame:
    """Measure plain regression by a U-Net, which was trained before, where the other regressions are fitted on images.

    Parameters
    ----------
    config
        Scenarios; those with k-space are left out.
    network
        The U-Net.
    tests
        Stores of its modalities and size.

    Returns
    -------
    pandas.DataFrame
        Rows of `a2a.benchmark.table.SCHEMA`; none if there is no such scenario.
    """
    tables = []
    for block, store in product(config.scenarios, tests):
        if "measured" in Scenario.parse(block.given, store.spec).kinds or not block.regressions:
            continue
        split = store.split("test")
        images = torch.from_numpy(np.float32(split.images[split.thinned(block.every)]))
        targets = [store.spec.index(name) for name in block.targets]
        completed = network.complete(Observation.simulate(images, block.given, store.spec)).samples[0][:, targets]
        own = {"method": network.name, "settings": "", "weights": network.digest[:16]}
        tables.append(_measured(completed, block, config, store).assign(**own))
    if not tables:
        return pd.DataFrame()
    return pd.concat(tables, ignore_index=True).assign(job=_network_key(config, network, tests))


def _network_key(config: ReferencesConfig, network: NetworkRegression, tests: Sequence[SliceStore]) -> str:
    """Hash of everything that decides the rows of the U-Net."""
    said = config.model_dump_json(include={"scenarios", "learned"})
    return hashlib.sha256("\n".join([said, network.digest, *map(split_digest, tests)]).encode()).hexdigest()[:16]


def _check(config: ReferencesConfig, train: SliceStore, tests: Sequence[SliceStore]) -> None:
    """Refuse stores that do not go together, and unknown names."""
    for store in tests:
        if (store.spec.names, store.size) != (train.spec.names, train.size):
            raise InputError(f"{store.path} has other modalities or another size than {train.path}.")
    for block in config.scenarios:
        Scenario.parse(block.given, train.spec).require_open(block.targets, train.spec)


def _key(config: ReferencesConfig, trees: TreesConfig, train: SliceStore, tests: Sequence[SliceStore]) -> str:
    """Hash of everything that decides the rows of a table."""
    digests = [train.manifest["sha256"]["train.npy"], *map(split_digest, tests)]
    unsaid = {"name", "profiles"} | (set() if config.learned else {"learned"})
    settings = [config.model_dump_json(exclude=unsaid), trees.model_dump_json(), *digests]
    return hashlib.sha256("\n".join(settings).encode()).hexdigest()[:16]


def write_references(
    out: Path,
    config: ReferencesConfig,
    trees: TreesConfig,
    train: SliceStore,
    tests: Sequence[SliceStore],
    overwrite: bool = False,
    network: NetworkRegression | None = None,
) -> pd.DataFrame:
    """Write the rows of `reference_table`, scenario by scenario; those that `out` or a killed run holds are kept.

    So are those of a U-Net, unless another one is given.

    Parameters
    ----------
    out
        The Parquet file.
    config
        Scenarios and undersampling.
    trees
        Settings of the boosted trees.
    train
        Store whose training split is learned from.
    tests
        Stores whose test splits are predicted.
    overwrite
        Whether rows of `out` that are of none of the scenarios go; else they are a reason to refuse.
    network
        A trained U-Net, to be measured, too.
    """
    _check(config, train, tests)
    single = [config.model_copy(update={"scenarios": (block,)}) for block in config.scenarios]
    blocks = {_key(one, trees, train, tests): one for one in single}
    former = _of_a_network(out, tests) if network is None else {}
    with PartialResults(out, [*blocks, *former], overwrite) as partial:
        done = partial.done()
        for key in progress([key for key in blocks if key not in done], "scenarios"):
            done[key] = reference_table(blocks[key], trees, train, tests)
            partial.add(key, done[key])
        last = [network_table(config, network, tests)] if network is not None else former.values()
        partial.join(pd.concat([*(done[key] for key in blocks), *last]))
    return read_table(out)


def _of_a_network(out: Path, tests: Sequence[SliceStore]) -> dict[str, pd.DataFrame]:
    """The rows of a U-Net that a table of these stores holds, by job."""
    if not out.is_file():
        return {}
    table = read_table(out)
    same = table["store"].isin(list(map(split_digest, tests)))
    rows = table[same & (table["method"] == NetworkRegression.name)]
    return {str(job): part for job, part in rows.groupby("job", sort=False)}


def _block(
    block: ScenarioTargets, config: ReferencesConfig, trees: TreesConfig, train: SliceStore, tests: Sequence[SliceStore]
) -> pd.DataFrame:
    """Return the rows of one scenario."""
    spec = train.spec
    scenario = Scenario.parse(block.given, spec)
    channels = [i for i, kind in enumerate(scenario.kinds) if kind != "missing"]
    targets = [spec.index(name) for name in block.targets]
    lam = _tuned(block.given, config, train)
    predict = _fitted(block, config, trees, train, lam) if block.regressions else None
    tables = []
    for store in tests:
        split = store.split("test")
        results, rows = {}, split.thinned(block.every)
        if predict is not None:
            images = _given(split, "test", block.given, spec, config, lam)[rows][:, channels]
            results |= predict(images, split.z_mm[rows])
        if lam is not None:
            reconstructed = _reconstructions(split, block.given, spec, config, lam, targets)
            results |= {method: images[rows] for method, images in reconstructed.items()}
        for method, completed in results.items():
            own = {
                "method": method,
                "settings": f"lambda {lam:.3g}" if method == "tikhonov-sense" else "",
                "weights": None if method == "zero-filled" else train.manifest["sha256"]["train.npy"][:16],
            }
            tables.append(_measured(torch.as_tensor(completed), block, config, store).assign(**own))
    return pd.concat(tables)


def _measured(
    completed: torch.Tensor, block: ScenarioTargets, config: ReferencesConfig, store: SliceStore
) -> pd.DataFrame:
    """Return the metrics of completed targets `(N, targets, H, W)`, and what is known of all references."""
    split = store.split("test")
    rows = split.thinned(block.every)
    truth = torch.from_numpy(np.float32(split.images[rows]))
    lesion = split.labels[rows].any(axis=1) if split.labels.shape[1] else None
    learned = Tissues.load(located(config.learned)) if config.learned else None
    labels = {"scenario": str(Scenario.parse(block.given, store.spec)), "slices": len(rows), "precision": "float32"}
    made = truth.clone()
    made[:, [store.spec.index(name) for name in block.targets]] = completed.float()
    found = measured(truth, made, split.subjects[rows], store.spec, block.targets, lesion=lesion, learned=learned)
    return found.assign(**labels, **origin(config.name, config.seed, store))


def _fitted(
    block: ScenarioTargets, config: ReferencesConfig, trees: TreesConfig, train: SliceStore, lam: float | None
) -> Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]]:
    """Fit both regressions of a scenario; what is returned predicts from given images and plane positions."""
    channels = [i for i, kind in enumerate(Scenario.parse(block.given, train.spec).kinds) if kind != "missing"]
    split = train.split("train")
    given = _given(split, "train", block.given, train.spec, config, lam)[:, channels]
    wanted = split.images[:, [train.spec.index(name) for name in block.targets]]
    linear, boosted = LinearRegression.fit(given, wanted), BoostedTrees.fit(given, wanted, split.z_mm, trees)

    def predict(images: np.ndarray, z_mm: np.ndarray) -> dict[str, np.ndarray]:
        return {"linear-regression": linear.predict(images), "boosted-trees": boosted.predict(images, z_mm)}

    return predict


def _observations(
    split: Split, name: str, text: str, spec: StackSpec, config: ReferencesConfig
) -> Iterator[Observation]:
    """Simulate the acquisition of a split, a piece at a time; a slice's noise does not depend on the pieces."""
    for start in range(0, len(split), _CHUNK):
        images = torch.from_numpy(split.images[start : start + _CHUNK].astype(np.float32))
        generators = spawn(config.seed + NOISE_SEEDS[name], range(start, start + len(images)))
        yield Observation.simulate(images, text, spec, config.undersampling, generators)


def _given(
    split: Split, name: str, text: str, spec: StackSpec, config: ReferencesConfig, lam: float | None
) -> np.ndarray:
    """Return what the regressions see (N, n, H, W): clean images, SENSE images of undersampled modalities."""
    if lam is None:
        return split.images
    observed = _observations(split, name, text, spec, config)
    return np.concatenate([tikhonov_sense(o, lam).numpy() for o in observed])


def _reconstructions(
    split: Split, text: str, spec: StackSpec, config: ReferencesConfig, lam: float, targets: Sequence[int]
) -> dict[str, np.ndarray]:
    parts = [(zero_filled(o), tikhonov_sense(o, lam)) for o in _observations(split, "test", text, spec, config)]
    zero, sense = (torch.cat(images)[:, targets].numpy() for images in zip(*parts, strict=True))
    return {"zero-filled": zero, "tikhonov-sense": sense}


def _tuned(text: str, config: ReferencesConfig, train: SliceStore) -> float | None:
    """Return the SENSE weight tuned on the validation split, None where nothing is undersampled."""
    if "measured" not in Scenario.parse(text, train.spec).kinds:
        return None
    split = train.split("val")
    images = torch.from_numpy(split.images.astype(np.float32))
    generators = spawn(config.seed + NOISE_SEEDS["val"], len(images))
    return tune_lambda(Observation.simulate(images, text, train.spec, config.undersampling, generators), images)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the experiment from the command line."""
    parser = argparse.ArgumentParser(prog="python -m a2a.benchmark.references", description="Measure the references.")
    parser.add_argument("config", type=Path, help="experiments/references.yaml or another of its form")
    parser.add_argument("--train", type=Path, required=True, help="slice store with train and val splits")
    parser.add_argument("--test", type=Path, action="append", help="slice store to measure on; may be repeated")
    parser.add_argument("--profile", default="full", help="size of the trees")
    parser.add_argument("--network", type=Path, help="a trained regression U-Net to measure, too (.safetensors)")
    parser.add_argument("--out", type=Path, default=Path("runs", "bench"), help="folder for the table")
    parser.add_argument("--overwrite", action="store_true", help="drop rows of other scenarios, stores or settings")
    options = parser.parse_args(arguments)
    config = ReferencesConfig.load(options.config)
    if options.profile not in config.profiles:
        raise InputError(f"There is no profile {options.profile!r}; {options.config} has {', '.join(config.profiles)}.")
    train = SliceStore.open(options.train)
    tests = [SliceStore.open(path) for path in options.test or [options.train]]
    out = options.out / f"{options.config.stem}.parquet"
    network = NetworkRegression.load(options.network, train.spec) if options.network else None
    table = write_references(out, config, config.profiles[options.profile], train, tests, options.overwrite, network)
    labels = ["dataset", "scenario", "modality", "method", "subject", "metric", "value"]
    psnr = table.loc[table["metric"] == "psnr", labels]
    print(summary(psnr).drop(columns=["metric", "identical"]).round(2).to_string(index=False))


if __name__ == "__main__":
    try:
        main()
    except (InputError, Failure) as error:
        print(f"references: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, InputError) else 1)
