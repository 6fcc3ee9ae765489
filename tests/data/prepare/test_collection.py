"""Collections: which modalities meet, what stays missing, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from a2a.cli import main
from a2a.common.errors import InputError
from a2a.common.paths import repository
from a2a.data.cards.card import load_card
from a2a.data.cards.collection import CollectionCard, load_collection
from a2a.data.prepare.collection import join
from a2a.data.store.read import SliceStore
from a2a.data.store.write import StoreWriter
from a2a.methods.recipes import objective
from a2a.training import PriorConfig
from a2a.training.loop import train

CARD = repository("data_cards", "collections", "two-hospitals.yaml")
PEOPLE = {"train": ("0", "1"), "val": ("198",), "test": ("205",)}


def changed(**fields: object) -> CollectionCard:
    return CollectionCard(**load_collection(CARD).model_dump() | fields)


def store_of(folder: Path, card: str, people: dict[str, tuple[str, ...]] = PEOPLE, size: int = 8) -> SliceStore:
    """A store as `a2a prepare` would write it, of noise."""
    spec, rng = load_card(card).spec, np.random.default_rng(0)
    with StoreWriter(folder, spec, size) as writer:
        for split, names in people.items():
            for name in names:
                writer.add(split, name, [3, 4], [0.0, 4.0], rng.random((2, len(spec), size, size), dtype=np.float32))
        writer.finish({"card": card, "profile": "ci", "fingerprint": card, "preprocessing": {}})
    return SliceStore.open(folder)


@pytest.fixture
def stores(tmp_path: Path) -> dict[str, SliceStore]:
    return {name: store_of(tmp_path / name, f"phantom-{name}") for name in ("brats", "isles")}


def test_what_a_data_set_has_is_copied_and_what_it_lacks_is_missing(stores, tmp_path):
    joined = join(load_collection(CARD), stores, tmp_path / "joined")
    again = SliceStore.open(tmp_path / "joined", verify=True)
    train = again.split("train")
    assert again.spec.names == ("T1SE", "T2", "T1GD", "T2FLAIR", "DWI", "ADC")
    assert train.available.tolist() == [[True] * 4 + [False] * 2] * 4 + [[False] * 3 + [True] * 3] * 4
    assert joined.datasets == {
        name: [f"{name}-{subject}" for subject in ("0", "1", "198", "205")] for name in ("brats", "isles")
    }
    brats, isles = (stores[name].split("train").images for name in ("brats", "isles"))
    assert np.array_equal(train.images[:4, [0, 2, 1, 3]], brats) and np.array_equal(train.images[4:, 3:], isles)
    assert np.isnan(train.images[:4, 4:]).all() and np.isnan(train.images[4:, :3]).all()
    assert train.planes.tolist() == [3, 4] * 4


def test_a_subject_may_keep_a_subset_of_its_own_and_always_the_same(stores, tmp_path):
    members = [{"id": "brats", "card": "phantom-brats", "at_least": 2}, {"id": "isles", "card": "phantom-isles"}]
    card = changed(members=members)
    people = {"train": tuple(map(str, range(40))), "val": ("198",), "test": ("205",)}
    stores["brats"] = store_of(tmp_path / "many", "phantom-brats", people)
    joined = join(card, stores, tmp_path / "joined").split("train").available[:80]
    assert not joined[:, 4:].any() and (joined[::2] == joined[1::2]).all()
    counts = joined.sum(axis=1)
    test = SliceStore.open(tmp_path / "joined").split("test").available
    assert test[:2, :4].all()  # a test subject keeps all
    assert set(counts) == {2, 3, 4} and len({tuple(row) for row in joined.tolist()}) > 6
    assert card.kept(card.members[0], "7", [0, 1, 2, 3]) == card.kept(card.members[0], "7", [0, 1, 2, 3])


def test_holes_in_an_image_and_slices_of_nothing_are_refused(tmp_path):
    spec = load_card("phantom-isles").spec
    hole, nothing = np.full((1, 3, 8, 8), 0.5), np.full((1, 3, 8, 8), np.nan)
    hole[0, 1, 2, 2] = np.nan
    for images, said in ((hole, r"leave \[0, 1\]"), (nothing, "0 has slices without any modality; leave them out")):
        with StoreWriter(tmp_path / "s", spec, 8, incomplete=True) as writer, pytest.raises(InputError, match=said):
            writer.add("train", "0", [0], [0.0], images)
    missing = np.full((1, 3, 8, 8), 0.5)
    missing[:, 1] = np.nan
    with StoreWriter(tmp_path / "s", spec, 8) as writer, pytest.raises(InputError, match="leave"):
        writer.add("train", "0", [0], [0.0], missing)
    with StoreWriter(tmp_path / "s", spec, 8, incomplete=True) as writer:
        writer.add("train", "0", [0], [0.0], missing)


UNION = [{"name": "T1SE"}, {"name": "T2"}, {"name": "T1GD"}, {"name": "T2FLAIR"}, {"name": "DWI"}]
ADC = {"name": "ADC", "unit": "1e-3 mm^2/s", "window": (0, 3.2)}


@pytest.mark.parametrize(
    ("modalities", "sentence"),
    [
        ([*UNION, {"name": "ADC", "window": (0, 3.2)}], "ADC of data set isles is in 1e-3 mm.*, but ADC .* in a.u."),
        (UNION, "ADC of data set isles is none of T1SE, T2, T1GD, T2FLAIR, DWI; add it there"),
        ([{"name": "T1SE", "aliases": ("T1GD",)}, *UNION[1:2], *UNION[3:], ADC],
         "T1SE and T1GD of data set brats are both T1SE; one modality cannot come under two names"),
    ],
)  # fmt: skip
def test_modalities_that_do_not_fit_are_refused_in_a_sentence(modalities, sentence, stores, tmp_path):
    with pytest.raises(InputError, match=sentence):
        join(changed(modalities=modalities), stores, tmp_path / "joined")


def test_cards_that_contradict_themselves_are_refused(tmp_path):
    with pytest.raises(ValueError, match="modalities T2FLAIR and F both answer to FLAIR; keep one of them"):
        changed(modalities=[{"name": "T2FLAIR"}, {"name": "F", "aliases": ("FLAIR",)}])
    with pytest.raises(ValueError, match="the identifier a stands for two data sets"):
        changed(members=[{"id": "a", "card": "phantom-brats"}, {"id": "a", "card": "phantom-isles"}])


def test_a_data_set_that_shares_nothing_is_refused(stores, tmp_path):
    stores["any"] = store_of(tmp_path / "any", "phantom-any2all")
    members = [{"id": "brats", "card": "phantom-brats"}, {"id": "any", "card": "phantom-any2all"}]
    names = [{"name": f"B{n}", "aliases": (name,)} for n, name in enumerate(("T1SE", "T1GD", "T2", "T2FLAIR"))]
    spec = load_card("phantom-any2all").spec
    theirs = [{"name": m.name, "unit": m.unit, "window": m.window} for m in spec.modalities if m.name != "T2FLAIR"]
    cards = {"brats": load_card("phantom-brats"), "any": load_card("phantom-any2all")}
    apart = CollectionCard(name="c", title="", description="", modalities=[*names[:3], *theirs], members=members)
    with pytest.raises(InputError, match="T2FLAIR of data set brats is none of"):
        apart.places(cards)
    some = {key: cards[key].model_copy(update={"modalities": kept}) for key, kept in
            {"brats": cards["brats"].modalities[2:3], "any": cards["any"].modalities[:1]}.items()}  # fmt: skip
    with pytest.raises(InputError, match="data set brats shares no modality with the others"):
        apart.places(some)


def test_stores_that_are_not_those_of_the_collection_are_refused(stores, tmp_path):
    card, out = load_collection(CARD), tmp_path / "joined"
    with pytest.raises(InputError, match="has no data set other; it has brats, isles"):
        join(card, stores | {"other": stores["brats"]}, out)
    with pytest.raises(InputError, match="no store of data set isles; prepare phantom-isles"):
        join(card, {"brats": stores["brats"]}, out)
    with pytest.raises(InputError, match="was made from phantom-brats, but isles is phantom-isles"):
        join(card, stores | {"isles": stores["brats"]}, out)
    with pytest.raises(InputError, match="slices of one size, but have brats 8, isles 16"):
        join(card, stores | {"isles": store_of(tmp_path / "large", "phantom-isles", size=16)}, out)


def test_nobody_is_in_training_here_and_in_the_test_there(stores, tmp_path):
    people = {"train": ("7",), "val": ("8",), "test": ("1",)}
    other = store_of(tmp_path / "other", "phantom-isles", people)
    with pytest.raises(InputError, match="subject 1 is in the test split of isles and in the training of brats"):
        join(load_collection(CARD), stores | {"isles": other}, tmp_path / "joined")
    members = [{"id": "brats", "card": "phantom-brats"}, {"id": "isles", "card": "phantom-isles", "people": "others"}]
    assert join(changed(members=members), stores | {"isles": other}, tmp_path / "joined").datasets


def test_what_needs_complete_stacks_refuses_a_collection(stores, tmp_path):
    joined = join(load_collection(CARD), stores, tmp_path / "joined")
    config = PriorConfig(name="p", data="d", steps=1, network={"width": 8, "multipliers": (1, 2), "attention": ()})
    with pytest.raises(InputError, match="subjects of this collection lack modalities, and p needs complete stacks"):
        train(objective(config, joined), tmp_path / "run")


def test_a_collection_is_prepared_on_the_command_line(tmp_path, capsys):
    for name in ("phantom-tti", "phantom-isles"):
        card = yaml.safe_load(repository("data_cards", f"{name}.yaml").read_text())
        card["profiles"] = {"smoke": {"train": ["0..1"], "val": ["198"], "test": ["205"], "slices": 2}}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(card))
    values = load_collection(CARD).model_dump(mode="json") | {"name": "tiny"}
    values["members"] = [
        {"id": "tti", "card": str(tmp_path / "phantom-tti.yaml"), "at_least": 2},
        {"id": "isles", "card": str(tmp_path / "phantom-isles.yaml")},
    ]
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(values))
    words = ["prepare", str(tmp_path / "tiny.yaml"), "--profile", "smoke", "--workers", "1"]
    with pytest.raises(SystemExit) as done:
        main([*words, "--out", str(tmp_path / "out")])
    assert not done.value.code
    store = SliceStore.open(tmp_path / "out", verify=True)
    train = store.split("train")
    own = SliceStore.open(tmp_path / "out-isles").split("train").labels
    assert [found["name"] for found in store.label_maps] == ["lesions", "infarct"]
    assert np.array_equal(train.labels[4:, 1], own[:, 0]) and not train.labels[:4, 1].any()
    complete = SliceStore.open(tmp_path / "out-tti-complete")
    assert complete.spec.names == ("T1SE", "T2", "T2FLAIR", "ADC") and len(complete.split("test")) == 2
    assert len(train) == 8 and train.available[4:].tolist() == [[False] * 3 + [True] * 3] * 4
    assert "4 test, 8 train, 4 val slices of isles, tti" in capsys.readouterr().out
    with pytest.raises(SystemExit) as refused:
        main([*words, "--out", str(tmp_path / "other"), "--size", "128"])
    assert refused.value.code == 2 and "--root and --size belong to its data sets" in capsys.readouterr().err


def test_an_unknown_collection_is_refused_with_those_there_are():
    with pytest.raises(
        InputError, match="There is no collection 'six'; .* one of: four-hospitals, three-hospitals, two-hospitals"
    ):
        load_collection("six")
    assert load_collection("four-hospitals").spec.names[3] == "T2FLAIR"
    cards = {member.id: load_card(member.card) for member in load_collection("four-hospitals").members}
    assert {name: len(places) for name, places in load_collection("four-hospitals").places(cards).items()} == {
        "ttg": 6, "tti": 4, "brats": 4, "isles": 3}  # fmt: skip
