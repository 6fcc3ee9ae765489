"""APT as a method: network, training from a fusion, initialisations, options, weights, and what it refuses."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from a2a.common.errors import InputError, UnsupportedObservation
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.apt.codebook import Codebook
from a2a.methods.baselines.apt.encoders import SmallSize
from a2a.methods.baselines.apt.fusion import FusionConfig, FusionObjective
from a2a.methods.baselines.apt.method import APT, APTConfig, APTObjective
from a2a.methods.baselines.synthesis import scenario_vectors
from a2a.methods.options import label, with_options
from a2a.methods.recipes import load_config, objective
from a2a.networks.conditional import ConditionalUNet, SpatialTransformer
from a2a.networks.unet import UNetConfig
from a2a.training import train
from a2a.training.config import NetworkSize
from a2a.training.loader import Steps

SPEC = StackSpec.of("T1", "T2FLAIR", "CT")
SMALL = SmallSize(widths=(8, 16), dims=16)
CONFIG = APTConfig(
    name="tiny", data="discs", network=NetworkSize(width=8, multipliers=(1, 2), attention=(2,), head_width=8),
    encoder=SMALL, heads=2, hidden=32, variance="fixed", start=300, sampling_steps=3, strength=0.5, unrolling=4,
    steps=150, batch=4, lr=5e-3, warmup=10, ema=0.9, precision="float32", checkpoint_every=75,
)  # fmt: skip
EVERY = [tuple(row) for row in scenario_vectors(3)[1:].tolist()]


@pytest.fixture(scope="module")
def trained(make_store, tmp_path_factory) -> tuple[APT, Path, object]:
    """Trained from a fusion on four slices."""
    folder, store = tmp_path_factory.mktemp("apt"), make_store()
    fusion = FusionConfig(name="fusion", data="discs", encoder=SMALL, heads=2, hidden=32, steps=5, batch=4,
                          precision="float32", checkpoint_every=5)  # fmt: skip
    file = train(FusionObjective(fusion, store), folder / "fusion")
    config = CONFIG.model_copy(update={"fusion": file})
    done = train(APTObjective(config, store), folder / "run")
    return APT.load(done, store.spec), done, store


@pytest.fixture(scope="module")
def truth() -> torch.Tensor:
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def written(given: tuple[bool, ...]) -> str:
    return " + ".join(name for name, one in zip(SPEC.names, given, strict=True) if one)


@pytest.mark.parametrize("given", EVERY)
def test_every_scenario_is_completed_and_given_images_come_back(given, trained, truth):
    clean, calls = torch.tensor(given), []
    hook = trained[0].network.denoiser.register_forward_pre_hook(lambda module, inputs: calls.append(inputs))
    done = trained[0].complete(Observation.simulate(truth, written(given), SPEC))
    hook.remove()
    assert torch.equal(done.samples[0][:, clean], truth[:, clean]) and torch.isfinite(done.samples).all()
    assert len(calls) == done.evaluations == 3 + 1 + 4


def test_four_slices_are_learned_by_heart(trained):
    log = trained[1].with_name("log.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert float(log[-1].split(",")[3]) < 0.3


def test_training_tells_the_z_of_all_contrasts_and_leaves_the_fusion_alone(trained):
    method, _, store = trained
    learned = APTObjective(method.config, store)
    fresh = learned.networks()["network"]
    for part in (fresh.fusion, method.network.fusion):
        assert all(torch.equal(value, fresh.fusion.state_dict()[name]) for name, value in part.state_dict().items())
    assert not torch.equal(fresh.denoiser.head.weight, method.network.denoiser.head.weight)
    stack, times, noise = Steps(learned)[0]
    noisy = method.config.noise.diffuse(stack, times, noise)
    z = method.network.anatomy(stack, torch.ones(4, 3, dtype=torch.bool))
    wanted = (method.network(noisy, times, z) - noise).square().mean()
    torch.testing.assert_close(learned.loss("network", {"network": method.network}, (stack, times, noise)), wanted)


def test_the_codebook_is_made_of_training_slices(trained, tmp_path):
    method, _, store = trained
    images = torch.from_numpy(store.split("train").images[store.split("train").thinned(4)].astype("float32"))
    book = Codebook.of(method.network.fusion.encoder, images, SPEC.names, "f")
    torch.testing.assert_close(book.factor, method.codebook.factor)
    assert method.codebook.data == "f" and method.codebook.require(SPEC.names, "f")
    book.factor[0, 1, 0] = 7.0
    book.save(tmp_path / "book.json")
    given = method.config.model_copy(update={"codebook": tmp_path / "book.json"})
    assert APTObjective(given, store).networks()["network"].factor[0, 1, 0] == 7.0
    other = Codebook(("T1", "T2", "PD"), "f", book.share, book.similarity, book.factor)
    other.save(tmp_path / "book.json")
    with pytest.raises(InputError, match="codebook: it is of T1, T2, PD, but the data are of T1, T2FLAIR, CT"):
        APTObjective(given, store).networks()
    Codebook(SPEC.names, "another", book.share, book.similarity, book.factor).save(tmp_path / "book.json")
    with pytest.raises(InputError, match="codebook: it was made of data another"):
        APTObjective(given, store).networks()


def test_what_a_missing_contrast_begins_with_is_an_option(trained, truth):
    given = torch.tensor([[True, False, False]]).expand(3, -1)
    draws = [torch.Generator().manual_seed(row) for row in range(3)]
    begun = {name: with_options(trained[0], {"initial": name}).begun(truth, given, draws)
             for name in ("adaptive", "random", "zero", "noise")}  # fmt: skip
    assert begun.pop("noise") is None
    assert all(torch.equal(stack[:, 0], truth[:, 0]) for stack in begun.values())
    assert (begun["zero"][:, 1:] == 0.5).all()
    book = trained[0].codebook
    source, kind = book.choose(2, [True, False, False])
    assert source == 0 and torch.equal(begun["adaptive"][1, 2], book.image(2, truth[1], source, kind))
    choices = [book.image(2, truth[1], 0, kind) for kind in range(4)]
    assert any(torch.equal(begun["random"][1, 2], choice) for choice in choices)
    observation = Observation.simulate(truth, "T1", SPEC)
    ends = [
        with_options(trained[0], {"initial": n}).complete(observation).samples for n in ("adaptive", "zero", "noise")
    ]
    assert not torch.equal(ends[0], ends[1]) and not torch.equal(ends[1], ends[2])


def test_one_stage_is_the_first_alone(trained, truth):
    observation = Observation.simulate(truth, "T1 + CT", SPEC)
    one = with_options(trained[0], {"stages": 1})
    assert one.evaluations == 4 and one.complete(observation).evaluations == 4
    assert label("apt", {"initial": "random", "stages": 1}) == "apt-random-stages-1"


def test_a_row_depends_on_its_generator_alone(trained, truth):
    observation = Observation.simulate(truth, "T1", SPEC)
    together = trained[0].complete(observation, 2).samples
    assert torch.equal(together, trained[0].complete(observation, 2).samples)
    alone = APT(trained[0].network, trained[0].config, SPEC, 16, batch=1).complete(observation, 2).samples
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-3)
    assert (together[0] - together[1])[:, 1:].abs().mean() > 1e-4


@pytest.mark.parametrize(
    "options, message",
    [({"start": 1000}, r"start: 1000 must lie between sampling_steps \(3\) and 999"),
     ({"start": 2}, r"start: 2 must lie between sampling_steps \(3\)"), ({"start": 0}, "start.*got 0"),
     ({"unrolling": 0}, "unrolling.*greater than or equal to 3, got 0"),
     ({"fine": 1000}, "fine: 1000 must not exceed 999"), ({"initial": "grey"}, "initial"),
     ({"weight": 0}, "weight"), ({"guidance": "cubed"}, "guidance")],
)  # fmt: skip
def test_impossible_options_are_refused_by_name(options, message, trained):
    with pytest.raises(InputError, match=message):
        with_options(trained[0], options)


def test_it_says_what_it_cannot_use(trained, truth):
    with pytest.raises(UnsupportedObservation, match="clean images only, but T2FLAIR is given as k-space"):
        trained[0].complete(Observation.simulate(truth, "T1 + y(T2FLAIR)", SPEC))
    with pytest.raises(UnsupportedObservation, match="from nothing"):
        trained[0].complete(Observation.simulate(truth, "nothing", SPEC))
    whole = Observation.simulate(truth, "T1 + T2FLAIR + CT", SPEC)
    assert torch.equal(trained[0].complete(whole).samples[0], truth)


def test_a_training_without_its_fusion_is_refused(make_store, trained, tmp_path):
    store = make_store()
    with pytest.raises(InputError, match="fusion: name the weights of a fusion, trained by a recipe"):
        APTObjective(CONFIG, store).networks()
    with pytest.raises(InputError, match="fusion: it was trained on T1, T2FLAIR, CT, but the data are of T1, T2, PD"):
        APTObjective(trained[0].config, make_store(names=("T1", "T2", "PD"))).networks()
    with pytest.raises(InputError, match="lacks component"):
        APTObjective(CONFIG.model_copy(update={"fusion": trained[1]}), store).networks()


def test_a_learned_variance_has_its_bound_and_changes_no_estimate(trained, truth):
    method, _, store = trained
    config = method.config.model_copy(update={"variance": "learned"})
    learned = APTObjective(config, store)
    network = learned.networks()["network"]
    inputs = Steps(learned)[0]
    assert network(inputs[0], inputs[1], torch.ones(4, 16)).shape == (4, 6, 16, 16)
    plain = APTObjective(method.config, store)
    assert learned.loss("network", {"network": network}, inputs) > plain.loss("network", plain.networks(), inputs)
    done = APT(network.eval().requires_grad_(False), config, SPEC, 16).complete(Observation.simulate(truth, "T1", SPEC))
    assert torch.isfinite(done.samples).all()


def test_recipes_of_both_trainings_are_found(tmp_path, make_store):
    path = tmp_path / "recipe.yaml"
    path.write_text("name: x\nmethod: apt-fusion\ndata: discs\nencoder: {kind: small}\nsteps: 1\n")
    assert isinstance(objective(load_config(path), make_store()), FusionObjective)
    path.write_text("name: x\nmethod: apt\ndata: discs\nsteps: 1\nstart: 1000\n")
    with pytest.raises(InputError, match="start: 1000 must lie between"):
        load_config(path)
    with pytest.raises(ValidationError, match="network"):
        APTConfig.model_validate(CONFIG.model_dump() | {"network": {"patch": 2}})


def test_one_token_adds_the_same_everywhere():
    torch.manual_seed(0)
    layer = SpatialTransformer(8, 4, 6)
    h, context = torch.randn(2, 30, 8), torch.randn(2, 1, 6)
    added = layer.cross(layer.norms[1](h), context)
    torch.testing.assert_close(added, added[:, :1].expand_as(added))
    assert not torch.allclose(added[0], added[1])
    several = layer.cross(layer.norms[1](h), torch.randn(2, 3, 6))
    assert (several - several[:, :1]).abs().max() > 1e-3


def test_the_published_denoiser_has_the_published_weights():
    with torch.device("meta"):
        size = UNetConfig(4, 128, (1, 1, 2, 2, 4, 4), 2, (8, 16, 32), 64)
        network = ConditionalUNet(size, 8, context=512)
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(196.86e6, rel=1e-4)
