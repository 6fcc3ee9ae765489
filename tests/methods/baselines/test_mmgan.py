"""mmGAN: sizes of its recipes, its loss and its answers."""

from pathlib import Path

import pytest
import torch

from a2a.common.rng import spawn
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.adversarial import pixel_loss
from a2a.methods.baselines.mmgan import MmGAN, MmGANConfig
from a2a.methods.recipes import load_config

RECIPES = Path(__file__).parents[3] / "experiments" / "baselines"


@pytest.mark.parametrize(("recipe", "n", "side", "count"), [("64", 5, 64, 1_830_661), ("paper", 4, 256, 54_407_172)])
def test_recipes_make_generators_of_the_planned_and_the_published_size(recipe, n, side, count):
    config = load_config(RECIPES / f"mmgan-{recipe}.yaml")
    with torch.device("meta"):
        network = MmGAN.build(config, StackSpec.of(*(f"M{i}" for i in range(n))), side)
    assert sum(p.numel() for p in network.parameters()) == count


def test_the_small_recipe_sees_as_many_images_as_every_method():
    config = load_config(RECIPES / "mmgan-64.yaml")
    assert config.steps * config.batch == 24_000


def test_answers_are_cut_to_the_range_of_images_and_never_negative(make_store):
    spec = StackSpec.of("T1", "CT")
    config = MmGANConfig(name="m", data="d", steps=1, widths=(4, 8, 8))
    torch.manual_seed(0)
    network = MmGAN.build(config, spec, 16).eval()
    torch.nn.init.normal_(network.head[1][1].weight, std=9.0)
    method = MmGAN(network, config, spec, 16)
    images, given = torch.rand(2, 2, 16, 16), torch.tensor([[1, 0], [0, 0]]).bool()
    raw = method.fill_in(images, given, spawn(0, 2))
    assert raw[0].min() >= 0 and raw[0].max() > 1
    assert method.complete(Observation.simulate(images, "T1", spec)).samples.max() == 1


def test_the_loss_of_the_generator_is_nine_parts_pixels_and_one_part_deception(make_store):
    config = MmGANConfig(name="m", data="d", steps=1, batch=2, widths=(4, 8, 8), discriminator_widths=(4,))
    objective = MmGAN.Objective(config, make_store(size=16))
    networks = {name: network.eval() for name, network in objective.networks().items()}
    truth, entered, given = objective.inputs(torch.rand(2, 3, 16, 16), spawn(0, 2), 0)
    answer = torch.where(given[:, :, None, None], truth, networks["generator"](entered))
    deception = (networks["discriminator"](answer, entered) - 1).square().mean()
    wanted = 0.9 * pixel_loss(answer, truth, given) + 0.1 * deception
    assert torch.allclose(objective.loss("generator", networks, (truth, entered, given)), wanted)
