"""The page of data and weights says what the cards say, as plain text."""

import json

import pytest

from a2a.bookmaking.card_pages import materials_page
from a2a.common.paths import repository
from a2a.data.cards.card import load_card


@pytest.fixture(scope="module")
def page():
    return materials_page(repository())


@pytest.fixture(scope="module")
def cards():
    return [load_card(path) for path in repository("data_cards").glob("*.yaml")]


def section(page, card) -> str:
    return page[page.index(f"(card-{card.name})=") :].split("\n(card-")[0]


def test_every_card_is_there_with_licence_files_and_faults(page, cards):
    for card in cards:
        text = section(page, card)
        assert f"### {card.title}" in text and card.licence.owner in text
        assert f"| {card.modalities[0].name} |" in text
        for layout in card.layouts:
            assert all(f"`{pattern}`" in text for pattern in layout.patterns().values())
        if card.known_faults:
            assert text.split("Known faults:")[1].split("\n\n## ")[0].count("\n- ") == len(card.known_faults)


def test_the_table_names_every_card_once_and_what_anybody_can_have_first(page, cards):
    rows = [line for line in page.splitlines() if line.startswith("| {ref}`")]
    assert len(rows) == len(cards) and all(sum(f"<card-{c.name}>" in row for row in rows) == 1 for c in cards)
    ways = [row.split("|")[4].strip() for row in rows]
    assert ways[0] == "generated" and ways[-1] == "not at all"
    assert ways == sorted(ways, key=lambda w: ("generated", "`a2a", "from", "not").index(w.split()[0]))
    assert max(len(row) for row in rows) < 250
    assert "`a2a data fetch ixi`" in page and "| The private set of the Any2all paper |" in page


def test_markup_in_cards_is_escaped(page):
    assert "T2\\*" in page and "T2*," not in page


def test_tables_have_as_many_cells_as_their_head(page):
    blocks = [block.splitlines() for block in page.split("\n\n") if block.startswith("|")]
    for block in blocks:
        assert len({line.replace("\\|", "").count("|") for line in block}) == 1
    assert len(blocks) > 12


def test_weights_are_listed_with_the_values_of_their_cards(tmp_path):
    (tmp_path / "data_cards").mkdir()
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "small.safetensors").write_bytes(bytes(2**20))
    card = {"seconds": 6000, "device": "two_cores", "config": {"steps": 2, "clip": 1.0, "start": None}}
    (tmp_path / "weights" / "small.json").write_text(json.dumps({"card": card}))
    page = materials_page(tmp_path)
    assert "### `weights/small.safetensors`\n\n1.0 MiB." in page
    assert "- **Training (s), of these steps:** 6,000" in page and "two\\_cores" in page and "**Steps:** 2" in page
    assert not any(word in page for word in ("config", "clip", "Goes on from"))


def test_weights_show_how_real_their_samples_are(tmp_path):
    for folder in ("data_cards", "weights", "results"):
        (tmp_path / folder).mkdir()
    (tmp_path / "weights" / "small.safetensors").write_bytes(b"")
    (tmp_path / "weights" / "small.json").write_text(json.dumps({"card": {"seconds": 60, "config": {}}}))
    rows = ["modality,set,metric,n,value,low,high"]
    for name, factor in (("generated", 2), ("other real subjects", 1)):
        rows += [f"T1,{name},rfd,{n},{factor * v},{factor * v - 5},{factor * v + 5}" for n, v in ((50, 40), (256, 20))]
        rows += [f"T1,{name},{metric},256,{factor * 0.5},," for metric in ("rfd limit", "hfr", "precision", "recall")]
        rows += [f"stack,{name},nearest median,256,{factor * 0.03},,", f"stack,{name},nearer,256,0.01,,"]
    (tmp_path / "results" / "small-realism.csv").write_text("\n".join(rows))
    page = materials_page(tmp_path)
    assert "256 unconditional samples" in page
    assert "| T1 | 40 (35 to 45) | 20 (15 to 25) | 1 | 0 | 1.00 | 1.00 | 1.00 |" in page
    assert "is 0.060 away" in page and "held-out slice 0.030; 1 % of the samples" in page
