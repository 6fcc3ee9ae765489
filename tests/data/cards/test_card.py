"""Data cards: those that are shipped, and what the schema refuses."""

from pathlib import Path

import pytest
import yaml

from a2a.common.errors import InputError
from a2a.common.paths import repository
from a2a.data.cards.card import find_card, load_card

CARDS = sorted(repository("data_cards").glob("*.yaml"))


def _content(name: str = "open-ms") -> dict:
    return yaml.safe_load(find_card(name).read_text(encoding="utf-8"))


def _write(folder: Path, content: object) -> Path:
    path = folder / "card.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


@pytest.mark.parametrize("path", CARDS, ids=lambda p: p.stem)
def test_shipped_cards_are_valid_and_named_as_their_file(path: Path) -> None:
    card = load_card(path)
    assert card.name == path.stem
    assert card.spec.names == tuple(m.name for m in card.modalities)
    assert bool(card.profiles) == (card.source.kind in ("phantom", "files"))
    for profile in card.profiles.values():
        splits = dict(profile.subjects([f"subject{i}" for i in range(200)]))
        assert {"train", "test"} <= set(splits.values())


def test_open_ms_card() -> None:
    card = load_card("open-ms")
    assert card.spec.names == ("T1", "T1POST", "T2", "FLAIR")
    assert card.profile("ci").subjects() == [("patient07", "train"), ("patient26", "test")]
    full = dict(card.profile("full").subjects())
    assert len(full) == 30 and full["patient07"] == "train" and full["patient26"] == "test"


def test_ranges_keep_their_zeros(tmp_path: Path) -> None:
    content = _content()
    content["profiles"]["ci"] = {"train": ["patient08..11", "x"], "test": ["0..2"]}
    profile = load_card(_write(tmp_path, content)).profile("ci")
    assert profile.train == ("patient08", "patient09", "patient10", "patient11", "x")
    assert profile.test == ("0", "1", "2")


def test_hashes_follow_the_content_and_the_recipe_ignores_prose(tmp_path: Path) -> None:
    first, content = load_card("open-ms"), _content()
    assert load_card(_write(tmp_path, content)).sha256 == first.sha256
    content["title"] = "Another title"
    content["modalities"][0]["note"] = "another note"
    prose = load_card(_write(tmp_path, content))
    assert prose.sha256 != first.sha256 and prose.recipe("ci") == first.recipe("ci")
    content["preprocessing"]["percentile"] = 99.0
    assert load_card(_write(tmp_path, content)).recipe("ci") != first.recipe("ci")


def _change(*path_and_value: object) -> object:
    *path, last, value = path_and_value

    def change(content: dict) -> None:
        for key in path:
            content = content[key]
        content[last] = value

    return change


def test_a_card_without_medians_has_the_hash_and_the_recipe_that_it_had(tmp_path: Path) -> None:
    assert "medians" not in load_card("open-ms").how and load_card("open-ms").medians == {}
    assert all("median" not in modality for modality in load_card("open-ms").recipe("ci")["modalities"])
    content = _content()
    content["modalities"][0] |= {"normalisation": "subject-median", "median": 0.5}
    changed = load_card(_write(tmp_path, content))
    assert changed.how["medians"] == {"T1": 0.5} and changed.recipe("ci") != load_card("open-ms").recipe("ci")


