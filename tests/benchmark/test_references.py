"""The experiment behind ``results/references.parquet``, on a tiny store, and what its committed numbers must show."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from a2a.benchmark import read_table, tables
from a2a.benchmark.references import ReferencesConfig, main
from a2a.common.errors import InputError
from a2a.common.paths import repository
from a2a.data.store.read import SliceStore
from a2a.data.store.write import StoreWriter
from a2a.evaluation.metrics import METRICS, psnr
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.methods.references.network import NetworkRegression, NetworkRegressionConfig
from a2a.methods.references.regression import LinearRegression
from a2a.training.config import NetworkSize

SPEC = StackSpec.of("T1", "T2")
EXPERIMENT = """
name: tiny
undersampling: {acceleration: 2, coils: 3}
scenarios:
  - {given: "T1 + y(T2)", targets: [T2]}
  - {given: "T1", targets: [T2]}
profiles: {smoke: {pixels: 1000, iterations: 5}}
"""


def write_store(path: Path, spec: StackSpec = SPEC, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    with StoreWriter(path, spec, 16) as writer:
        for split, subjects in (("train", "abcd"), ("val", "e"), ("test", "fg")):
            for subject in subjects:
                first = rng.uniform(size=(3, 1, 16, 16))
                images = np.concatenate([first, *[0.9 - 0.7 * first**2] * (len(spec) - 1)], axis=1)
                writer.add(split, subject, [0, 1, 2], [-8.0, 0.0, 8.0], images)
        writer.finish({"card": "tiny", "profile": "smoke"})
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with the store, the experiment and its results."""
    folder = tmp_path_factory.mktemp("references")
    write_store(folder / "store")
    (folder / "references.yaml").write_text(EXPERIMENT)
    main(
        [str(folder / "references.yaml"), "--train", str(folder / "store"), "--profile", "smoke", "--out", str(folder)]
    )
    return folder


def test_table_has_a_row_for_each_scenario_method_subject_and_metric(folder):
    table = read_table(folder / "references.parquet")
    methods = table.groupby("scenario")["method"].agg(set)
    regressions = {"linear-regression", "boosted-trees"}
    assert methods["T1"] == regressions
    assert methods["T1 + y(T2)"] == regressions | {"zero-filled", "tikhonov-sense"}
    by_subject = table[table["metric"].isin(METRICS)]
    assert len(by_subject) == (2 + 4) * 2 * len(METRICS) and set(by_subject["subject"]) == {"f", "g"}
    assert set(table["dataset"]) == {"tiny/smoke"} and table["value"].notna().all()
    assert table["settings"].str.startswith("lambda ").equals(table["method"] == "tikhonov-sense")


def test_table_agrees_with_a_calculation_by_hand(folder):
    table = read_table(folder / "references.parquet")
    store = SliceStore.open(folder / "store")
    train, test = store.split("train").images.astype(float), store.split("test").images.astype(float)
    predicted = LinearRegression.fit(train[:, :1], train[:, 1:]).predict(test[:, :1])
    row = table.query(
        "scenario == 'T1' and method == 'linear-regression' and subject == 'g' and metric == 'psnr_slice'"
    )
    assert row["value"].item() == pytest.approx(psnr(test[3:, 1], predicted[3:, 0]).mean(), rel=1e-5)


def test_rows_say_where_they_come_from(folder):
    table, sums = read_table(folder / "references.parquet"), SliceStore.open(folder / "store").manifest["sha256"]
    assert set(table["store"]) == {sums["test.npy"][:16]} and set(table["experiment"]) == {"tiny"}
    assert set(table["weights"].dropna()) == {sums["train.npy"][:16]} and table["commit"].notna().all()
    assert table["weights"].isna().equals(table["method"] == "zero-filled")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    size = NetworkSize(width=8, multipliers=(1, 2), attention=())
    config = NetworkRegressionConfig(name="net", data="tiny", network=size, steps=1)
    path = tmp_path_factory.mktemp("network") / "method.safetensors"
    NetworkRegression(NetworkRegression.build(config, SPEC, 16), config, SPEC, 16, {}).save(path)
    return path


