"""The table of a prior's realism, where the answer is known, and the command that writes it."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

from a2a.benchmark.realism import COLUMNS, FLOOR, GENERATED, main, realism_table
from a2a.common.errors import InputError
from a2a.data.store.read import SliceStore
from a2a.data.store.write import StoreWriter
from a2a.forward.stack import StackSpec

SPEC = StackSpec.of("T1", "CT")
SIZE, SLICES = 24, 4


def heads(seed: int, count: int) -> np.ndarray:
    """Stacks (count, 2, 24, 24) of textured discs; CT is the inverted, smoother T1."""
    rng = np.random.default_rng(seed)
    i, j = np.mgrid[:SIZE, :SIZE]
    disc = np.hypot(i - 11.5, j - 11.5) < rng.uniform(8, 11, (count, 1, 1))
    texture = gaussian_filter(rng.standard_normal((count, SIZE, SIZE)), (0, 0.7, 0.7))
    t1 = disc * (rng.uniform(0.4, 0.6, (count, 1, 1)) + 0.15 * texture)
    return np.clip(np.stack([t1, disc * (1 - gaussian_filter(t1, (0, 0.5, 0.5)))], axis=1), 0, 1)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> SliceStore:
    folder = tmp_path_factory.mktemp("data") / "store"
    with StoreWriter(folder, SPEC, SIZE) as writer:
        for first, split, subjects in ((0, "train", 40), (100, "val", 1), (200, "test", 8)):
            for number in range(first, first + subjects):
                images = heads(number, SLICES).astype(np.float16)
                writer.add(split, f"s{number}", list(range(SLICES)), [4.0 * k for k in range(SLICES)], images)
        writer.finish({"card": "discs", "profile": "ci"})
    return SliceStore.open(folder)


def values(table: pd.DataFrame, name: str = GENERATED) -> pd.Series:
    """Values of T1 (or of the stack) at the largest n, by metric."""
    part = table[(table["set"] == name) & table["modality"].isin(["T1", "stack"])]
    return part.sort_values("n").drop_duplicates("metric", keep="last").set_index("metric")["value"]


@pytest.fixture(scope="module")
def honest(store) -> pd.DataFrame:
    return realism_table(store, heads(999, 30), draws=40)


def test_a_perfect_prior_lies_at_the_floor(honest):
    assert list(honest) == COLUMNS and not honest.duplicated(["modality", "set", "metric", "n"]).any()
    assert set(honest["modality"]) == {"T1", "CT", "stack"} and np.isfinite(honest["value"]).all()
    made, floor = values(honest), values(honest, FLOOR)
    assert set(made.index) == set(floor.index)
    assert 0.5 < made["rfd"] / floor["rfd"] < 2
    assert made["hfr"] == pytest.approx(1, abs=0.3) and floor["gradient"] == pytest.approx(1, abs=0.1)
    assert made["nearest median"] == pytest.approx(floor["nearest median"], rel=0.2)


def test_the_distance_is_shown_at_several_sizes_and_falls(honest):
    part = honest[(honest["metric"] == "rfd") & (honest["modality"] == "CT") & (honest["set"] == GENERATED)]
    part = part.sort_values("n")
    assert len(part) > 5 and part["n"].iloc[-1] == 30 and part["value"].iloc[0] > part["value"].iloc[-1]
    last = part.iloc[-1]
    assert last["low"] < last["value"] < last["high"]
    limit = honest[(honest["metric"] == "rfd limit") & (honest["modality"] == "CT") & (honest["set"] == GENERATED)]
    assert limit["value"].item() < last["value"]


def test_blurred_samples_are_told(store, honest):
    blurred = values(realism_table(store, gaussian_filter(heads(999, 30), (0, 0, 1, 1)), draws=20))
    assert blurred["rfd"] > 3 * values(honest)["rfd"] and blurred["hfr"] < 0.3
    assert blurred["precision"] < values(honest)["precision"]


def test_repeated_training_stacks_are_told(store, honest):
    copies = store.split("train").images[::5][:30].astype(float)
    copied = values(realism_table(store, copies, draws=20))
    assert copied["nearest smallest"] == 0 and copied["nearer"] == 1.0
    assert values(honest)["nearest smallest"] > 0.01 and values(honest)["nearer"] < 0.2


@pytest.mark.parametrize(
    "generated, says",
    [
        (np.zeros((30, 3, SIZE, SIZE)), r"stacks \(2, 24, 24\), got \(30, 3, 24, 24\)"),
        (np.zeros((5, 2, SIZE, SIZE)), "N >= 20"),
        (np.full((30, 2, SIZE, SIZE), np.nan), "NaN"),
        (np.zeros((30, 2, SIZE, SIZE)), "Only 0 samples"),
        (np.tile(heads(0, 1), (60, 1, 1, 1)), "training split gives 40 slices for the noise floor; 60 are needed"),
    ],
)
def test_bad_samples(store, generated, says):
    with pytest.raises(InputError, match=says):
        realism_table(store, generated, draws=20)


def test_command_writes_a_table_and_its_provenance(store, tiny_prior_of, tmp_path, capsys):
    prior = tiny_prior_of(SPEC, SIZE)
    prior.save(tmp_path / "tiny.safetensors")
    words = [str(tmp_path / "tiny.safetensors"), "--store", str(store.path), "--out", str(tmp_path / "results")]
    main([*words, "--samples", "24", "--steps", "2"])
    table = pd.read_csv(tmp_path / "results" / "tiny-realism.csv")
    record = json.loads((tmp_path / "results" / "tiny-realism.json").read_text())
    assert list(table) == COLUMNS and table["n"].max() >= 24
    assert [record[key] for key in ("samples", "steps", "eta")] == [24, 2, 1.0]
    assert record["prior"]["sha256"] == prior.digest
    assert (tmp_path / "results" / "tiny-realism.png").read_bytes().startswith(b"\x89PNG")
    assert record["store"]["name"] == "discs/ci" and "nearest median" in capsys.readouterr().out
    with pytest.raises(InputError, match="--samples must be at least 20, got 3"):
        main([*words, "--samples", "3"])
    tiny_prior_of(SPEC, 16).save(tmp_path / "tiny.safetensors")
    with pytest.raises(InputError, match="is for 16 pixels"):
        main(words)
