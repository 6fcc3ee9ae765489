"""Model cards say what the weights, their data and the results say; the committed ones are what the command writes."""

import pandas as pd
import pytest
import yaml

from a2a.benchmark.table import SCHEMA, read_table
from a2a.bookmaking.model_cards import TABLES, digests, main, measured, model_card
from a2a.common.errors import InputError
from a2a.common.paths import repository

WEIGHTS = sorted(repository("weights").glob("*.safetensors"))


@pytest.fixture(scope="module")
def rows():
    return read_table(*sorted(repository("results").glob(TABLES)))


@pytest.mark.parametrize("path", WEIGHTS, ids=lambda p: p.stem)
def test_the_committed_card_is_what_the_command_writes(path, rows):
    committed = path.with_suffix(".md")
    made = model_card(path, repository(), rows)
    assert committed.is_file() and committed.read_text(encoding="utf-8") == made, "run it again, see its docstring"


def test_there_is_no_card_without_weights():
    assert {p.stem for p in repository("weights").glob("*.md")} == {p.stem for p in WEIGHTS}


def test_numbers_are_those_of_these_weights_alone():
    given = {"dataset": "d/ci", "scenario": "T1", "modality": "CT", "slices": 3, "method": "mmgan", "evaluations": 1.0}
    lines = [
        given | {"weights": weights, "subject": subject, "metric": metric, "value": value, "scenario": scenario}
        for weights, scenario, shift in (("a", "T1", 0), ("b", "T1", 9), ("a", "nothing", 5))
        for metric, values in (("psnr", (20.0, 22.0)), ("ssim", (0.5, 0.7)), ("rfd", (1.0, 1.0)))
        for subject, value in zip("12", (value + shift for value in values), strict=True)
    ]
    found = measured(pd.DataFrame(lines, columns=SCHEMA.names), "a")
    assert found[["scenario", "metric", "mean"]].values.tolist() == [["T1", "psnr", 21.0], ["T1", "ssim", 0.6]]


def test_the_head_is_yaml_with_the_fields_of_model_hubs(rows):
    text = repository("weights", "mmgan-64.md").read_text(encoding="utf-8")
    _, head, page = text.split("---\n", 2)
    said = yaml.safe_load(head)
    assert {"license", "library_name", "pipeline_tag", "tags", "datasets", "metrics", "model-index"} == set(said)
    assert repository("data_cards", f"{said['datasets'][0]}.yaml").is_file() and "mmgan" in said["tags"]
    (model,) = said["model-index"]
    one = next(r for r in model["results"] if r["task"]["name"] == "CT from T1")["metrics"][0]
    mine = rows[rows.weights.isin(digests(WEIGHTS[[p.stem for p in WEIGHTS].index("mmgan-64")])) & rows.slice.isna()]
    mine = mine[(mine.scenario == "T1") & (mine.modality == "CT") & (mine.metric == "psnr")]
    assert one["type"] == "psnr" and one["value"] == round(mine.value.mean(), 2)
    assert f"{one['value']:.2f} (" in page and "## Limits" in page


def test_weights_that_are_not_there_are_named():
    with pytest.raises(InputError, match="nowhere.safetensors: no such file"):
        main(["nowhere"])


def test_whoever_owns_the_training_images_is_named(rows):
    path = repository("weights", "open-ms-1mm.safetensors")
    cited = model_card(path, repository(), rows).partition("## Cite")[2]
    assert "University of Ljubljana" in cited and "CC BY" in cited and "10.1007/s12021-017-9348-7" in cited
    assert "training images" not in model_card(repository("weights", "mmgan-64.safetensors"), repository(), rows)