BAD = {
    "median without its normalisation": (_change("modalities", 0, "median", 0.5), "give a median for"),
    "normalisation without its median": (
        _change("modalities", 0, "normalisation", "subject-median"),
        "give a median for",
    ),
    "median of noise": (
        lambda content: (
            content["modalities"][0].update(normalisation="subject-median", median=0.5),
            content["preprocessing"].update(foreground="none", brain_fraction=0),
        ),
        "needs a foreground",
    ),
    "unknown key": (_change("colour", "blue"), "colour: Extra inputs are not permitted"),
    "unknown nested key": (_change("preprocessing", "zise", 64), "preprocessing.zise: Extra"),
    "missing field": (lambda c: c.pop("licence"), "licence: Field required"),
    "wrong kind": (_change("modalities", 0, "kind", "XR"), "modalities.0.kind"),
    "window without rule": (_change("modalities", 0, "window", [0, 1]), "give a window for the normalisation 'window'"),
    "rule without window": (_change("modalities", 0, "normalisation", "window"), "give a window"),
    "overlapping splits": (_change("profiles", "ci", "test", ["patient07"]), "in one split only: patient07"),
    "bad range": (_change("profiles", "ci", "test", ["patient09..03"]), "is no range"),
    "unknown profile name": (_change("profiles", "huge", {"train": ["a"], "test": ["b"]}), "profiles.huge"),
    "layout without a modality": (lambda c: c["source"]["layouts"][0]["files"].pop("T2"), "must name one file for"),
    "layout with an unexplained label": (
        _change("source", "layouts", 0, "labels", {"tumour": "{subject}/seg.nii"}),
        "names a label map that the card's labels do not explain",
    ),
    "pattern without a subject": (
        _change("source", "layouts", 0, "files", "T1", "T1.nii.gz"),
        "must contain {subject}",
    ),
    "pattern with another name": (
        _change("source", "layouts", 0, "files", "T1", "{subject}/{visit}.nii"),
        "only {session} beside it",
    ),
    "pattern with a session nobody declared": (
        _change("source", "layouts", 0, "files", "T1", "{subject}/{session}.nii"),
        "must contain {session} if the layout has one",
    ),
    "one file of two modalities": (
        _change("source", "layouts", 0, "files", "T1", "{subject}/T2.nii.gz"),
        "must say in channels which volume of {subject}/T2.nii.gz is which",
    ),
    "channel of no modality": (_change("source", "layouts", 0, "channels", {"CT": 0}), "channels name 'CT'"),
    "pattern that leaves the folder": (
        _change("source", "layouts", 0, "files", "T1", "../{subject}/T1.nii"),
        "must stay below the folder",
    ),
    "pattern with an open bracket": (
        _change("source", "layouts", 0, "subject", "patient[0-9"),
        "has a [ without its ]",
    ),
    "pattern with a bad range": (
        _change("source", "layouts", 0, "subject", "patient[9-0]"),
        "is wrong: bad character range",
    ),
    "subject with a slash": (_change("profiles", "ci", "test", ["x/patient07"]), "must not hold '/'"),
    "names and fractions": (
        _change("profiles", "ci", "fractions", {"train": 0.5, "test": 0.5}),
        "by name (train, val, test) or fractions",
    ),
    "fractions that are too large": (
        _change("profiles", "ci", {"fractions": {"train": 0.9, "test": 0.5}}),
        "the fractions must sum to 1",
    ),
    "no test subjects": (_change("profiles", "ci", {"train": ["patient01"]}), "one subject for train and one for test"),
    "unknown reference": (_change("preprocessing", "reference", "PET"), "'PET' is none of the modalities"),
    "planes without foreground": (_change("preprocessing", "foreground", "none"), "needs a foreground"),
    "mask that no layout has": (_change("preprocessing", "foreground", "file"), "must name a brain_mask"),
    "labels without background": (_change("labels", 0, "values", {1: "lesion"}), "must be 0 (background)"),
    "files without profiles": (lambda c: c.pop("profiles"), "belong to a set that can be prepared"),
    "download outside": (_change("download", {"base_url": "https://x/", "files": ["../x"]}), "the part '..'"),
    "checksum of an unknown file": (_change("download", "checksums", {"x": "md5:0"}), "x is none of the files"),
    "unknown source": (_change("source", {"kind": "web"}), "source"),
    "zero size": (_change("preprocessing", "size", 0), "preprocessing.size"),
    "name with a space": (_change("name", "open ms"), "name: String should match"),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_cards_are_refused_by_field(fault: str, tmp_path: Path) -> None:
    change, words = BAD[fault]
    content = _content()
    change(content)
    path = _write(tmp_path, content)
    with pytest.raises(InputError) as caught:
        load_card(path)
    assert words in str(caught.value) and str(path) in str(caught.value)


def test_reversed_window_is_refused(tmp_path: Path) -> None:
    content = _content()
    content["modalities"][0] |= {"normalisation": "window", "window": [1, 0]}
    with pytest.raises(InputError, match="first value must be below its second"):
        load_card(_write(tmp_path, content))


def test_phantom_needs_a_number_of_slices(tmp_path: Path) -> None:
    content = _content()
    content["source"] = {"kind": "phantom", "preset": "any2all", "dz_mm": 4}
    with pytest.raises(InputError, match="must say how many slices"):
        load_card(_write(tmp_path, content))


@pytest.mark.parametrize(("text", "words"), [("a: [1, 2", "not valid YAML, line"), ("- 1", "field the top level")])
def test_files_that_hold_no_card(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "card.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=words):
        load_card(path)


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(InputError, match="no data card 'brats'.*open-ms"):
        load_card("brats")
    with pytest.raises(InputError, match="no profile 'huge'; it has ci, full"):
        load_card("open-ms").profile("huge")
