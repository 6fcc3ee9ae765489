"""More inputs really help: the experiment behind ``results/phantom-information.csv`` once more, on fewer heads."""

from pathlib import Path

import pandas as pd
import pytest

from a2a.benchmark.references import reference_table
from a2a.common.paths import repository
from a2a.data.cards.card import DataCard, load_card
from a2a.data.prepare.prepare import prepare
from a2a.data.store.read import SliceStore
from a2a.methods.references.config import ReferencesConfig
from a2a.methods.references.regression import TreesConfig


@pytest.fixture(scope="module")
def psnr(tmp_path_factory) -> pd.Series:
    """Mean subject PSNR of boosted trees by scenario and target: 48 heads to learn from, 14 to test on."""
    folder: Path = tmp_path_factory.mktemp("information")
    profile = {"train": ["0..47"], "test": ["205..218"], "slices": 12}
    card = load_card("phantom-any2all").model_dump(mode="json") | {"profiles": {"full": profile}}
    prepare(DataCard.model_validate(card), folder / "store", profile="full", workers=2)
    config = ReferencesConfig.load(repository("experiments", "phantom-information.yaml"))
    store = SliceStore.open(folder / "store")
    table = reference_table(config, TreesConfig(pixels=80_000, iterations=120), store, [store])
    table = table[(table["metric"] == "psnr") & (table["method"] == "boosted-trees")]
    return table.groupby(["scenario", "modality"])["value"].mean()


@pytest.mark.slow
@pytest.mark.parametrize(("target", "gain"), [("T2FLAIR", 1.0), ("CT", 1.0), ("PET", 0.3)])
def test_t2star_adds_to_t1(psnr, target, gain):
    assert psnr["T1 + T2star", target] - psnr["T1", target] >= gain


@pytest.mark.slow
@pytest.mark.parametrize("target", ["CT", "PET"])
def test_flair_takes_nothing_away(psnr, target):
    assert psnr["T1 + T2FLAIR + T2star", target] >= psnr["T1 + T2star", target] - 0.1
