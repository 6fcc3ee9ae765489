"""What MINet and MC-VarNet share: one scenario, its mask, NaN elsewhere, training inputs, files; and each learns."""

import csv
import itertools
import json

import numpy as np
import pytest
import torch

from a2a.common.errors import InputError, UnsupportedObservation
from a2a.common.rng import spawn
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.forward.undersampling import Undersampling
from a2a.methods.baselines.mcvarnet import MCVarNet, MCVarNetConfig
from a2a.methods.baselines.minet import MINet, MINetConfig
from a2a.methods.baselines.reconstruction import Reconstruction, ReconstructionConfig
from a2a.methods.recipes import objective
from a2a.training.loop import train

SPEC, SIDE = StackSpec.of("T1", "T2FLAIR", "CT"), 16
NOISELESS = {"undersampling": {"noise_std": 0.0}, "augmentation": {"flip": 0.0}}
RUN = {"name": "tiny", "data": "discs", "batch": 4, "lr": 3e-3, "warmup": 5, "ema": 0.0, "precision": "float32"}
MINET = MINetConfig(**RUN, steps=100, features=12, groups=1, blocks=1, reduction=4)
MCVARNET = MCVarNetConfig(**RUN | {"lr": 4e-3}, steps=80, features=12)
CASES = pytest.mark.parametrize("method, config", [(MINet, MINET), (MCVarNet, MCVARNET)])
METHODS = pytest.mark.parametrize("method", [MINet, MCVarNet])


def made(method: type[Reconstruction], spec: StackSpec = SPEC, **changes) -> Reconstruction:
    """An untrained method."""
    torch.manual_seed(0)
    config = (MINET if method is MINet else MCVARNET).model_copy(update=changes)
    return method(method.build(config, spec, SIDE).eval().requires_grad_(False), config, spec, SIDE)


def observed(
    text: str = "T1 + y(T2FLAIR)", undersampling: Undersampling | None = None, spec: StackSpec = SPEC
) -> Observation:
    """Three random stacks, acquired."""
    torch.manual_seed(4)
    return Observation.simulate(torch.rand(3, len(spec), SIDE, SIDE), text, spec, undersampling or Undersampling())


@METHODS
def test_exactly_the_scenario_of_training_is_accepted(method):
    accepted = []
    for kinds in itertools.product(("{}", "y({})", ""), repeat=3):
        terms = [kind.format(name) for kind, name in zip(kinds, SPEC.names, strict=True) if kind]
        observation = observed(" + ".join(terms))
        reason = made(method).accepts(observation)
        if reason is None:
            accepted.append(str(observation.scenario))
        else:
            assert "T1 + y(T2FLAIR)" in reason
    assert accepted == ["T1 + y(T2FLAIR)"]


@METHODS
def test_the_two_modalities_are_those_of_the_configuration(method):
    turned = made(method, reference="T2FLAIR", target="T1")
    assert turned.accepts(observed("y(T1) + T2FLAIR")) is None
    assert "T2FLAIR + y(T1)" in turned.accepts(observed())
    with pytest.raises(UnsupportedObservation, match=r"cannot use T1 \+ y\(T2FLAIR\): .* T2FLAIR \+ y\(T1\)"):
        turned.complete(observed())


@pytest.mark.parametrize("change", [{"acceleration": 2}, {"offset": 1}, {"pattern": "poisson"}])
def test_a_method_that_is_not_told_the_mask_takes_that_of_training_alone(change):
    other = Undersampling(**change)
    given = Undersampling().mask(SIDE, SIDE).sum() * SIDE
    assert f"the weights are for {given} of 256 positions" in made(MINet).accepts(observed(undersampling=other))
    assert made(MINet, undersampling=other).accepts(observed(undersampling=other)) is None
    assert made(MCVarNet).accepts(observed(undersampling=other)) is None


@METHODS
def test_more_noise_and_other_coils_are_not_refused(method):
    assert made(method).accepts(observed(undersampling=Undersampling(noise_std=0.1, coils=4))) is None


@METHODS
def test_other_stacks_and_sizes_are_refused_naming_both(method):
    other = StackSpec.of("T2FLAIR", "T1", "CT")
    assert made(method).accepts(observed(spec=other)).endswith("the weights are for T1, T2FLAIR, CT")
    large = Observation.simulate(torch.zeros(1, 3, 32, 32), "T1 + y(T2FLAIR)", SPEC)
    assert made(method).accepts(large) == "the slices are 32 x 32, the weights are for 16 x 16"


@METHODS
def test_the_target_alone_is_given_and_clean_images_come_back_bit_for_bit(method):
    observation = observed()
    samples = made(method).complete(observation).samples
    assert samples.shape == (1, 3, 3, SIDE, SIDE)
    assert torch.equal(samples[0, :, 0], observation.adjoint[:, 0])
    assert torch.isfinite(samples[0, :, 1]).all() and torch.isnan(samples[0, :, 2]).all()
    predicted = made(method).predict(observation, spawn(0, 3))
    assert torch.isnan(predicted[:, [0, 2]]).all()


