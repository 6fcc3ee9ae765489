"""The conditional ADM: what the network sees beside the noise, its loss, and every scenario served."""

import pytest
import torch
from pydantic import ValidationError

from a2a.common.errors import UnsupportedObservation
from a2a.common.rng import spawn
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.adm import ADM, BLACK, ADMConfig, ADMObjective
from a2a.methods.baselines.learned_variance import noise_errors, step
from a2a.methods.baselines.synthesis import scenario_vectors
from a2a.networks.conditional import ConditionalUNet
from a2a.networks.unet import UNetConfig
from a2a.prior.schedule import END, NoiseSchedule
from a2a.training import train
from a2a.training.config import NetworkSize
from a2a.training.loader import Steps

SPEC = StackSpec.of("T1", "T2FLAIR", "CT")
CONFIG = ADMConfig(
    name="tiny", data="discs", network=NetworkSize(width=8, multipliers=(1, 2), attention=(2,), head_width=8),
    variance="fixed", sampling_steps=4, steps=150, batch=4, lr=5e-3, warmup=10, ema=0.9, precision="float32",
    checkpoint_every=75,
)  # fmt: skip
EVERY = [tuple(row) for row in scenario_vectors(3)[1:].tolist()]


@pytest.fixture(scope="module", params=["fixed", "learned"])
def method(request) -> ADM:
    """Untrained, but it answers to everything."""
    config = CONFIG.model_copy(update={"variance": request.param})
    torch.manual_seed(0)
    network = ADM.build(config, SPEC, 16).eval().requires_grad_(False)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return ADM(network, config, SPEC, 16)


@pytest.fixture(scope="module")
def truth() -> torch.Tensor:
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("given", EVERY)
def test_the_network_sees_given_images_and_black_beside_the_noise(given, method, truth):
    clean, seen = torch.tensor(given), []
    scenario = " + ".join(name for name, one in zip(SPEC.names, given, strict=True) if one)
    hook = method.network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    done = method.complete(Observation.simulate(truth, scenario, SPEC))
    hook.remove()
    assert torch.equal(done.samples[0][:, clean], truth[:, clean]) and torch.isfinite(done.samples).all()
    assert len(seen) == done.evaluations == CONFIG.sampling_steps
    for entered in seen:
        assert torch.equal(entered[:, 3:][:, clean], 2 * truth[:, clean] - 1)
        assert (entered[:, 3:][:, ~clean] == BLACK).all()


def test_all_modalities_are_noised_and_only_the_missing_count(make_store):
    class Oracle(torch.nn.Module):
        def forward(self, x, t):
            return self.answer

    objective, oracle, met = ADMObjective(CONFIG, make_store()), Oracle(), set()
    for number in range(20):
        noisy, condition, times, given, stack, noise = inputs = Steps(objective)[number]
        assert torch.equal(noisy, CONFIG.noise.diffuse(stack, times, noise))
        mask = given[:, :, None, None]
        assert torch.equal(condition, torch.where(mask, stack, BLACK))
        oracle.answer = torch.where(mask, noise + 7, noise)
        assert objective.loss("network", {"network": oracle}, inputs) == 0
        met |= {tuple(row) for row in given.tolist()}
    assert met == set(EVERY)


def test_the_bound_of_each_modality_is_its_own():
    schedule, draw = NoiseSchedule("linear", 1000), torch.Generator().manual_seed(0)
    stack, noise = torch.rand(2, 3, 8, 8, generator=draw) - 0.5, torch.randn(2, 3, 8, 8, generator=draw)
    times, raw = torch.tensor([0, 500]), torch.zeros(2, 3, 8, 8)
    noisy = schedule.diffuse(stack, times, noise)
    errors = noise_errors(schedule, torch.cat([noise, raw], dim=1), stack, noisy, times, noise)
    assert (errors > 0).all()
    raw[:, 1] = 4.0  # far too wide a step
    other = noise_errors(schedule, torch.cat([noise, raw], dim=1), stack, noisy, times, noise)
    assert torch.equal(errors[:, [0, 2]], other[:, [0, 2]]) and (other[1, 1] > errors[1, 1]).all()
    assert torch.equal(noise_errors(schedule, noise + 0.5, stack, noisy, times, noise), (noise + 0.5 - noise) ** 2)


