"""M2DN: only the missing is noised, given images pass untouched, and every scenario is served."""

import json

import pytest
import torch
from pydantic import ValidationError

from a2a.common.errors import InputError, UnsupportedObservation
from a2a.common.rng import spawn
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.m2dn import M2DN, M2DNConfig, M2DNObjective, diffuse_missing, inpaint
from a2a.methods.baselines.minet import MINet
from a2a.methods.baselines.synthesis import scenario_vectors
from a2a.prior.schedule import NoiseSchedule
from a2a.training import train
from a2a.training.loader import Steps

SCHEDULE = NoiseSchedule("linear", 1000)
SPEC = StackSpec.of("T1", "T2FLAIR", "CT")
CONFIG = M2DNConfig(
    name="tiny", data="discs", stem=(8, 8), trunk=(16, 16), time=16, sampling_steps=4,
    steps=80, batch=4, lr=3e-3, warmup=10, ema=0.9, precision="float32", checkpoint_every=40,
)  # fmt: skip
EVERY = [tuple(row) for row in scenario_vectors(3).tolist()]


def written(given: tuple[bool, ...]) -> str:
    """The scenario of a row of `scenario_vectors`."""
    return " + ".join(name for name, one in zip(SPEC.names, given, strict=True) if one)


@pytest.fixture(scope="module")
def method() -> M2DN:
    """Untrained, but it answers to everything."""
    torch.manual_seed(0)
    network = M2DN.build(CONFIG, SPEC, 16).eval().requires_grad_(False)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return M2DN(network, CONFIG, SPEC, 16)


@pytest.fixture(scope="module")
def truth() -> torch.Tensor:
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("given", EVERY)
def test_given_modalities_are_bit_identical_at_every_time(given):
    stack, noise = torch.randn(2, 1000, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    noisy = diffuse_missing(SCHEDULE, stack, torch.arange(1000), noise, torch.tensor([given]).expand(1000, -1))
    clean = torch.tensor(given)
    assert torch.equal(noisy[:, clean], stack[:, clean])
    assert torch.equal(noisy[:, ~clean], SCHEDULE.diffuse(stack, torch.arange(1000), noise)[:, ~clean])


@pytest.mark.parametrize("steps", [1, 2, 7, 50])
@pytest.mark.parametrize("given", EVERY)
def test_an_oracle_brings_the_sampler_to_the_truth(steps, given, truth):
    stack, masks = 2 * truth - 1, torch.tensor([given]).expand(3, -1)
    hidden = torch.where(masks[:, :, None, None], stack, torch.nan)
    found = inpaint(SCHEDULE, lambda x, t: stack, hidden, masks, spawn(0, 3), steps)
    assert torch.equal(found, stack)


@pytest.mark.parametrize("given", EVERY)
def test_the_network_sees_given_images_untouched_and_the_stack_ends_with_them(given, method, truth):
    observation = Observation.simulate(truth, written(given), SPEC)
    clean, seen = torch.tensor(given), []
    hook = method.network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs))
    done = method.complete(observation)
    hook.remove()
    assert torch.equal(done.samples[0][:, clean], truth[:, clean]) and torch.isfinite(done.samples).all()
    assert len(seen) == done.evaluations == CONFIG.sampling_steps
    for x, _, missing in seen:
        assert torch.equal(x[:, clean], 2 * truth[:, clean] - 1)
        assert torch.equal(missing, (~clean).float().expand(3, -1))


def test_flipping_the_mask_changes_the_answer(method, truth):
    t = torch.full((3,), 300)
    one = torch.tensor([[1.0, 0.0, 0.0]]).expand(3, -1)
    assert (method.network(truth, t, one) - method.network(truth, t, 1 - one)).abs().amax(dim=(2, 3)).min() > 1e-3


@pytest.mark.parametrize("given", EVERY)
def test_a_perfect_prediction_costs_nothing_whatever_is_missing(given, make_store):
    class Oracle(torch.nn.Module):
        def forward(self, x, t, missing):
            return self.answer

    objective, masks = M2DNObjective(CONFIG, make_store()), torch.tensor([given]).expand(4, -1)
    noisy, times, _, stack = Steps(objective)[0]
    oracle = Oracle()
    oracle.answer = stack
    inputs = (noisy, times, (~masks).float(), stack)
    assert objective.loss("network", {"network": oracle}, inputs) == 0
    oracle.answer = stack + 0.1 * torch.eye(3)[0][:, None, None]  # a given modality counts like a missing one
    assert objective.loss("network", {"network": oracle}, inputs) == pytest.approx(0.01 / 3)


