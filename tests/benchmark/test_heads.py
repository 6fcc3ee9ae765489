"""Priors on real heads: a table with what they are compared to, on made heads."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from a2a.benchmark.coarse import CoarseRoute
from a2a.benchmark.heads import main, observe
from a2a.common.errors import InputError
from a2a.data.store.read import SliceStore
from a2a.data.store.write import StoreWriter
from a2a.forward.stack import Modality, StackSpec
from a2a.forward.undersampling import Undersampling
from a2a.methods.references.regression import TreesConfig
from a2a.prior.prior import Prior

SIDE, SPEC = 32, StackSpec.of("T1", "T2FLAIR")
OTHER = StackSpec((Modality("FLAIR", aliases=("T2FLAIR",)), Modality("T1SE", aliases=("T1",))))
HOW = {"field_of_view_mm": 256.0, "brain_fraction": 0.05, "percentile": 99.5, "foreground": "nonzero", "size": SIDE}


def heads(count: int, seed: int) -> np.ndarray:
    """Smooth discs; the second modality falls where the first rises."""
    rng, place = np.random.default_rng(seed), np.hypot(*np.mgrid[-15.5:16.5, -15.5:16.5])
    first = 0.5 + 0.3 * np.cos(place / 3 + rng.uniform(0, 6, (count, 1, 1)))
    return np.where(place < 12, np.stack([first, 1 - first], axis=1), 0).astype(np.float16)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Write a store with a training, a validation and a test head, the last with a lesion."""
    lesions = {"name": "lesions", "values": {"0": "no", "1": "yes"}}
    with StoreWriter(tmp_path / "store", SPEC, SIDE, label_maps=[lesions]) as writer:
        for seed, split in enumerate(("train", "val", "test")):
            labels = np.zeros((6, 1, SIDE, SIDE), np.uint8)
            labels[:, :, 14:17, 14:17] = 1
            writer.add(split, split, list(range(6)), [8.0 * i for i in range(6)], heads(6, seed), labels)
        writer.finish({"card": "made", "profile": "ci", "fingerprint": "f", "preprocessing": HOW})
    return tmp_path / "store"


@pytest.fixture
def coarse(tiny_prior_of: Callable[..., Prior]) -> Prior:
    """Make a prior of 16 pixels of 12 mm, with its modalities in another order under other names."""
    return tiny_prior_of(OTHER, 16, HOW | {"field_of_view_mm": 192.0, "size": 16})


def test_slices_of_a_store_know_what_lies_beside_them(store):
    opened = SliceStore.open(store)
    split = opened.split("test")
    found = observe(opened, split, np.array([0, 3]), "T1 + y(FLAIR)", Undersampling()).adjacent.gathered()
    images = torch.from_numpy(np.float32(split.images))
    assert found[0, 0].isnan().all() and found[:, :, 1].isnan().all()
    assert torch.equal(found[[0, 1, 1], [1, 0, 1], 0], images[[1, 2, 4], 0])


def test_the_table_holds_the_prior_its_samples_and_what_it_is_compared_to(
    tmp_path, store, coarse, tiny_prior_of, monkeypatch, capsys
):
    monkeypatch.setenv("A2A_QUIET", "1")
    monkeypatch.setattr("a2a.benchmark.heads.TREES", TreesConfig(pixels=3000, iterations=40, rate=0.2))
    tiny_prior_of(SPEC, SIDE, HOW).save(tmp_path / "fine.safetensors")
    coarse.save(tmp_path / "coarse.safetensors")
    words = ["--store", str(store), "--given", "T1 + y(FLAIR)", "--given", "T1", "--target", "FLAIR", "--trees"]
    words += ["--steps", "1", "2", "--samples", "2", "--coarse", str(tmp_path / "coarse.safetensors")]
    main([str(tmp_path / "fine.safetensors"), *words, "--out", str(tmp_path / "out")])
    table = pd.read_csv(tmp_path / "out" / "fine-heads.csv").set_index(["given", "method", "of"])
    measured, missing = table.loc["T1 + y(FLAIR)"], table.loc["T1"]
    assert set(measured.index) - set(missing.index) == {("SENSE", "estimate")}
    assert set(missing.index) == {
        ("prior, 1 evaluation", "sample"), ("prior, 2 evaluations", "sample"),
        ("prior, 2 evaluations", "mean of samples"),
        ("the truth at 12 mm", "image"), ("at 12 mm, 2 evaluations", "sample"), ("boosted trees", "estimate"),
        ("at 12 mm, 2 evaluations", "mean of samples"),
    }  # fmt: skip
    assert (table["slices"] == 6).all() and table["psnr_lesions"].notna().all()
    # the second modality is a function of the first: trees learn it, SENSE does not know, untrained networks neither
    trees, sense = missing.loc["boosted trees", "psnr"].item(), measured.loc["SENSE", "psnr"].item()
    assert trees > 40 > 30 > sense > 20 > missing.loc["prior, 2 evaluations", "psnr"].max()
    assert 20 < missing.loc["the truth at 12 mm", "psnr"].item() < 35
    assert json.loads((tmp_path / "out" / "fine-heads.json").read_text())["coarse"]["sha256"] == coarse.digest


def test_slices_go_to_the_coarse_grid_and_come_back_at_their_place_and_scale(store, coarse):
    route = CoarseRoute(coarse, SliceStore.open(store))
    images = torch.zeros(1, 2, SIDE, SIDE)
    images[:, :, 4:28, 4:28] = 0.7
    seen = route.seen(images)
    assert route.millimetres == 12 and float(seen[..., :4, :].abs().max()) == 0
    torch.testing.assert_close(seen[..., 6:26, 6:26], images[..., 6:26, 6:26])
    truth = torch.from_numpy(np.asarray(SliceStore.open(store).split("test").images, np.float32))
    found, _ = route.complete(truth, "T2FLAIR", 1, Undersampling(), steps=1, samples=2, rho=0.0)
    expected = route.seen((truth / route.scales(truth)).clamp(0, 1))[:, 1] * route.scales(truth)[1]
    torch.testing.assert_close(found[1], expected, atol=1e-5, rtol=0)  # given clean, it comes back as it went


def test_a_coarse_prior_of_other_modalities_or_of_a_larger_field_is_refused(store, tiny_prior_of):
    opened = SliceStore.open(store)
    with pytest.raises(
        InputError, match=r"--coarse: its prior has CT, the store has T1, T2FLAIR; name one of the same"
    ):
        CoarseRoute(tiny_prior_of(StackSpec.of("T1", "CT"), 16, HOW), opened)
    with pytest.raises(
        InputError, match=r"--coarse: its grid of 32 pixels in 256 mm is none inside the store's 32 in 256"
    ):
        CoarseRoute(tiny_prior_of(SPEC, 32, HOW), opened)
