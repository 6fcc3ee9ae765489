"""DisC-Diff: its losses, its curriculum, and samples that depend on their own randomness alone."""

import json

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from a2a.common.errors import InputError, UnsupportedObservation
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.forward.undersampling import Undersampling
from a2a.methods.baselines.discdiff import DisCDiff, DisCDiffConfig, DisCDiffObjective, charbonnier, disentanglement
from a2a.methods.baselines.m2dn import M2DN
from a2a.training import train
from a2a.training.config import NetworkSize
from a2a.training.loader import Steps

SPEC = StackSpec.of("T1", "T2FLAIR", "CT")
CONFIG = DisCDiffConfig(
    name="tiny", data="discs", network=NetworkSize(width=16, multipliers=(1, 2), attention=(2,), head_width=16),
    undersampling=Undersampling(coils=4), variance="fixed", sampling_steps=3, steps=40, batch=4, lr=4e-3, warmup=10,
    ema=0.9, precision="float32", checkpoint_every=20,
)  # fmt: skip
LEARNED = CONFIG.model_copy(update={"variance": "learned"})
SCENARIO = "T1 + y(T2FLAIR)"


def features(seed: int) -> torch.Tensor:
    return torch.randn(4, 3, 5, 6, 6, generator=torch.Generator().manual_seed(seed))


def speaking(config: DisCDiffConfig) -> DisCDiff:
    """Untrained, but it answers to everything."""
    torch.manual_seed(0)
    network = DisCDiff.build(config, SPEC, 16).eval().requires_grad_(False)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return DisCDiff(network, config, SPEC, 16)


@pytest.fixture(scope="module")
def truth() -> torch.Tensor:
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def observation(truth) -> Observation:
    return Observation.simulate(truth, SCENARIO, SPEC, CONFIG.undersampling)


@pytest.mark.parametrize("scale", [0.1, 3.0, 50.0])
def test_the_ratio_ignores_a_common_scale(scale):
    ratio = disentanglement(features(0), features(1))
    torch.testing.assert_close(disentanglement(scale * features(0), scale * features(1)), ratio, rtol=1e-5, atol=0)


def test_the_ratio_is_the_sum_over_pairs_of_each_row():
    common, distinct = features(0), features(1)
    for row in range(4):
        spread = [
            sum(float((f[row, i] - f[row, j]).square().mean()) for i, j in ((0, 1), (0, 2), (1, 2)))
            for f in (common, distinct)
        ]
        assert float(disentanglement(common, distinct)[row]) == pytest.approx(spread[0] / spread[1], rel=1e-5)
    same = features(2)[:, :1].expand(-1, 3, -1, -1, -1)
    assert disentanglement(same, distinct).abs().max() == 0 and torch.isfinite(disentanglement(common, same)).all()


def test_a_perfect_prediction_costs_a_thousandth():
    torch.testing.assert_close(charbonnier(torch.zeros(2, 1, 4, 4)), torch.full((2,), 1e-3))
    torch.testing.assert_close(charbonnier(torch.full((1, 1, 4, 4), -2.0)), torch.tensor([2.0]))


def test_slices_get_more_complicated_while_the_curriculum_lasts(make_store):
    config = CONFIG.model_copy(update={"steps": 60, "curriculum": 0.5, "batch": 32})
    objective = DisCDiffObjective(config, make_store(40, 32))
    values = objective.entropies
    assert len(values) == 40 and len(set(values)) > 1
    means = np.array([values[objective.rows(step, 40)].mean() for step in range(30)])
    assert means[:10].mean() < means[10:20].mean() < means[20:].mean()


def test_after_the_curriculum_every_slice_comes_once_an_epoch(make_store):
    objective = DisCDiffObjective(CONFIG.model_copy(update={"curriculum": 0.0}), make_store(8))
    assert sorted(objective.rows(0, 8) + objective.rows(1, 8)) == list(range(8))


@pytest.mark.parametrize("config", [CONFIG, LEARNED], ids=["fixed", "learned"])
def test_inputs_and_loss_fit_together(config, make_store):
    objective = DisCDiffObjective(config, make_store())
    inputs, networks = Steps(objective)[0], objective.networks()
    noisy, times, zero_filled, reference, target, noise = inputs
    torch.testing.assert_close(noisy, config.noise.diffuse(target, times, noise))
    assert target.min() == reference.min() == -1 and not torch.allclose(zero_filled, target)
    loss = objective.loss("network", networks, inputs)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in networks["network"].parameters())


