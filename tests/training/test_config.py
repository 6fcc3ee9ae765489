"""Training configurations: what is read from YAML, and what is refused by name."""

import pytest
import yaml
from pydantic import ValidationError

from a2a.common.errors import InputError
from a2a.common.paths import repository
from a2a.methods.recipes import load_config
from a2a.training import PriorConfig
from a2a.training.config import NetworkSize

RECIPES = sorted(repository("experiments", "priors").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_the_recipes_of_the_repository_are_valid_and_named_like_their_file(path):
    assert load_config(path).name == path.stem


def test_a_file_gives_what_was_written(recipe, config):
    assert load_config(recipe) == config


def test_only_name_data_and_steps_are_needed(tmp_path):
    path = tmp_path / "short.yaml"
    path.write_text("{name: a, data: b, steps: 5, lr: 4e-4}")
    assert load_config(path) == PriorConfig(name="a", data="b", steps=5, lr=4e-4)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"stepz": 3}, "field stepz"),
        ({"network": {"widht": 8}}, "field network.widht"),
        ({"steps": "many"}, "field steps"),
        ({"steps": 0}, "field steps"),
        ({"steps": None}, "field steps"),
        ({"batch": 2.5}, "field batch"),
        ({"lr": -1.0}, "field lr"),
        ({"lr": float("inf")}, "field lr"),
        ({"lr": float("nan")}, "field lr"),
        ({"ema": 1.0}, "field ema"),
        ({"precision": "float16"}, "'auto', 'float32', 'float32 channels_last', 'bf16' or 'bf16 channels_last'"),
        ({"schedule": {"kind": "sigmoid"}}, "field schedule.kind"),
        ({"augmentation": {"flip": 1.5}}, "field augmentation.flip"),
        ({"augmentation": [0.5]}, "field augmentation"),
        ({"predicts": "score"}, "field predicts"),
        ({"precondition": "voxel"}, "field precondition"),
        ({"precondition": "pixel"}, "precondition: pixel needs predicts: clean, but it is noise"),
        ({"name": "../elsewhere"}, "field name"),
        ({"network": {"width": 9}}, "field network.width"),
        ({"network": {"multipliers": []}}, "field network.multipliers"),
        ({"network": {"multipliers": [1, 0]}}, "field network.multipliers.1"),
        ({"network": {"multipliers": [1, 2], "attention": [4]}}, "attention at [4], but the levels"),
        ({"network": {"width": 32, "head_width": 10}}, "64 channels at level 4 cannot be shared by 6 attention heads"),
    ],
)
def test_a_bad_field_is_named_with_its_file(tmp_path, change, complaint):
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump({"name": "a", "data": "b", "steps": 5} | change))
    with pytest.raises(InputError) as refused:
        load_config(path)
    assert str(refused.value).startswith(f"{path}: ") and complaint in str(refused.value)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"steps: [1", "not valid YAML"),
        (b"\xff\xfe\x00", "UTF-16; save it as UTF-8"),
        (b"just words", "the top level"),
        (b"", "the top level"),
        (b"{name: a, data: b}", "field steps: Field required"),
    ],
)
def test_a_bad_file_is_named_in_one_line(tmp_path, content, complaint):
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError) as refused:
        load_config(path)
    assert str(path) in str(refused.value) and complaint in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["", "missing.yaml"])
def test_a_missing_file_is_named(tmp_path, name):
    with pytest.raises(InputError, match="(no such|not a) file; see experiments/priors/ and experiments/baselines/"):
        load_config(tmp_path / name)


def test_heads_need_to_divide_only_where_attention_is():
    assert NetworkSize(width=32, multipliers=(3, 1), attention=(), head_width=40).multipliers == (3, 1)
    with pytest.raises(ValidationError, match="heads"):
        NetworkSize(width=22, multipliers=(3, 1), attention=(1,), head_width=16)