def test_a_right_velocity_costs_no_more_than_a_right_noise():
    schedule, draw = NoiseSchedule("linear", 1000), torch.Generator().manual_seed(0)
    stack, noise = torch.rand(2, 3, 8, 8, generator=draw) - 0.5, torch.randn(2, 3, 8, 8, generator=draw)
    times = torch.tensor([3, 700])
    noisy, velocity = schedule.diffuse(stack, times, noise), schedule.velocity(stack, noise, times)
    assert not noise_errors(schedule, velocity, stack, noisy, times, noise, "velocity").any()
    raw = torch.zeros_like(stack)
    bounds = [noise_errors(schedule, torch.cat([answer, raw], dim=1), stack, noisy, times, noise, predicts)
              for predicts, answer in (("noise", noise), ("velocity", velocity))]  # fmt: skip
    torch.testing.assert_close(*bounds, atol=1e-5, rtol=1e-4)


def test_a_step_ends_at_the_clean_estimate_and_is_as_wide_as_was_learned():
    schedule, x, clean = NoiseSchedule("linear", 1000), torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 0.3)
    noise = torch.ones_like(x)
    assert torch.equal(step(schedule, clean, x, noise, 0, END, torch.ones_like(x)), clean)
    plain, narrow, wide = (step(schedule, clean, x, noise, 500, 480, raw) for raw in (None, -noise, noise))
    torch.testing.assert_close(narrow, plain)
    abar = schedule.abar
    spread = (1 - abar(500) / abar(480)) ** 0.5 - schedule.sigma(500, 480, 1.0)
    torch.testing.assert_close(wide - plain, torch.full_like(x, spread))


def test_a_fresh_network_answers_zero_and_the_published_size_has_the_published_weights():
    with torch.device("meta"):
        size = UNetConfig(5, 128, (1, 1, 2, 2, 4, 4), 2, (8, 16, 32), 64)
        published = sum(p.numel() for p in ConditionalUNet(size, 10).parameters())
        small = UNetConfig(5, 32, (1, 2, 2), 1, (4,), 32)
        counts = [sum(p.numel() for p in ConditionalUNet(small, 5, code).parameters()) for code in (0, 5)]
    assert published == pytest.approx(138.30e6, rel=1e-3)
    assert counts == pytest.approx([1.372e6, 1.373e6], rel=1e-3)
    network = ADM.build(CONFIG, SPEC, 16)
    assert not network(torch.randn(2, 6, 16, 16), torch.tensor([3, 700])).any()


def test_a_row_depends_on_its_generator_alone(method, truth):
    observation = Observation.simulate(truth, "T1", SPEC)
    together = method.complete(observation, 2, spawn(3, 3, 2)).samples
    assert torch.equal(together, method.complete(observation, 2, spawn(3, 3, 2)).samples)
    alone = ADM(method.network, method.config, SPEC, 16, batch=1).complete(observation, 2, spawn(3, 3, 2)).samples
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)
    assert (together[0] - together[1])[:, 1:].abs().mean() > 1e-3


def test_it_says_what_it_cannot_use(method, truth):
    with pytest.raises(UnsupportedObservation, match="clean images only, but T2FLAIR is given as k-space"):
        method.complete(Observation.simulate(truth, "T1 + y(T2FLAIR)", SPEC))
    with pytest.raises(UnsupportedObservation, match="from nothing"):
        method.complete(Observation.simulate(truth, "nothing", SPEC))
    with pytest.raises(ValidationError, match="sampling_steps: 1001, but schedule has 1000 times"):
        ADMConfig.model_validate(CONFIG.model_dump() | {"sampling_steps": 1001})


@pytest.mark.long
def test_four_slices_are_learned_by_heart_and_weights_come_back(make_store, tmp_path):
    store = make_store()
    done = train(ADMObjective(CONFIG, store), tmp_path / "run")
    log = (tmp_path / "run" / "log.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert float(log[-1].split(",")[3]) < 0.3
    assert ADM.load(done, store.spec).config == CONFIG
