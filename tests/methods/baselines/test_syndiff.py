"""SynDiff: its four large steps, its losses, and how it completes, refuses, learns and returns."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from a2a.common.errors import InputError, UnsupportedObservation
from a2a.common.rng import spawn
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.mmgan import MmGAN
from a2a.methods.baselines.syndiff import SynDiff, SynDiffConfig, denoised, one_step, pair
from a2a.methods.baselines.synthesis import scenario_vectors, validation_error
from a2a.methods.recipes import load_config
from a2a.networks.syndiff import StyledUNet, TimeDiscriminator
from a2a.networks.unet import UNetConfig
from a2a.prior.schedule import NoiseSchedule
from a2a.training.loop import train

RECIPES = Path(__file__).parents[3] / "experiments" / "baselines"
SCHEDULE = NoiseSchedule("vp", 4)
SPEC = StackSpec.of("T1", "T2FLAIR", "CT")
CONFIG = SynDiffConfig(
    name="tiny", data="discs", network={"width": 8, "multipliers": (1, 2), "attention": (), "head_width": 8},
    latent=4, style=8, discriminator_widths=(8, 8), discriminator_time=8, penalty_every=2,
    steps=4, batch=4, lr=3e-3, warmup=10, ema=0.0, precision="float32", log_every=2, checkpoint_every=4,
)  # fmt: skip


@pytest.fixture(scope="module")
def method() -> SynDiff:
    torch.manual_seed(0)
    network = SynDiff.build(CONFIG, SPEC, 16).eval().requires_grad_(False)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return SynDiff(network, CONFIG, SPEC, 16)


@pytest.fixture(scope="module")
def truth() -> torch.Tensor:
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def written(given: torch.Tensor) -> str:
    return " + ".join(name for name, one in zip(SPEC.names, given.tolist(), strict=True) if one)


def test_networks_have_the_published_sizes():
    with torch.device("meta"):
        generator = StyledUNet(UNetConfig(1, 64, (1, 1, 2, 2, 4, 4), 2, (16,), 64, stacks=2))
        discriminator = TimeDiscriminator(1, SynDiffConfig.model_fields["discriminator_widths"].default)
    counts = [sum(p.numel() for p in network.parameters()) / 1e6 for network in (generator, discriminator)]
    assert counts == pytest.approx([39.73, 27.74], rel=0.02)


def test_the_small_recipe_sees_as_many_images_as_every_diffusion_method():
    config = load_config(RECIPES / "syndiff-brats-64.yaml")
    assert config.steps * config.batch == 24_000 and config.sampling_steps == 4


def test_the_schedule_takes_four_large_steps():
    start = np.exp(-0.5 * 1e-6 * 19.9 - 0.1e-3)
    assert start == pytest.approx(0.9999, abs=1e-5)
    abar = [start * SCHEDULE.abar(t) for t in range(4)]
    np.testing.assert_allclose(abar, [0.5217, 0.0787, 0.00343, 4.3e-5], rtol=5e-3)
    np.testing.assert_allclose(SCHEDULE.betas, [0.478, 0.849, 0.956, 0.987], atol=5e-4)


def test_pairs_have_the_distribution_of_the_process():
    stack, times = torch.full((4000, 1, 4, 4), 0.7), torch.arange(4).repeat(1000)
    noise = torch.randn(4000, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    earlier, later = pair(SCHEDULE, stack, times, noise)
    for t in range(4):
        for images, at in ((earlier[times == t], t - 1), (later[times == t], t)):
            assert images.mean().item() == pytest.approx(0.7 * SCHEDULE.abar(at) ** 0.5, abs=0.03)
            assert images.var().item() == pytest.approx(1 - SCHEDULE.abar(at), abs=0.04)
    assert torch.equal(earlier[times == 0], stack[times == 0])


def test_at_the_first_time_the_step_is_the_estimate_and_rows_have_their_own_time():
    clean, later, noise = torch.randn(3, 4, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    times = torch.tensor([0, 3, 0, 2])
    answer = one_step(SCHEDULE, clean, later, times, noise)
    torch.testing.assert_close(answer[times == 0], clean[times == 0])
    torch.testing.assert_close(answer[1], SCHEDULE.ancestral(clean[1], later[1], noise[1], 3, 2))


def test_an_oracle_brings_the_sampler_to_the_truth(truth):
    seen = []

    def oracle(x: torch.Tensor, t: int) -> torch.Tensor:
        seen.append(t)
        return truth

    torch.testing.assert_close(denoised(SCHEDULE, oracle, truth.shape[1:], spawn(0, 3), truth), truth)
    assert seen == [3, 2, 1, 0]


@pytest.mark.parametrize("given", list(scenario_vectors(3)[1:]))
def test_every_scenario_is_completed_in_four_evaluations_and_what_was_given_returns(given, method, truth):
    observation, seen = Observation.simulate(truth, written(given), SPEC), []
    hook = method.network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    done = method.complete(observation)
    hook.remove()
    assert torch.equal(done.samples[0][:, given], truth[:, given]) and torch.isfinite(done.samples).all()
    assert len(seen) == done.evaluations == 4 and seen[0].shape[1] == 9
    for x in seen:
        assert torch.equal(x[:, 3:6][:, given], 2 * truth[:, given] - 1) and (x[:, 3:6][:, ~given] == -1).all()
        assert torch.equal(x[:, 6:, 0, 0], given.float().expand(3, -1))


def test_a_row_depends_on_its_generator_alone(method, truth):
    observation = Observation.simulate(truth, "T1", SPEC)
    together = method.complete(observation, 2).samples
    assert torch.equal(together, method.complete(observation, 2).samples)
    alone = replace(method, batch=1).complete(observation, 2).samples
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)
    assert (together[0] - together[1])[:, 1:].abs().mean() > 1e-3


def test_the_random_vector_reaches_the_answer_but_not_by_its_length(method):
    x, t, z = torch.randn(2, 9, 16, 16), torch.tensor([1, 3]), torch.randn(2, 4)
    torch.testing.assert_close(method.network(x, t, z), method.network(x, t, 3 * z))
    assert not torch.allclose(method.network(x, t, z), method.network(x, t, z.flip(1)), atol=1e-3)


def test_the_discriminator_knows_the_time_and_sees_both_images():
    torch.manual_seed(0)
    judge, (one, two) = TimeDiscriminator(2, (8, 8), 8), torch.randn(2, 4, 2, 16, 16)
    verdict = judge(one, two, torch.zeros(4))
    assert verdict.shape == (4,)
    for other in (judge(two, two, torch.zeros(4)), judge(one, one, torch.zeros(4)), judge(one, two, torch.ones(4))):
        assert not torch.allclose(verdict, other, atol=1e-4)


def test_real_pairs_are_penalised_in_some_steps_only(make_store):
    objective = SynDiff.Objective(CONFIG, make_store())
    networks, values = objective.networks(), []
    for step in (0, 1):
        inputs = objective.inputs(torch.rand(4, 3, 16, 16), spawn(0, 4), step)
        plain = replace(objective, config=CONFIG.model_copy(update={"penalty": 0.0}))
        values.append([o.loss("discriminator", networks, inputs).item() for o in (objective, plain)])
        assert inputs[-1].all() == (step == 0)
    assert values[0][0] > values[0][1] and values[1][0] == pytest.approx(values[1][1])


def test_the_losses_update_their_own_network_and_all_of_it(make_store):
    objective = SynDiff.Objective(CONFIG, make_store())
    networks, inputs = objective.networks(), objective.inputs(torch.rand(4, 3, 16, 16), spawn(0, 4), 0)
    for name, other in (("generator", "discriminator"), ("discriminator", "generator")):
        networks[name].requires_grad_(True), networks[other].requires_grad_(False)
        objective.loss(name, networks, inputs).backward()
        assert all(p.grad is not None for p in networks[name].parameters())
        assert name == "discriminator" or all(p.grad is None for p in networks[other].parameters())


def test_it_says_what_it_cannot_use(method, truth):
    with pytest.raises(UnsupportedObservation, match="clean images only, but T2FLAIR is given as k-space"):
        method.complete(Observation.simulate(truth, "T1 + y(T2FLAIR)", SPEC))
    with pytest.raises(UnsupportedObservation, match="not trained to make images from nothing"):
        method.complete(Observation.simulate(truth, "nothing", SPEC))
    with pytest.raises(InputError, match="network: slices of side 17 do not fit, 2 must divide"):
        SynDiff.build(CONFIG, SPEC, 17)


def test_weights_come_back_and_wrong_ones_are_refused(method, truth, tmp_path):
    path, observation = tmp_path / "syndiff.safetensors", Observation.simulate(truth, "CT", SPEC)
    method.save(path)
    assert torch.allclose(
        SynDiff.load(path, SPEC).complete(observation).samples, method.complete(observation).samples, atol=1e-5
    )
    with pytest.raises(InputError, match="method is 'syndiff', but mmgan"):
        MmGAN.load(path)


def test_a_run_repeats_itself_and_goes_on_after_an_interruption(make_store, tmp_path):
    objective = SynDiff.Objective(CONFIG, make_store())
    whole = train(objective, tmp_path / "whole")
    assert train(objective, tmp_path / "parts", stop_after=2) is None
    assert train(objective, tmp_path / "parts", resume=True).read_bytes() == whole.read_bytes()


@pytest.mark.long
def test_four_images_are_learnt_by_heart(make_store, tmp_path):
    store = make_store()
    options = {"steps": 80, "pixel_weight": 10.0, "lr": 5e-3, "augmentation": {"flip": 0.0}, "penalty_every": 10}
    objective = SynDiff.Objective(SynDiffConfig(**CONFIG.model_dump() | options), store)
    split = replace(store.split("val"), images=np.asarray(store.split("train").images))
    torch.manual_seed(0)
    before = validation_error(objective.finished(objective.networks()["generator"].eval(), {}), split)
    assert validation_error(SynDiff.load(train(objective, tmp_path / "run")), split) < before / 3


def test_noise_of_a_pair_is_that_of_the_slice(make_store):
    objective, clean = SynDiff.Objective(CONFIG, make_store()), torch.rand(4, 3, 16, 16)
    whole = objective.inputs(clean, spawn(0, 4), 1)
    part = objective.inputs(clean[2:3], spawn(0, [2]), 1)
    assert all(torch.equal(a[2:3], b) for a, b in zip(whole, part, strict=True))