def test_training_inputs_are_noised_where_the_mask_says(make_store):
    objective = M2DNObjective(CONFIG, make_store())
    masks = []
    for step in range(20):
        noisy, _, missing, stack = Steps(objective)[step]
        changed = (noisy != stack).flatten(2).any(dim=2)
        assert torch.equal(changed, missing.bool())
        masks += [tuple(row) for row in missing.bool().logical_not().tolist()]
    assert set(masks) == set(EVERY)


def test_a_row_depends_on_its_generator_alone(method, truth):
    observation = Observation.simulate(truth, "T1", SPEC)
    together = method.complete(observation, 2).samples
    assert torch.equal(together, method.complete(observation, 2).samples)
    alone = M2DN(method.network, CONFIG, SPEC, 16, batch=1).complete(observation, 2).samples
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)
    assert (together[0] - together[1])[:, 1:].abs().mean() > 1e-3


def test_it_says_what_it_cannot_use(method, truth):
    with pytest.raises(UnsupportedObservation, match="clean images only, but T2FLAIR is given as k-space"):
        method.complete(Observation.simulate(truth, "T1 + y(T2FLAIR)", SPEC))
    whole = Observation.simulate(truth, "T1 + T2FLAIR + CT", SPEC)
    assert torch.equal(method.complete(whole).samples[0], truth)
    with pytest.raises(InputError, match="ask for 1"):
        method.complete(whole, samples=2)
    published = M2DN(method.network, CONFIG.model_copy(update={"nothing": False}), SPEC, 16)
    with pytest.raises(UnsupportedObservation, match="from nothing"):
        published.complete(Observation.simulate(truth, "nothing", SPEC))


@pytest.mark.parametrize("field, value", [("stem", (8, 12)), ("trunk", ()), ("time", 20), ("sampling_steps", 1001)])
def test_impossible_sizes_are_refused_by_name(field, value):
    with pytest.raises(ValidationError, match=field):
        M2DNConfig.model_validate(CONFIG.model_dump() | {field: value})


def test_slices_that_cannot_be_halved_often_enough_are_refused():
    with pytest.raises(InputError, match="trunk: slices of side 18 do not fit, 4 must divide"):
        M2DN.build(CONFIG, SPEC, 18)


def test_weights_come_back_and_wrong_ones_are_refused(method, truth, tmp_path):
    path = tmp_path / "m2dn.safetensors"
    method.save(path)
    observation = Observation.simulate(truth, "CT", SPEC)
    assert torch.allclose(
        M2DN.load(path, SPEC).complete(observation).samples, method.complete(observation).samples, atol=1e-5
    )
    with pytest.raises(InputError, match="T1, T2FLAIR, CT"):
        M2DN.load(path, StackSpec.of("T2FLAIR", "T1", "CT"))
    with pytest.raises(InputError, match="method is 'm2dn', but minet"):
        MINet.load(path)
    beside = path.with_suffix(".json")
    description = json.loads(beside.read_text(encoding="utf-8"))
    beside.write_text(json.dumps(description | {"fill": 0.0}), encoding="utf-8")
    with pytest.raises(InputError, match="fill is 0.0, but m2dn needs 'noise'"):
        M2DN.load(path)


def test_four_slices_are_learned_by_heart(make_store, tmp_path):
    store = make_store()
    done = train(M2DNObjective(CONFIG, store), tmp_path / "run")
    log = (tmp_path / "run" / "log.csv").read_text(encoding="utf-8").splitlines()[1:]
    objective = M2DNObjective(CONFIG, store)
    torch.manual_seed(0)
    fresh = objective.loss("network", objective.networks(), Steps(objective)[0])
    last = float(log[-1].split(",")[3])
    assert last < fresh / 10
    assert M2DN.load(done, store.spec).config == CONFIG