@METHODS
def test_neither_seed_nor_batch_changes_the_answer(method):
    one = made(method)
    whole = one.complete(observed()).samples[0, :, 1]
    again = one.complete(observed(), generators=spawn(7, 3)).samples[0, :, 1]
    parts = torch.cat([one.complete(observed()[i : i + 1]).samples[0, :, 1] for i in range(3)])
    assert torch.equal(whole, again) and torch.allclose(whole, parts, atol=1e-5)
    with pytest.raises(InputError, match="one answer .* ask for 1"):
        one.complete(observed(), samples=2)


@METHODS
def test_answers_follow_reference_and_data(method):
    observation = observed()
    plain = made(method).complete(observation).samples[0, :, 1]
    for i in (0, 1):
        data = tuple(y.flip(0) if k == i else y for k, y in enumerate(observation.data))
        changed = Observation(SPEC, observation.scenario, observation.operator, data, observation.noise_std)
        assert not torch.allclose(made(method).complete(changed).samples[0, :, 1], plain, atol=1e-3)


@CASES
def test_inputs_are_the_zero_filled_target_the_reference_and_the_truth(method, config, make_store):
    task, clean = objective(config, make_store()), torch.rand(2, 3, SIDE, SIDE)
    zero_filled, reference, truth = task.inputs(clean, spawn(5, 2), 0)
    expected = Observation.simulate(clean, "T1 + y(T2FLAIR)", SPEC, Undersampling(), spawn(5, 2)).adjoint[:, 1:2]
    assert torch.equal(zero_filled, expected)
    assert torch.equal(reference, clean[:, :1]) and torch.equal(truth, clean[:, 1:2])
    assert not torch.equal(zero_filled, task.inputs(clean, spawn(6, 2), 0)[0])


@CASES
def test_validation_is_the_error_of_the_target_on_held_out_slices(method, config, make_store):
    store = make_store()
    task = objective(config, store)
    network = task.networks()["network"]
    clean = torch.from_numpy(np.asarray(store.split("val").images, dtype=np.float32))
    observation = Observation.simulate(clean, "T1 + y(T2FLAIR)", store.spec)
    found = task.finished(network, {}).complete(observation).samples[0]
    assert task.validation(network) == pytest.approx(float((found - clean)[:, 1].abs().mean()), rel=1e-6)


@pytest.mark.long
@CASES
def test_four_images_are_learned_by_heart(method, config, make_store, tmp_path):
    config = type(config).model_validate(config.model_dump() | NOISELESS | {"log_every": 5})
    task = objective(config, make_store())
    weights = train(task, tmp_path / "run")
    with open(tmp_path / "run" / "log.csv", encoding="utf-8") as file:
        last = float(list(csv.DictReader(file))[-1]["loss"])
    clean = torch.from_numpy(np.asarray(task.store.split("train").images, dtype=np.float32))
    torch.manual_seed(0)
    networks = task.networks()
    first = float(task.loss("network", networks, task.inputs(clean, spawn(0, 4), 0)).detach())
    assert last < 0.1 * first
    card = method.load(weights, SPEC).card
    assert card["parameters"] == sum(p.numel() for p in networks["network"].parameters())


@METHODS
def test_weights_come_back_with_their_configuration(method, tmp_path):
    path, observation = tmp_path / "w.safetensors", observed()
    made(method).save(path)
    loaded = method.load(path, SPEC)
    assert loaded.config == made(method).config
    again, before = (one.complete(observation).samples[0, :, 1] for one in (loaded, made(method)))
    assert torch.allclose(again, before, atol=1e-5)


@METHODS
def test_wrong_weights_are_refused_by_name(method, tmp_path):
    path, other = tmp_path / "w.safetensors", MCVarNet if method is MINet else MINet
    made(method).save(path)
    with pytest.raises(InputError, match=f"its method is '{method.name}', but {other.name} needs '{other.name}'"):
        other.load(path)
    with pytest.raises(InputError, match="these weights are for T1, T2FLAIR, CT, but T2FLAIR, T1, CT are needed"):
        method.load(path, StackSpec.of("T2FLAIR", "T1", "CT"))
    edit(path, "fill", 0.0)
    with pytest.raises(InputError, match="its fill is 0.0, but .* needs 'none'"):
        method.load(path)
    edit(path, "fill", "none")
    larger = made(method, features=16)
    edit(path, "config", larger.config.model_dump(mode="json"))
    with pytest.raises(InputError, match=f"the tensors do not fit the {method.name}"):
        method.load(path)


def edit(path, field: str, value: object) -> None:
    """Change one field of the JSON beside weights."""
    beside = path.with_suffix(".json")
    beside.write_text(json.dumps(json.loads(beside.read_text()) | {field: value}), encoding="utf-8")


@METHODS
def test_a_stack_without_the_target_is_refused(method):
    with pytest.raises(InputError, match="Unknown modality 'T2FLAIR'; this stack has T1, CT"):
        made(method, spec=StackSpec.of("T1", "CT"))


@pytest.mark.parametrize("config", [MINetConfig, MCVarNetConfig, ReconstructionConfig])
def test_reference_and_target_are_two_modalities(config):
    with pytest.raises(ValueError, match="reference and target are both T1"):
        config(**RUN, steps=1, reference="T1", target="T1")
