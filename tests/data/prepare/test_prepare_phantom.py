"""From the phantom's card to a store."""

from pathlib import Path

import numpy as np
import pytest

from a2a.common.errors import InputError
from a2a.data.cards.card import DataCard, load_card
from a2a.data.phantom import PhantomConfig, generate_subject, stack_slices
from a2a.data.prepare.prepare import prepare
from a2a.data.store.read import SliceStore


def _phantom_card(**changes: object) -> DataCard:
    card = load_card("phantom-any2all").model_dump(mode="json")
    profile = {"train": ["2"], "test": ["x1", "205"], "slices": 3}
    return DataCard.model_validate(card | {"profiles": {"ci": profile}} | changes)


def test_phantom_slices_are_those_of_the_generator(tmp_path: Path) -> None:
    card = _phantom_card()
    report = prepare(card, tmp_path / "store", size=64)
    assert [s.subject for s in report.skipped] == ["x1"] and report.rows == {"train": 3, "val": 0, "test": 3}
    store = SliceStore.open(tmp_path / "store")
    subject = generate_subject(PhantomConfig(size=64, dz=4.0), 205)
    expected = stack_slices(subject, 3, card.spec["PET"].window[1])
    np.testing.assert_allclose(store.split("test").images, expected, atol=5e-4)
    assert store.split("test").z_mm.tolist() == [-24.0, 20.0, 64.0]
    assert prepare(card, tmp_path / "store", size=64).reused


@pytest.mark.parametrize(
    ("changes", "use", "words"),
    [
        ({}, {"size": 60}, "has no size 60"),
        ({}, {"root": "data"}, "is generated, not read"),
        ({}, {"workers": 0}, "at least 1 worker"),
        ({"source": {"kind": "phantom", "preset": "any2none", "dz_mm": 4}}, {}, "has no preset 'any2none'"),
        ({"source": {"kind": "phantom", "preset": "any2all", "dz_mm": 40}}, {}, "has no dz 40"),
        ({"profiles": {"ci": {"train": ["0"], "test": ["1"], "slices": 99}}}, {}, "between 2 and 23"),
    ],
)
def test_phantom_settings_that_cannot_be(changes: dict, use: dict, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        prepare(_phantom_card(**changes), tmp_path / "store", **use)
    assert list(tmp_path.iterdir()) == []


def test_phantom_card_must_name_its_modalities(tmp_path: Path) -> None:
    card = _phantom_card()
    fewer = card.model_copy(update={"modalities": card.modalities[:4]})
    with pytest.raises(InputError, match="must be those of its phantom: T1, T2FLAIR, T2star, CT, PET"):
        prepare(fewer, tmp_path / "store")


@pytest.mark.parametrize("preset", ["brats", "adni", "isles"])
def test_slices_come_with_their_labels(preset: str, tmp_path: Path) -> None:
    card = load_card(f"phantom-{preset}")
    profiles = {"ci": {"train": ["4"], "test": ["6"], "slices": 23}}
    small = DataCard.model_validate(card.model_dump(mode="json") | {"profiles": profiles})
    report = prepare(small, tmp_path / "store", size=64)
    assert report.rows == {"train": 23, "val": 0, "test": 23} and not report.skipped
    store = SliceStore.open(tmp_path / "store", verify=True)
    split, subject = store.split("test"), generate_subject(PhantomConfig(preset=preset, dz=4.0), 6)
    np.testing.assert_array_equal(split.labels[:, 0], subject.lesion[split.planes])
    np.testing.assert_allclose(split.images, stack_slices(subject, 23, 1.0), atol=5e-4)
    assert split.labels.any()
    (label,) = store.label_maps
    assert {int(v) for v in label["values"]} >= set(np.unique(split.labels).tolist())
    assert store.manifest["subjects"]["6"]["latents"] == subject.latents
    assert prepare(small, tmp_path / "store", size=64).reused


def test_the_lesion_map_of_a_card_must_be_that_of_its_phantom(tmp_path: Path) -> None:
    card = load_card("phantom-isles").model_dump(mode="json")
    wrong = card | {"labels": [{"name": "infarct", "values": {"0": "background", "2": "infarct"}}]}
    with pytest.raises(InputError, match=r"its values are 0 and \[1\]"):
        prepare(DataCard.model_validate(wrong), tmp_path / "store")
    without = DataCard.model_validate(
        card | {"labels": [], "profiles": {"ci": {"train": ["1"], "test": ["2"], "slices": 2}}}
    )
    prepare(without, tmp_path / "store")
    assert SliceStore.open(tmp_path / "store").split("test").labels.shape == (2, 0, 64, 64)