@pytest.mark.parametrize("config", [CONFIG, LEARNED], ids=["fixed", "learned"])
def test_a_row_depends_on_its_generator_alone(config, observation):
    method = speaking(config)
    together = method.complete(observation, 2).samples
    assert torch.equal(together[:, :, 1], method.complete(observation, 2).samples[:, :, 1])
    alone = DisCDiff(method.network, config, SPEC, 16, batch=1).complete(observation, 2).samples
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-4, equal_nan=True)
    assert (together[0] - together[1])[:, 1].abs().mean() > 1e-3


def test_it_gives_the_target_alone_and_hands_the_reference_back(truth, observation):
    done = speaking(CONFIG).complete(observation)
    assert torch.equal(done.samples[0, :, 0], truth[:, 0]) and torch.isfinite(done.samples[0, :, 1]).all()
    assert torch.isnan(done.samples[0, :, 2]).all()
    assert done.evaluations == CONFIG.sampling_steps


def test_the_network_is_shown_images_in_its_range_and_all_kept_times(truth, observation):
    method, seen = speaking(CONFIG), []
    method.network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs))
    method.complete(observation)
    assert [int(t[0]) for _, t, _, _ in seen] == [999, 500, 0]
    for _, _, zero_filled, reference in seen:
        torch.testing.assert_close(reference, 2 * truth[:, :1] - 1)
        torch.testing.assert_close(zero_filled, 2 * observation.adjoint[:, 1:2] - 1)


def test_it_says_what_it_cannot_use(truth):
    method = speaking(CONFIG)
    for scenario in ("T1", "y(T2FLAIR)", "T1 + CT + y(T2FLAIR)", "T2FLAIR + y(T1)"):
        with pytest.raises(UnsupportedObservation, match="for T1 \\+ y\\(T2FLAIR\\) alone"):
            method.complete(Observation.simulate(truth, scenario, SPEC, CONFIG.undersampling))
    shifted = CONFIG.undersampling.model_copy(update={"offset": 1})
    with pytest.raises(UnsupportedObservation, match="sampled at"):
        method.complete(Observation.simulate(truth, SCENARIO, SPEC, shifted))


@pytest.mark.parametrize(
    "field, value", [("sampling_steps", 1001), ("network", {"patch": 2}), ("target", "T1"), ("curriculum", 1.5)]
)
def test_impossible_settings_are_refused_by_name(field, value):
    with pytest.raises(ValidationError, match=field):
        DisCDiffConfig.model_validate(CONFIG.model_dump() | {field: value})


def test_slices_that_cannot_be_halved_often_enough_are_refused():
    with pytest.raises(InputError, match="network: slices of side 17 do not fit, 2 must divide"):
        DisCDiff.build(CONFIG, SPEC, 17)


def test_weights_come_back_and_wrong_ones_are_refused(observation, tmp_path):
    method, path = speaking(CONFIG), tmp_path / "discdiff.safetensors"
    method.save(path)
    again = DisCDiff.load(path, SPEC).complete(observation).samples
    assert torch.allclose(again[:, :, 1], method.complete(observation).samples[:, :, 1], atol=1e-5)
    with pytest.raises(InputError, match="T1, T2FLAIR, CT"):
        DisCDiff.load(path, StackSpec.of("T2FLAIR", "T1", "CT"))
    with pytest.raises(InputError, match="method is 'discdiff', but m2dn"):
        M2DN.load(path)
    beside = path.with_suffix(".json")
    description = json.loads(beside.read_text(encoding="utf-8"))
    beside.write_text(json.dumps(description | {"fill": -1.0}), encoding="utf-8")
    with pytest.raises(InputError, match="fill is -1.0"):
        DisCDiff.load(path)


@pytest.mark.long
def test_four_slices_are_learned_by_heart(make_store, tmp_path):
    store = make_store()
    objective = DisCDiffObjective(CONFIG, store)
    torch.manual_seed(0)
    fresh = float(objective.loss("network", objective.networks(), Steps(objective)[0]).detach())
    done = train(objective, tmp_path / "run")
    log = (tmp_path / "run" / "log.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert float(log[-1].split(",")[3]) < fresh / 10
    assert DisCDiff.load(done, store.spec).config == CONFIG
