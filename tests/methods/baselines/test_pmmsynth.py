"""PMM-Synth: modulation, unification, losses only where there is truth, and training on data that do not match."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from a2a.common.errors import InputError, UnsupportedObservation
from a2a.common.paths import repository
from a2a.common.rng import spawn
from a2a.data.cards.card import load_card
from a2a.data.cards.collection import load_collection
from a2a.data.store.datasets import identifiers, owner
from a2a.data.store.read import SliceStore
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.collections import collection_error, require_sources
from a2a.methods.baselines.pmmsynth import PMMSynth, PMMSynthConfig, selective_error
from a2a.methods.baselines.synthesis import scenario_vectors
from a2a.methods.recipes import load_config, trained_methods
from a2a.networks.pmmsynth import Unification, UniSynth
from a2a.training.loader import Steps
from a2a.training.loop import train

SPEC = StackSpec.of("T1", "T2FLAIR", "CT")
HAS = {"here": (0, 1), "there": (1, 2)}
CONFIG = PMMSynthConfig(
    name="tiny", data="discs", width=4, discriminator_widths=(4, 8), steps=12, batch=2, lr=4e-3, warmup=5, ema=0.0,
    precision="float32", log_every=4, checkpoint_every=6,
)  # fmt: skip


@pytest.fixture
def store(collect: Callable[..., SliceStore]) -> SliceStore:
    return collect()


@pytest.fixture
def method() -> PMMSynth:
    torch.manual_seed(0)
    network = PMMSynth.build(CONFIG, SPEC, 16).eval().requires_grad_(False)
    for p in network.parameters():
        torch.nn.init.normal_(p, std=0.3)
    card = {"datasets": {name: [SPEC.names[i] for i in has] for name, has in HAS.items()}}
    return PMMSynth(network, CONFIG, SPEC, 16, card)


def observed(text: str) -> Observation:
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    return Observation.simulate(x, text, SPEC)


@pytest.mark.parametrize(("n", "personal", "count"), [(6, True, 807_833), (6, False, 610_233), (4, True, 559_351)])
def test_parameters_are_as_many_as_planned(n, personal, count):
    with torch.device("meta"):
        assert sum(p.numel() for p in UniSynth(n, 16, personal).parameters()) == count


@pytest.mark.parametrize(
    "name", ["pmmsynth-64", "pmmsynth-plain-64", "pmmsynth-shuffled-64", "pmmsynth-three-64", "pflsynth-64", "ftn-64"]
)
def test_recipes_of_the_collection_see_as_many_images_and_stay_below_two_mebibytes(name):
    config = load_config(repository("experiments", "baselines", f"{name}.yaml"))
    assert config.steps * config.batch == 12_000
    with torch.device("meta"):
        spec = load_collection("four-hospitals").spec
        network = trained_methods()[config.method].build(config, spec, 64)
    assert 2 * sum(value.numel() for value in network.state_dict().values()) < 2 * 2**20 - 20_000


@pytest.mark.parametrize("name", ["mmgan", "mmsyn", "mmresvit", "unisynth"])
def test_recipes_of_each_data_set_see_as_many_images_together(name):
    paths = sorted(repository("experiments", "baselines").glob(f"{name}-four-*-64.yaml"))
    configs = [load_config(path) for path in paths]
    assert len(paths) == 4 and sum(config.steps * config.batch for config in configs) == 12_000
    with torch.device("meta"):
        for config in configs:
            spec = load_card(config.data.partition(",")[0]).spec
            network = trained_methods()[config.method].build(config, spec, 64)
            assert 2 * sum(value.numel() for value in network.state_dict().values()) < 2 * 2**20 - 20_000


@pytest.mark.parametrize("name", ["pmmsynth-paper", "pflsynth-paper", "ftn-paper"])
def test_recipes_of_the_published_size_can_be_built(name):
    config = load_config(repository("experiments", "baselines", f"{name}.yaml"))
    with torch.device("meta"):
        trained_methods()[config.method].build(config, load_collection("four-hospitals").spec, 192)


def test_a_fresh_modulation_changes_nothing_for_any_data_set_and_a_trained_one_does():
    torch.manual_seed(0)
    told, x = UniSynth(3, 4), torch.rand(2, 3, 16, 16)
    plain = UniSynth(3, 4, personal=False)
    plain.load_state_dict({key: told.state_dict()[key] for key in plain.state_dict()})
    answers = [told(x, [0, 2], torch.tensor([n, n]), range(3)) for n in range(4)]
    assert all(torch.equal(answer, plain(x, [0, 2], torch.tensor([0, 0]), range(3))) for answer in answers)
    for name, p in told.named_parameters():
        if "personal" in name:
            torch.nn.init.normal_(p, std=0.3)
    first, second = (told(x, [0, 2], torch.tensor([n, n]), range(3)) for n in (0, 1))
    assert (first - second).abs().amax(dim=(2, 3)).min() > 1e-3


def test_unification_does_not_know_the_order_and_of_one_modality_is_that_modality():
    torch.manual_seed(0)
    unify, (one, two, three), common = Unification(5), torch.randn(3, 2, 5, 8, 8), torch.randn(2, 5, 8, 8)
    torch.testing.assert_close(unify(common, [one, two, three]), unify(common, [three, one, two]))
    for integrated in unify.integrated([one]):
        assert torch.equal(integrated, one)
    hard, soft = unify.integrated([one, two])
    assert torch.equal(hard, torch.maximum(one, two)) and not torch.allclose(hard, soft)
    assert (soft <= hard + 1e-6).all() and (soft >= torch.minimum(one, two) - 1e-6).all()


def test_what_is_not_given_does_not_reach_the_answer_not_even_as_nan(method):
    x, given = torch.rand(1, 3, 16, 16), torch.tensor([[1, 0, 1]]).bool()
    for other in (torch.rand(16, 16), torch.full((16, 16), torch.nan)):
        changed = x.clone()
        changed[0, 1] = other
        assert torch.equal(method.fill_in(x, given, spawn(0, 1)), method.fill_in(changed, given, spawn(0, 1)))
    changed = x.clone()
    changed[0, 2] = torch.rand(16, 16)
    assert not torch.equal(method.fill_in(x, given, spawn(0, 1)), method.fill_in(changed, given, spawn(0, 1)))


def test_where_there_is_no_truth_the_gradient_is_exactly_zero(store):
    objective = PMMSynth.Objective(CONFIG, store)
    for step in range(4):
        networks, inputs = objective.networks(), Steps(objective)[step]
        objective.loss("generator", networks, inputs).backward()
        for number, decoder in enumerate(networks["generator"].decoders):
            assert all((p.grad is not None) == bool(inputs[1][0, number]) for p in decoder.parameters())
    answer, truth = torch.rand(2, 3, 4, 4, requires_grad=True), torch.rand(2, 3, 4, 4)
    truth[:, 2] = torch.nan
    selective_error(answer, truth, torch.tensor([True, False, False])).backward()
    assert (answer.grad[:, 1:] == 0).all() and (answer.grad[:, 0] != 0).all()


def test_the_loss_is_100_targets_30_sources_and_deception(store):
    objective = PMMSynth.Objective(CONFIG, store)
    networks, (truth, available, sources, dataset) = objective.networks(), Steps(objective)[0]
    there = available[0].nonzero().flatten().tolist()
    (given,), (asked,) = (m[0].nonzero().flatten().tolist() for m in (sources, available & ~sources))
    made = networks["generator"](truth, [given], dataset, there)
    error = {i: (made[:, place] - truth[:, i]).abs().mean() for place, i in enumerate(there)}
    answer = torch.zeros_like(truth)
    answer[:, there] = made
    verdict = networks["discriminator"](answer, [asked])
    wanted = 100 * error[asked] + 30 * error[given] + (verdict - 1).square().mean()
    torch.testing.assert_close(objective.loss("generator", networks, (truth, available, sources, dataset)), wanted)
    real = networks["discriminator"](truth, [asked])
    judged = verdict.square().mean() + (real - 1).square().mean()
    torch.testing.assert_close(
        objective.loss("discriminator", networks, (truth, available, sources, dataset)),
        judged.detach(),
        check_device=False,
    )


def test_impossible_conditions_are_refused():
    available = torch.tensor([True, True, False])
    with pytest.raises(InputError, match=r"modalities \[2\] are to be given, but the slices do not have them"):
        require_sources(available, torch.tensor([True, False, True]))
    for sources in (torch.zeros(3).bool(), available):
        with pytest.raises(InputError, match="at least one modality must be given, and one"):
            require_sources(available, sources)


def test_a_step_shows_one_data_set_and_draws_one_condition(store):
    objective = PMMSynth.Objective(CONFIG, store)
    seen = set()
    for step in range(20):
        truth, available, sources, dataset = Steps(objective)[step]
        assert (available == available[0]).all() and (sources == sources[0]).all() and len(set(dataset.tolist())) == 1
        assert not truth.isnan().any() and (truth[~available] == 0).all()
        assert tuple(available[0].nonzero().flatten().tolist()) == list(HAS.values())[dataset[0]]
        seen.add((int(dataset[0]), tuple(sources[0].tolist())))
    assert len(seen) == 4  # two data sets, either of two modalities given


@pytest.mark.parametrize("given", list(scenario_vectors(3)[1:]))
def test_every_set_of_inputs_is_completed_and_what_was_never_seen_is_said(given, method):
    text = " + ".join(name for name, there in zip(SPEC.names, given.tolist(), strict=True) if there)
    observation = observed(text)
    told = method.told("there")
    with pytest.warns(UserWarning, match="data set there had no T1; what pmmsynth makes with or of it is a guess"):
        samples = told.complete(observation).samples[0]
    assert torch.equal(samples[:, given], observation.adjoint[:, given]) and 0 <= samples.min() <= samples.max() <= 1


def test_the_identifier_changes_the_answer_and_an_unknown_one_is_refused(method):
    observation = observed("T1 + T2FLAIR")
    with pytest.warns(UserWarning, match="CT"):
        here = method.complete(observation).samples
    assert not torch.allclose(here, method.told("there").complete(observation).samples, atol=1e-3)
    with pytest.raises(InputError, match="these weights know here, there, not 'elsewhere'"):
        method.told("elsewhere")
    with pytest.raises(InputError, match="do not say which data sets they know"):
        replace(method, card={}).told("here")


def test_data_sets_are_numbered_by_the_alphabet_whatever_a_file_says(method, store):
    turned = replace(method, card={"datasets": dict(reversed(method.datasets.items()))})
    assert [turned.told(name).number for name in ("here", "there")] == [0, 1] == [method.number, 1]
    assert owner(store, store.split("val")).tolist() == [0] * 4 + [1] * 4 and identifiers(store) == ["here", "there"]
    shuffled = replace(store, manifest=store.manifest | {"datasets": dict(reversed(store.datasets.items()))})
    assert owner(shuffled, shuffled.split("val")).tolist() == [0] * 4 + [1] * 4


def test_other_observations_and_slices_are_refused(method):
    with pytest.raises(UnsupportedObservation, match="clean images only, but T2FLAIR is given as k-space"):
        method.complete(observed("T1 + y(T2FLAIR)"))
    with pytest.raises(UnsupportedObservation, match="from nothing"):
        method.complete(observed("nothing"))
    with pytest.raises(InputError, match="of side 18 do not fit pmmsynth"):
        PMMSynth.build(CONFIG, SPEC, 18)
    with pytest.raises(ValueError, match="batches: shuffled shows one slice a step, but batch is 2"):
        PMMSynthConfig(**CONFIG.model_dump() | {"batches": "shuffled"})


def test_a_subject_with_one_modality_cannot_be_learned_from(collect):
    objective = PMMSynth.Objective(CONFIG, collect({"here": (0,), "there": (1, 2)}))
    with pytest.raises(
        InputError, match="subject here-train has 1 modality; training needs one to give and one to make"
    ):
        objective.networks()


def test_weights_return_with_their_data_sets(method, tmp_path):
    path = tmp_path / "w.safetensors"
    method.save(path)
    again = PMMSynth.load(path, SPEC).told("there")
    observation = observed("T1")
    assert torch.allclose(
        again.complete(observation).samples, method.told("there").complete(observation).samples, atol=1e-5
    )


@pytest.mark.parametrize("options", [{}, {"batches": "shuffled", "batch": 1}, {"personal": False}])
def test_a_joint_training_goes_on_bit_for_bit(options, store, tmp_path):
    objective = PMMSynth.Objective(PMMSynthConfig(**CONFIG.model_dump() | options), store)
    whole = train(objective, tmp_path / "whole")
    assert train(objective, tmp_path / "parts", stop_after=5) is None
    assert train(objective, tmp_path / "parts", resume=True).read_bytes() == whole.read_bytes()


@pytest.mark.long
def test_eight_images_are_learnt_by_heart(collect, tmp_path):
    options = {"steps": 130, "batch": 4, "adversarial_weight": 0.1, "width": 8, "augmentation": {"flip": 0.0}}
    learned = collect(splits=("train", "train"))
    objective = PMMSynth.Objective(PMMSynthConfig(**CONFIG.model_dump() | options), learned)
    torch.manual_seed(0)
    before = collection_error(objective.finished(objective.networks()["generator"].eval(), {}), learned)
    trained = PMMSynth.load(train(objective, tmp_path / "run"))
    assert trained.datasets == {"here": ["T1", "T2FLAIR"], "there": ["T2FLAIR", "CT"]}
    assert collection_error(trained, learned) < before / 3
