"""The page of data and weights says what the cards say, as plain text."""

import json

import pytest

from a2a.data.cards import load_card
from a2a.materials import materials_page
from a2a.paths import repository


@pytest.fixture(scope="module")
def page():
    return materials_page(repository())


def test_every_card_is_there_with_licence_and_faults(page):
    for path in repository("data_cards").glob("*.yaml"):
        card = load_card(path)
        section = page[page.index(f"### {card.title}") :].split("\n### ")[0]
        assert card.licence.owner in section
        assert section.count("\n- ") >= 4 + len(card.known_faults)
        assert f"| {card.modalities[0].name} |" in section


def test_markup_in_cards_is_escaped(page):
    assert "T2\\*" in page and "T2*," not in page


def test_tables_have_as_many_cells_as_their_head(page):
    widths = [line.replace("\\|", "").count("|") for line in page.splitlines() if line.startswith("|")]
    assert set(widths) == {5, 6}


def test_weights_are_listed_with_the_values_of_their_cards(tmp_path):
    (tmp_path / "data_cards").mkdir()
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "small.safetensors").write_bytes(bytes(2**20))
    card = {"seconds": 60, "recipe": "two_steps", "config": {"steps": 2}}
    (tmp_path / "weights" / "small.json").write_text(json.dumps({"card": card}))
    page = materials_page(tmp_path)
    assert "### `weights/small.safetensors`\n\n1.0 MiB." in page
    assert "- **seconds:** 60" in page and "two\\_steps" in page and "config" not in page
