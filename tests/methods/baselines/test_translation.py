"""pFLSynth and FTN: personal layers, one image in, and how they learn from data that do not match."""

from collections.abc import Callable

import pytest
import torch

from a2a.common.errors import InputError, UnsupportedObservation
from a2a.data.store.read import SliceStore
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.collections import TranslationMethod, collection_error
from a2a.methods.baselines.ftn import FTN
from a2a.methods.baselines.pflsynth import PFLSynth
from a2a.networks.personal import EqualisedLinear, Personalisation, PersonalResNet, SiteUNet
from a2a.training.loader import Steps
from a2a.training.loop import train

SPEC = StackSpec.of("T1", "T2FLAIR", "CT")
DATASETS = {"here": ["T1", "T2FLAIR"], "there": ["T2FLAIR", "CT"]}
RUN = {"name": "t", "data": "d", "steps": 8, "batch": 4, "lr": 4e-3, "warmup": 5, "ema": 0.0, "precision": "float32",
       "log_every": 4, "checkpoint_every": 4, "sites": 2}  # fmt: skip
SIZES = {
    PFLSynth: {"width": 4, "blocks": 2, "latent": 8, "layers": 2, "dropout": 0.0, "discriminator_widths": (4, 8),
               "discriminator_last": 8},
    FTN: {"widths": (8, 8, 16)},
}  # fmt: skip
both = pytest.mark.parametrize("method", [PFLSynth, FTN])


def made(method: type[TranslationMethod]) -> TranslationMethod:
    torch.manual_seed(0)
    config = method.Config(**RUN | SIZES[method])
    network = method.build(config, SPEC, 16).eval().requires_grad_(False)
    for name, p in network.named_parameters():
        torch.nn.init.normal_(p, std=30.0 if "mapper" in name else 0.3)
    return method(network, config, SPEC, 16, {"datasets": DATASETS})


def observed(text: str) -> Observation:
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    return Observation.simulate(x, text, SPEC)


def test_pflsynth_has_its_published_size_and_a_small_one():
    with torch.device("meta"):
        sizes = [sum(p.numel() for p in network.parameters()) / 1e6
                 for network in (PersonalResNet(4, 4), PersonalResNet(4, 4, 16, latent=128, layers=4))]  # fmt: skip
    assert sizes == pytest.approx([15.99, 1.0], rel=0.03)
    assert sizes[0] == pytest.approx(15.99, rel=0.002)


def test_without_style_and_weights_half_of_the_norm_is_left():
    layer, x = Personalisation(8, 5), torch.randn(2, 8, 6, 6)
    for p in layer.parameters():
        torch.nn.init.zeros_(p)
    wanted = torch.nn.functional.instance_norm(x) / 2
    torch.testing.assert_close(layer(x, torch.randn(2, 5)), wanted)


def test_equalised_weights_are_stored_large_and_used_small():
    torch.manual_seed(0)
    layer, x = EqualisedLinear(400, 300), torch.randn(50, 400)
    assert layer.weight.std().item() == pytest.approx(100, rel=0.02)
    assert layer(x).std().item() == pytest.approx(1, rel=0.05)


def test_sites_coincide_until_they_have_learned_and_learn_by_themselves():
    torch.manual_seed(0)
    network, image = SiteUNet(2, 3, (4, 4, 8)), torch.rand(2, 1, 16, 16)
    zero, one = torch.tensor([0, 0]), torch.tensor([1, 1])
    answers = [network(image, site, zero, one) for site in (zero, one)]
    assert torch.equal(*answers)
    answers[0].square().sum().backward()
    assert all(p.grad is None for p in network.own[1].parameters())
    assert network.own[0].levels[0].weight.grad.abs().max() > 0
    with torch.no_grad():
        for level in network.own[0].levels:
            level.bias.normal_()
    assert not torch.allclose(network(image, zero, zero, one), answers[1], atol=1e-3)


@both
@pytest.mark.parametrize("text", ["T1", "T2FLAIR", "CT"])
def test_one_image_is_translated_to_all_others_and_site_source_and_target_matter(method, text):
    trained, observation = made(method), observed(text)
    with pytest.warns(UserWarning, match="data set here had no CT"):
        here = trained.complete(observation).samples[0]
    there = trained.told("there")
    others = [i for i, name in enumerate(SPEC.names) if name != text]
    assert torch.equal(here[:, SPEC.index(text)], observation.adjoint[:, SPEC.index(text)])
    given = torch.tensor([[name == text for name in SPEC.names]] * 2)
    assert not torch.allclose(
        trained.fill_in(observation.adjoint, given, [])[:, others],
        there.fill_in(observation.adjoint, given, [])[:, others],
        atol=1e-4,
    )
    assert not torch.allclose(here[:, others[0]], here[:, others[1]], atol=1e-4)


@both
def test_more_than_one_image_is_refused(method):
    with pytest.raises(UnsupportedObservation, match="it translates one image, but T1 and CT are given"):
        made(method).complete(observed("T1 + CT"))
    with pytest.raises(UnsupportedObservation, match="given as k-space"):
        made(method).complete(observed("T1 + y(CT)"))


@both
def test_more_data_sets_than_sites_are_refused(method, collect: Callable[..., SliceStore]):
    config = method.Config(**RUN | SIZES[method] | {"sites": 1})
    with pytest.raises(InputError, match="sites: 1, but .* has 2 data sets"):
        method.Objective(config, collect()).networks()
    with pytest.raises(InputError, match=f"of side 18 do not fit {method.name}"):
        method.build(config, SPEC, 18)


@both
def test_a_step_translates_between_modalities_that_are_there(method, collect: Callable[..., SliceStore]):
    objective, seen = method.Objective(method.Config(**RUN | SIZES[method]), collect()), set()
    for step in range(24):
        image, wanted, site, source, target = Steps(objective)[step]
        assert not image.isnan().any() and not wanted.isnan().any() and image.shape == wanted.shape == (4, 1, 16, 16)
        assert all(len(set(told.tolist())) == 1 for told in (site, source, target))
        seen.add((int(site[0]), int(source[0]), int(target[0])))
    assert seen == {(0, 0, 1), (0, 1, 0), (1, 1, 2), (1, 2, 1)}


@both
def test_weights_return_and_training_goes_on_bit_for_bit(method, collect: Callable[..., SliceStore], tmp_path):
    objective = method.Objective(method.Config(**RUN | SIZES[method]), collect())
    whole = train(objective, tmp_path / "whole")
    assert train(objective, tmp_path / "parts", stop_after=3) is None
    assert train(objective, tmp_path / "parts", resume=True).read_bytes() == whole.read_bytes()
    again = method.load(whole, SPEC)
    assert again.datasets == DATASETS and again.told("there").number == 1


@pytest.mark.long
@both
def test_eight_images_are_learnt_by_heart(method, collect: Callable[..., SliceStore], tmp_path):
    learned = collect(splits=("train", "train"))
    options = {"steps": 150, "lr": 5e-3, "augmentation": {"flip": 0.0}}
    objective = method.Objective(method.Config(**RUN | SIZES[method] | options), learned)
    torch.manual_seed(0)
    before = collection_error(objective.finished(objective.networks()["generator"].eval(), {}), learned)
    assert collection_error(method.load(train(objective, tmp_path / "run")), learned) < before / 2.5