def test_a_trained_network_has_rows_too_which_stay(folder, network, tmp_path):
    same = ["--train", str(folder / "store"), "--profile", "smoke", "--out", str(tmp_path)]
    (tmp_path / "references.parquet").write_bytes((folder / "references.parquet").read_bytes())
    main([str(folder / "references.yaml"), *same, "--network", str(network)])
    table = read_table(tmp_path / "references.parquet")
    rows = table[table.method == "network-regression"]
    assert set(rows.scenario) == {"T1"} and set(rows[rows.metric == "psnr"].subject) == {"f", "g"}
    test = SliceStore.open(folder / "store").split("test").images
    answer = NetworkRegression.load(network, SPEC).complete(
        Observation.build(SPEC, {"T1": torch.from_numpy(np.float32(test[3:, 0]))}, {})
    )
    expected = psnr(test[3:, 1].astype(float), answer.samples[0][:, 1].double().numpy()).mean()
    row = rows.query("subject == 'g' and metric == 'psnr_slice'")
    assert row["value"].item() == pytest.approx(expected, rel=1e-5)
    main([str(folder / "references.yaml"), *same, "--overwrite"])
    pd.testing.assert_frame_equal(read_table(tmp_path / "references.parquet"), table)
    moved = [str(folder / "references.yaml"), *same, "--test", str(write_store(tmp_path / "other", seed=1))]
    with pytest.raises(InputError, match="rows are of other jobs"):
        main(moved)
    main([*moved, "--overwrite"])  # rows of the network on another store are not of this table
    assert "network-regression" not in set(read_table(tmp_path / "references.parquet").method)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("coils: 3", "coil: 3"), "undersampling.coil"),
        (("targets: [T2]", "targets: []"), "scenarios.0.targets"),
        (("T1 + y(T2)", "T1 + y(PET)"), "PET"),
        (("targets: [T2]", "targets: [PET]"), "PET"),
        (("{smoke:", "{ci:"), "no profile 'smoke'; .* has ci"),
        (("name: tiny", "name: [tiny"), "not valid YAML"),
    ],
)
def test_bad_experiments_write_nothing(folder, tmp_path, change, message):
    path = tmp_path / "references.yaml"
    path.write_text(EXPERIMENT.replace(*change))
    out = tmp_path / "out"
    with pytest.raises(InputError, match=message):
        main([str(path), "--train", str(folder / "store"), "--profile", "smoke", "--out", str(out)])
    assert not out.exists()


def test_missing_files_and_other_stores_are_refused(folder, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        ReferencesConfig.load(tmp_path / "none.yaml")
    other = write_store(tmp_path / "other", StackSpec.of("T1", "T2", "CT"))
    arguments = [
        "--train",
        str(folder / "store"),
        "--test",
        str(other),
        "--profile",
        "smoke",
        "--out",
        str(tmp_path / "o"),
    ]
    with pytest.raises(InputError, match="other modalities"):
        main([str(folder / "references.yaml"), *arguments])


@pytest.mark.parametrize("name", ["references", "phantom-information"])
def test_experiments_of_the_repository_are_valid(name):
    config = ReferencesConfig.load(repository("experiments", f"{name}.yaml"))
    assert {"smoke", "full"} <= set(config.profiles)


def committed(name: str) -> pd.Series:
    """Committed mean subject PSNR by scenario, method and modality."""
    table = tables([repository("results", f"{name}.parquet")])
    return table[table["metric"] == "psnr"].groupby(["scenario", "method", "modality"])["value"].mean()


def test_committed_numbers_show_what_the_phantom_was_designed_for():
    trees = committed("phantom-information").xs("boosted-trees", level="method")
    for target, gain in (("T2FLAIR", 1.0), ("CT", 1.0), ("PET", 0.3)):
        assert trees["T1 + T2star", target] - trees["T1", target] >= gain
    for target in ("CT", "PET"):
        assert trees["T1 + T2FLAIR + T2star", target] >= trees["T1 + T2star", target] - 0.1


def test_committed_references_are_in_order():
    psnrs = committed("references")["T1 + y(T2FLAIR)"].xs("T2FLAIR", level="modality")
    assert psnrs["zero-filled"] + 7 < psnrs["tikhonov-sense"] < psnrs["linear-regression"] < psnrs["boosted-trees"]
