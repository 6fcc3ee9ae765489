"""What mmGAN and mmResViT share: selective losses, and how their generators complete, refuse and learn."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from a2a.common.errors import InputError, UnsupportedObservation
from a2a.common.rng import spawn
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.adversarial import Adversarial, pixel_loss, selective_loss
from a2a.methods.baselines.mmgan import MmGAN
from a2a.methods.baselines.mmresvit import MmResViT
from a2a.methods.baselines.synthesis import scenario_vectors, validation_error
from a2a.training.loop import train

SPEC = StackSpec.of("T1", "T2FLAIR", "CT")
RUN = {"name": "discs", "data": "discs", "steps": 12, "batch": 4, "discriminator_widths": (8, 16), "ema": 0.0,
       "log_every": 4, "checkpoint_every": 12, "precision": "float32"}  # fmt: skip
SIZES = {
    MmGAN: {"widths": (8, 16, 16, 16, 16), "dropout": 0.5},
    MmResViT: {"width": 4, "blocks": 3, "attended": (1, 3), "downs": (16,), "tokens": 16, "layers": 1, "heads": 2,
               "mlp": 16},
}  # fmt: skip
both = pytest.mark.parametrize("method", [MmGAN, MmResViT])


def made(method: type[Adversarial], side: int = 32, **options: object) -> Adversarial:
    """A generator whose answers are nonsense that depends on everything it should."""
    torch.manual_seed(0)
    config = method.Config(**RUN | SIZES[method] | options)
    network = method.build(config, SPEC, side).eval().requires_grad_(False)
    for p in network.parameters():
        torch.nn.init.normal_(p, std=0.3)
    return method(network, config, SPEC, side)


def observed(text: str, batch: int = 3, side: int = 32, values: float = 1.0) -> Observation:
    x = values * torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(1))
    return Observation.simulate(x, text, SPEC)


def test_the_pixel_loss_looks_at_missing_modalities_only():
    truth, answer = torch.rand(2, 5, 3, 8, 8)
    given = scenario_vectors(3)[torch.tensor([1, 3, 4, 5, 6])]
    changed = torch.where(given[:, :, None, None], torch.rand_like(truth), truth)
    assert pixel_loss(answer, truth, given) == pixel_loss(answer, changed, given)
    by_hand = [(answer - truth)[i][~given[i]].abs().mean() for i in range(5)]
    assert pixel_loss(answer, truth, given) == pytest.approx(float(torch.stack(by_hand).mean()), rel=1e-5)


def test_with_one_modality_missing_the_gradient_reaches_one_channel():
    answer, given = torch.rand(2, 3, 8, 8, requires_grad=True), torch.tensor([[1, 0, 1], [1, 0, 1]]).bool()
    pixel_loss(answer, torch.rand(2, 3, 8, 8), given).backward()
    assert (answer.grad.abs().sum(dim=(2, 3)) > 0).equal(~given)


def test_slices_made_from_nothing_can_be_left_out_of_the_pixel_loss():
    answer, truth, given = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8), torch.tensor([[0, 0, 0], [1, 1, 0]]).bool()
    assert pixel_loss(answer, truth, given) == pytest.approx(
        float((answer - truth)[0].abs().mean() + (answer - truth)[1, 2].abs().mean()) / 2, rel=1e-5
    )
    assert pixel_loss(answer, truth, given, empty=False) == pytest.approx(
        float((answer - truth)[1, 2].abs().mean()) / 2, rel=1e-5
    )


def test_the_label_of_a_completed_stack_is_what_was_given():
    given, real = scenario_vectors(3)[torch.tensor([1, 5, 4, 0])], torch.ones(4, 3, 2, 2)
    label = given[:, :, None, None].float().expand(4, 3, 2, 2)
    assert selective_loss(real, label, given) == 0 < selective_loss(0.9 * real, label, given)
    level = torch.tensor(0.0, requires_grad=True)
    level_loss = selective_loss(real, level.expand(4, 3, 2, 2), given)
    (slope,) = torch.autograd.grad(level_loss, level)
    assert -slope == pytest.approx(float(label.mean()))  # d/df 0.5 mean (f - a)^2 at f = 0


@both
def test_every_scenario_is_completed_and_what_was_given_returns_bit_for_bit(method):
    trained = made(method)
    for given in scenario_vectors(3):
        text = " + ".join(name for name, is_given in zip(SPEC.names, given, strict=True) if is_given) or "nothing"
        observation = observed(text)
        samples = trained.complete(observation).samples[0]
        assert samples.shape == (3, 3, 32, 32) and 0 <= samples.min() and samples.max() <= 1
        assert torch.equal(samples[:, given], observation.adjoint[:, given])


@both
def test_missing_modalities_do_not_reach_the_answer(method):
    trained, given = made(method), torch.tensor([[1, 0, 1]]).bool()
    images = torch.rand(1, 3, 32, 32)
    other = torch.where(given[:, :, None, None], images, torch.rand_like(images))
    generators = spawn(0, 1)
    assert torch.equal(trained.fill_in(images, given, generators), trained.fill_in(other, given, generators))
    assert not torch.equal(trained.fill_in(images, given, generators), trained.fill_in(1 - images, given, generators))


@both
def test_rows_decide_what_is_made_from_nothing_and_batches_do_not(method):
    trained, observation = made(method), observed("nothing", batch=2)
    samples = trained.complete(observation, samples=3).samples
    alone = replace(trained, batch=1).complete(observation, samples=3).samples
    assert torch.allclose(samples, alone, atol=1e-5)
    assert torch.equal(samples, trained.complete(observation, samples=3).samples)
    flat = samples.flatten(0, 1).flatten(1)
    assert torch.cdist(flat, flat)[~torch.eye(6, dtype=bool)].min() > 1e-3
    assert not trained.deterministic(observation)


@both
def test_one_answer_to_what_is_given(method):
    trained, observation = made(method), observed("T1 + CT")
    with pytest.raises(InputError, match="gives one answer"):
        trained.complete(observation, samples=2)
    answers = [trained.complete(observation, generators=spawn(seed, 3)).samples for seed in (0, 1)]
    assert torch.equal(*answers)


@both
def test_other_observations_are_refused_in_words(method):
    trained, other = made(method), StackSpec.of("T2FLAIR", "T1", "CT")
    with pytest.raises(UnsupportedObservation, match="takes clean images only, but T2FLAIR is given as k-space"):
        trained.complete(observed("T1 + y(T2FLAIR)"))
    with pytest.raises(UnsupportedObservation, match="of T2FLAIR, T1, CT, the weights are for T1, T2FLAIR, CT"):
        trained.complete(Observation.simulate(torch.rand(1, 3, 32, 32), "T1", other))
    with pytest.raises(UnsupportedObservation, match="16 x 16, the weights are for 32 x 32"):
        trained.complete(observed("T1", side=16))
    with pytest.raises(UnsupportedObservation, match="not trained to make images from nothing"):
        made(method, nothing=False).complete(observed("nothing"))


@both
def test_weights_return_and_those_of_another_fill_or_method_are_refused(method, tmp_path):
    trained, observation, path = made(method), observed("T1 + CT"), tmp_path / "weights.safetensors"
    trained.save(path)
    again = method.load(path, SPEC)
    torch.testing.assert_close(again.network.state_dict(), trained.network.state_dict(), rtol=0, atol=0)
    # in another memory layout, which rounds otherwise
    torch.testing.assert_close(
        again.complete(observation).samples, trained.complete(observation).samples, rtol=0, atol=1e-5
    )
    with pytest.raises(InputError, match="these weights are for T1, T2FLAIR, CT, but CT, T1 are needed"):
        method.load(path, StackSpec.of("CT", "T1"))
    with pytest.raises(InputError, match="its method is"):
        (MmResViT if method is MmGAN else MmGAN).load(path)
    described = path.with_suffix(".json").read_text()
    path.with_suffix(".json").write_text(described.replace(f'"fill": {method.fill}', '"fill": 0.5'))
    with pytest.raises(InputError, match=f"its fill is 0.5, but {method.name} needs {method.fill}"):
        method.load(path)


@both
def test_the_losses_update_their_own_network_and_the_whole_input_reaches_them(method, make_store):
    objective = method.Objective(method.Config(**RUN | SIZES[method] | {"curriculum": "none"}), make_store(size=32))
    networks = objective.networks()
    inputs = objective.inputs(torch.rand(4, 3, 32, 32), spawn(0, 4), 11)
    for name, other in (("generator", "discriminator"), ("discriminator", "generator")):
        networks[name].requires_grad_(True), networks[other].requires_grad_(False)
        objective.loss(name, networks, inputs).backward()
        assert all(p.grad is not None for p in networks[name].parameters())
        assert all(p.grad is None for p in networks["discriminator"].parameters()) == (name == "generator")


@both
@pytest.mark.parametrize("condition", ["masked_input", "truth"])
def test_the_discriminator_sees_what_it_is_told_to(method, condition, make_store):
    objective = method.Objective(method.Config(**RUN | SIZES[method] | {"d_condition": condition}), make_store(size=32))
    networks, seen = objective.networks(), []
    networks["discriminator"].register_forward_hook(lambda _, stacks, __: seen.append(stacks))
    truth, entered, *rest = objective.inputs(torch.rand(4, 3, 32, 32), spawn(0, 4), 0)
    objective.loss("discriminator", networks, (truth, entered, *rest))
    wanted = truth if condition == "truth" else entered
    assert all(torch.equal(beside, wanted) for _, beside in seen) and torch.equal(seen[1][0], truth)


@pytest.mark.long
@both
def test_four_images_are_learnt_by_heart(method, make_store, tmp_path):
    store = make_store(size=32)
    options = {"steps": 120, "lr": 4e-3, "warmup": 10, "nothing": False, "dropout": 0.0, "augmentation": {"flip": 0.0}}
    objective = method.Objective(method.Config(**RUN | SIZES[method] | options), store)
    split = replace(store.split("val"), images=np.asarray(store.split("train").images))
    torch.manual_seed(0)
    before = validation_error(objective.finished(objective.networks()["generator"].eval(), {}), split)
    trained = method.load(train(objective, tmp_path / "run"))
    assert validation_error(trained, split) < before / 5
