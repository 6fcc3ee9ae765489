"""Hi-Net, MM-SYN, UcDGAN and CocaGAN: sizes, losses, and how they complete, refuse, learn and return."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from a2a.common.errors import InputError, UnsupportedObservation
from a2a.common.rng import spawn
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.cocagan import CocaGAN
from a2a.methods.baselines.hinet import HiNetMethod
from a2a.methods.baselines.mmsyn import MMSynMethod, decoding_error, disagreement
from a2a.methods.baselines.synthesis import Synthesis, by_scenario, scenario_vectors, validation_error
from a2a.methods.baselines.ucdgan import UcDGAN, picked
from a2a.methods.recipes import load_config, trained_methods
from a2a.training.loop import train

RECIPES = Path(__file__).parents[3] / "experiments" / "baselines"
SPEC = StackSpec.of("T1", "T2FLAIR", "CT")
RUN = {"name": "discs", "data": "discs", "steps": 12, "batch": 4, "ema": 0.0, "log_every": 4, "checkpoint_every": 12,
       "precision": "float32", "lr": 2e-3}  # fmt: skip
SIZES = {
    HiNetMethod: {"width": 4, "discriminator_widths": (4, 8)},
    MMSynMethod: {"width": 4, "latent": 3},
    UcDGAN: {"width": 4, "blocks": 2, "discriminator_widths": (4, 8)},
    CocaGAN: {"width": 4, "latent": 3, "discriminator_widths": (4, 8)},
}  # fmt: skip
each = pytest.mark.parametrize("method", list(SIZES))
adversarial = pytest.mark.parametrize("method", [HiNetMethod, UcDGAN, CocaGAN])


def made(method: type[Synthesis], **options: object) -> Synthesis:
    """A network whose answers are nonsense that depends on everything it should."""
    torch.manual_seed(0)
    config = method.Config(**RUN | SIZES[method] | options)
    network = method.build(config, SPEC, 16).eval().requires_grad_(False)
    for name, p in network.named_parameters():
        torch.nn.init.normal_(p, mean=0.05 if "bias" in name else 0.0, std=0.2)
    return method(network, config, SPEC, 16)


def observed(text: str, spec: StackSpec = SPEC, side: int = 16) -> Observation:
    x = torch.rand(2, len(spec), side, side, generator=torch.Generator().manual_seed(1))
    return Observation.simulate(x, text, spec)


def written(given: torch.Tensor) -> str:
    return " + ".join(name for name, there in zip(SPEC.names, given, strict=True) if there)


@pytest.mark.parametrize("name", ["mmgan", "mmresvit", "hinet", "mmsyn", "ucdgan", "cocagan"])
def test_every_method_that_answers_in_one_pass_sees_as_many_images(name):
    config = load_config(RECIPES / f"{name}-brats-64.yaml")
    assert config.steps * config.batch == 12_000 and not config.nothing


@pytest.mark.parametrize("name", ["mmgan", "mmresvit", "hinet", "mmsyn", "ucdgan", "cocagan", "syndiff"])
def test_weights_of_the_small_recipes_are_below_two_mebibytes_at_half_precision(name):
    with torch.device("meta"):
        config = load_config(RECIPES / f"{name}-brats-64.yaml")
        network = trained_methods()[name].build(config, StackSpec.of("A", "B", "C", "D"), 64)
    assert 2 * sum(value.numel() for value in network.state_dict().values()) < 2 * 2**20 - 20_000


@pytest.mark.parametrize("name", ["hinet", "mmsyn", "ucdgan", "cocagan"])
def test_recipes_make_networks_for_their_slices(name):
    for recipe, side in (("brats-64", 64), ("paper", 160)):
        config = load_config(RECIPES / f"{name}-{recipe}.yaml")
        with torch.device("meta"):
            made = next(m for m in SIZES if m.name == name).build(config, StackSpec.of("A", "B", "C", "D"), side)
            assert sum(p.numel() for p in made.parameters()) > 1e5


@each
def test_every_scenario_is_completed_and_what_was_given_returns_bit_for_bit(method):
    trained = made(method)
    for given in scenario_vectors(3)[1:]:
        observation = observed(written(given))
        samples = trained.complete(observation).samples[0]
        assert samples.shape == (2, 3, 16, 16) and 0 <= samples.min() and samples.max() <= 1
        assert torch.equal(samples[:, given], observation.adjoint[:, given])
        assert torch.equal(samples, trained.complete(observation).samples[0])


@each
def test_missing_modalities_do_not_reach_the_answer_and_given_ones_do(method):
    trained, given = made(method), torch.tensor([[1, 0, 1]]).bool()
    images, answer = torch.rand(1, 3, 16, 16), lambda x: trained.fill_in(x, given, spawn(0, 1))[:, 1]
    other = torch.where(given[:, :, None, None], images, torch.rand_like(images))
    assert torch.equal(answer(images), answer(other))
    for channel in (0, 2):
        changed = images.clone()
        changed[:, channel] = torch.rand(16, 16)
        assert not torch.equal(answer(images), answer(changed))


@each
def test_batches_and_mixed_scenarios_do_not_change_a_row(method):
    trained, images, given = made(method), torch.rand(6, 3, 16, 16), scenario_vectors(3)[1:]
    together = trained.fill_in(images, given, spawn(0, 6))
    alone = torch.cat([trained.fill_in(images[i : i + 1], given[i : i + 1], spawn(0, 1)) for i in range(6)])
    torch.testing.assert_close(together[~given], alone[~given], rtol=0, atol=1e-5)


@each
def test_other_observations_are_refused_in_words(method):
    trained = made(method)
    with pytest.raises(UnsupportedObservation, match="takes clean images only, but T2FLAIR is given as k-space"):
        trained.complete(observed("T1 + y(T2FLAIR)"))
    with pytest.raises(UnsupportedObservation, match="not trained to make images from nothing"):
        trained.complete(observed("nothing"))
    with pytest.raises(UnsupportedObservation, match="8 x 8, the weights are for 16 x 16"):
        trained.complete(observed("T1", side=8))
    with pytest.raises(InputError, match="gives one answer"):
        trained.complete(observed("T1"), samples=2)
    with pytest.raises(InputError, match="of side 18 do not fit"):
        method.build(trained.config, SPEC, 18)


@each
def test_weights_return_and_those_of_another_method_are_refused(method, tmp_path):
    trained, observation, path = made(method), observed("T1 + CT"), tmp_path / "weights.safetensors"
    trained.save(path)
    assert torch.allclose(
        method.load(path, SPEC).complete(observation).samples, trained.complete(observation).samples, atol=1e-5
    )
    other = next(m for m in SIZES if m is not method)
    with pytest.raises(InputError, match=f"its method is '{method.name}', but {other.name}"):
        other.load(path)


@adversarial
def test_the_losses_update_their_own_network_and_all_of_it(method, make_store):
    objective = method.Objective(method.Config(**RUN | SIZES[method]), make_store(size=32))
    networks, seen = objective.networks(), {"generator": set(), "discriminator": set()}
    for step in range(12):
        inputs = objective.inputs(torch.rand(4, 3, 32, 32), spawn(step, 4), step)
        for name, other in (("generator", "discriminator"), ("discriminator", "generator")):
            networks[name].requires_grad_(True), networks[other].requires_grad_(False)
            for network in networks.values():
                network.zero_grad(set_to_none=True)
            objective.loss(name, networks, inputs).backward()
            assert all(p.grad is None for p in networks[other].parameters())
            seen[name] |= {key for key, p in networks[name].named_parameters() if p.grad is not None}
    for name, network in networks.items():
        assert seen[name] == {key for key, _ in network.named_parameters()}


@pytest.mark.long
@each
def test_four_images_are_learnt_by_heart(method, make_store, tmp_path):
    store = make_store(size=16)
    options = {"steps": 100, "lr": 4e-3, "warmup": 10, "augmentation": {"flip": 0.0}}
    options |= {"adversarial_weight": 0.1} if method is not MMSynMethod else {}
    options |= {"head": "linear", "width": 8} if method in (MMSynMethod, CocaGAN) else {}
    options |= {"curriculum": "none"}
    objective = method.Objective(method.Config(**RUN | SIZES[method] | options), store)
    split = replace(store.split("val"), images=np.asarray(store.split("train").images))
    torch.manual_seed(0)
    before = validation_error(objective.finished(objective.networks()[objective.product].eval(), {}), split)
    trained = method.load(train(objective, tmp_path / "run"))
    assert validation_error(trained, split) < before / 3


@each
def test_a_run_repeats_itself_and_goes_on_after_an_interruption(method, make_store, tmp_path):
    store = make_store(size=16)
    objective = method.Objective(method.Config(**RUN | SIZES[method] | {"steps": 4}), store)
    whole, again = (train(objective, tmp_path / name) for name in ("whole", "again"))
    assert train(objective, tmp_path / "parts", stop_after=2) is None
    parts = train(objective, tmp_path / "parts", resume=True)
    assert whole.read_bytes() == again.read_bytes() == parts.read_bytes()


def test_rows_with_the_same_given_are_answered_together():
    given, calls = torch.tensor([[1, 0], [0, 1], [1, 0]]).bool(), []

    def answer(rows: torch.Tensor, sources: list[int]) -> torch.Tensor:
        calls.append((len(rows), sources))
        return rows + 1

    images = torch.rand(3, 2, 4, 4)
    assert torch.equal(by_scenario(answer, images, given), images + 1)
    assert sorted(calls) == [(1, [1]), (2, [0])]


def test_the_loss_of_hi_net_weighs_what_was_missing_what_was_given_and_deception(make_store):
    objective = HiNetMethod.Objective(HiNetMethod.Config(**RUN | SIZES[HiNetMethod]), make_store(size=16))
    networks = {name: network.eval() for name, network in objective.networks().items()}
    truth, given = objective.inputs(torch.rand(2, 3, 16, 16), spawn(0, 2), 0)
    assert truth.min() < 0 and torch.equal(given[0], given[1]) and given[0].sum() == 2
    sources, (target,) = given[0].nonzero().flatten().tolist(), (~given[0]).nonzero().flatten().tolist()
    answer, own = networks["generator"](truth, sources)
    wanted = 100 * (answer - truth)[:, target].abs().mean() + 20 * (own - truth[:, sources]).abs().mean()
    wanted = wanted + (networks["discriminator"](answer, [target]) - 1).square().mean()
    torch.testing.assert_close(objective.loss("generator", networks, (truth, given)), wanted)


def test_mm_syn_sums_errors_over_latents_and_modalities_and_adds_their_variance():
    truth = torch.rand(2, 3, 4, 4)
    assert decoding_error(truth.expand(4, -1, -1, -1, -1) + 0.1, truth) == pytest.approx(4 * 3 * 0.1)
    latent = torch.rand(1, 2, 5, 4, 4)
    assert disagreement(latent.expand(3, -1, -1, -1, -1)) == 0
    assert disagreement(torch.stack([latent[0], latent[0] + 2])) == pytest.approx(1)


def test_ucdgan_averages_over_what_is_given():
    trained, images = made(UcDGAN), torch.rand(2, 3, 16, 16)
    answers = {
        text: trained.fill_in(images, torch.tensor([[there in text for there in "abc"]] * 2), spawn(0, 2))[:, 2]
        for text in ("a", "b", "ab")
    }
    torch.testing.assert_close(answers["ab"], (answers["a"] + answers["b"]) / 2)
    assert not torch.allclose(answers["a"], answers["b"])


def test_ucdgan_draws_two_modalities_that_differ_and_picks_them(make_store):
    objective = UcDGAN.Objective(UcDGAN.Config(**RUN | SIZES[UcDGAN]), make_store(size=16))
    truth, source, target = objective.inputs(torch.rand(90, 3, 4, 4), spawn(0, 90), 0)
    assert (source != target).all() and len(set(zip(source.tolist(), target.tolist(), strict=True))) == 6
    assert torch.equal(picked(truth, source)[5, 0], truth[5, source[5]])
    with pytest.raises(InputError, match="one modality to another; the data have only one"):
        replace(objective, store=replace(objective.store, spec=StackSpec.of("T1"))).networks()


def test_cocagan_leaves_the_classifier_in_doubt(make_store):
    """Trained against, latents are harder to tell apart than the classifier's certainty before."""
    objective = CocaGAN.Objective(CocaGAN.Config(**RUN | SIZES[CocaGAN] | {"adversarial_weight": 5.0}), make_store())
    networks, (truth,) = objective.networks(), objective.inputs(torch.rand(4, 3, 16, 16), spawn(0, 4), 0)
    uniform = np.log(3)
    for p in networks["discriminator"].last.parameters():
        torch.nn.init.zeros_(p)
    assert objective.loss("discriminator", networks, (truth,)).item() == pytest.approx(uniform)
    _, answers = networks["generator"](truth, range(3), singly=True)
    wanted = decoding_error(answers, truth).item() + 5 * uniform
    assert objective.loss("generator", networks, (truth,)).item() == pytest.approx(wanted)
