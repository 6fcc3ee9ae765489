"""mmResViT: sizes of its recipes, its range and its two stages."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from a2a.common.rng import spawn
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.mmresvit import MmResViT, MmResViTConfig
from a2a.methods.recipes import load_config
from a2a.training.loop import train

RECIPES = Path(__file__).parents[3] / "experiments" / "baselines"
TINY = {"name": "m", "data": "d", "steps": 9, "batch": 2, "width": 4, "blocks": 2, "attended": (1,), "downs": (8,),
        "tokens": 8, "layers": 1, "heads": 2, "mlp": 8, "discriminator_widths": (4,)}  # fmt: skip


@pytest.mark.parametrize(("recipe", "side", "count"), [("64", 64, 1.701e6), ("paper", 256, 123.47e6)])
def test_recipes_make_generators_of_the_planned_and_the_published_size(recipe, side, count):
    config = load_config(RECIPES / f"mmresvit-{recipe}.yaml")
    with torch.device("meta"):
        network = MmResViT.build(config, StackSpec.of("T1", "T2FLAIR", "T2star", "CT", "PET"), side)
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(count, rel=1e-3)


def test_the_small_recipe_sees_as_many_images_as_every_method():
    config = load_config(RECIPES / "mmresvit-64.yaml")
    assert config.steps * config.batch == 24_000


def test_images_and_the_range_of_the_network_are_maps_of_each_other(make_store):
    clean = torch.rand(2, 3, 16, 16)
    assert torch.allclose(MmResViT.to_images(MmResViT.to_network(clean)), clean, atol=1e-6)
    truth, entered, given, _ = MmResViT.Objective(MmResViTConfig(**TINY), make_store()).inputs(clean, spawn(0, 2), 0)
    assert truth.min() < 0 and torch.equal(entered[given], truth[given]) and (entered[~given] == -1).all()


@pytest.mark.parametrize(("first", "joins"), [(1 / 3, 3), (0.0, 0), (1.0, 9)])
def test_the_transformer_joins_after_its_share_of_the_steps(first, joins, make_store):
    objective = MmResViT.Objective(MmResViTConfig(**TINY, convolutions_first=first), make_store())
    joined = [objective.inputs(torch.rand(2, 3, 16, 16), spawn(0, 2), step)[3] for step in range(9)]
    assert [bool(flag.all()) for flag in joined] == [step >= joins for step in range(9)]


def test_a_run_without_second_stage_never_touches_the_transformer_and_says_so(make_store, tmp_path):
    config = MmResViTConfig(**TINY, convolutions_first=1.0, precision="float32")
    objective = MmResViT.Objective(config, make_store())
    only = MmResViT.load(train(objective, tmp_path / "only")).network
    longer = MmResViT.Objective(config.model_copy(update={"convolutions_first": 0.5}), make_store())
    both = MmResViT.load(train(longer, tmp_path / "both")).network
    assert (bool(only.joined), bool(both.joined)) == (False, True)
    assert not torch.equal(only.transformer.norm.weight, both.transformer.norm.weight)
    assert torch.equal(only.transformer.norm.weight, torch.ones(8))


def test_an_interrupted_run_ends_with_the_same_weights_though_stages_change(make_store, tmp_path):
    config = MmResViTConfig(**TINY, precision="float32")
    objective = MmResViT.Objective(config, make_store())
    whole = train(objective, tmp_path / "whole").read_bytes()
    assert train(objective, tmp_path / "parts", stop_after=2) is None
    assert train(objective, tmp_path / "parts", resume=True).read_bytes() == whole


@pytest.mark.parametrize(
    ("options", "reason"), [({"tokens": 9}, "cannot be shared by 2 attention"), ({"attended": (1, 3)}, "there are 2")]
)
def test_sizes_that_do_not_fit_are_refused(options, reason):
    with pytest.raises(ValidationError, match=reason):
        MmResViTConfig(**TINY | options)
