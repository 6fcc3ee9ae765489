"""An expert answers where modalities are given and the others are very noisy, and nowhere else."""

import json
from dataclasses import replace

import pytest
import torch

from a2a.common.errors import InputError
from a2a.forward.adjacent import Adjacent
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.methods.interface import Any2all
from a2a.networks.plain import PlainConfig, PlainUNet
from a2a.networks.unet import UNet, UNetConfig
from a2a.prior.expert import Expert
from a2a.prior.linear import LinearEstimate
from a2a.prior.prior import Prior
from a2a.prior.schedule import NoiseSchedule
from a2a.samplers import mds

SPEC, SIDE = StackSpec.of("T1", "CT"), 8


def made(seed: int, predicts: str, **changes) -> Prior:
    torch.manual_seed(seed)
    corrects = predicts == "clean"
    config = UNetConfig(
        2, width=8, multipliers=(1, 2), attention=(), noise_levels="per-modality", stacks=2 if corrects else 1
    )
    network = UNet(config).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter += 0.1 * torch.randn(parameter.shape)
    flat = torch.full((2, SIDE, SIDE), 0.4)
    linear = (
        LinearEstimate(flat, 0.04 * torch.eye(2)[:, :, None, None].expand(-1, -1, SIDE, SIDE)) if corrects else None
    )
    return Prior(network, NoiseSchedule(), SPEC, SIDE, predicts=predicts, linear=linear, **changes)


@pytest.fixture
def prior() -> Prior:
    return replace(made(1, "velocity"), expert=Expert(made(2, "clean"), "expert", 500))


@pytest.mark.parametrize(
    ("times", "who"),
    [([0, 999], "expert"), ([499, 500], "expert"), ([0, 499], "own"), ([500, 999], "own"), (999, "own")],
)
def test_it_answers_from_its_time_on_where_something_is_given(prior, times, who):
    x = torch.randn(3, 2, SIDE, SIDE)
    expected = (prior.expert.prior if who == "expert" else replace(prior, expert=None)).predict(x, times)
    assert torch.equal(prior.predict(x, times), expected)


def test_a_sampler_asks_it_only_where_clean_modalities_are_told_as_they_are(prior):
    data = Observation.simulate(torch.rand(2, 2, SIDE, SIDE), "T1", SPEC)
    alone = replace(prior, expert=None)
    for levels, same in (("joint", True), ("per-modality", False)):
        one, other = (mds(p, data, steps=3, noise_levels=levels).samples for p in (prior, alone))
        assert torch.equal(one, other) == same
        told, untold = (Any2all(p, "mds", {"noise_levels": levels}).digest for p in (prior, alone))
        assert (told == untold) == same


def test_an_expert_that_is_asked_of_mirror_images_says_the_same_of_them_mirrored(prior):
    once, x = prior.expert.prior, torch.randn(3, 2, SIDE, SIDE)
    twice = replace(prior, expert=replace(prior.expert, mirrored=True))
    answer = twice.predict(x, [0, 999])
    torch.testing.assert_close(answer, (once.predict(x, [0, 999]) + once.predict(x.flip(-1), [0, 999]).flip(-1)) / 2)
    torch.testing.assert_close(twice.predict(x.flip(-1), [0, 999]), answer.flip(-1))
    assert not torch.allclose(prior.predict(x.flip(-1), [0, 999]), prior.predict(x, [0, 999]).flip(-1), atol=1e-3)
    assert twice.digest_with_expert != prior.digest_with_expert and twice.digest == prior.digest


def test_a_plain_network_is_not_asked_of_mirror_images(prior):
    linear = LinearEstimate(torch.full((2, 1, 1), 0.3), torch.eye(2)[:, :, None, None])
    network = PlainUNet(PlainConfig(2, widths=(4, 4)))
    plain = Prior(network, NoiseSchedule(), SPEC, SIDE, predicts="clean", linear=linear)
    with pytest.raises(InputError, match="a plain network, which looks at parts of slices"):
        replace(prior, expert=Expert(plain, "plain", 500, mirrored=True))


def test_an_expert_looks_where_its_prior_is_told_to_look(prior):
    linear = LinearEstimate(torch.full((2, 1, 1), 0.3), torch.eye(2)[:, :, None, None])
    network = PlainUNet(PlainConfig(2, widths=(4, 4), adjacent=True))
    plain = Prior(network, NoiseSchedule(), SPEC, SIDE, predicts="clean", linear=linear)
    both, mask = replace(prior, expert=Expert(plain, "plain", 500)), torch.zeros(SIDE, SIDE, dtype=torch.bool)
    mask[2:4, 3:5] = True
    told = both.within(mask).beside(Adjacent.of_volume(torch.rand(3, 2, SIDE, SIDE)))
    assert told.expert.prior.window == plain.within(mask).window and told.expert.prior.adjacent.shape[:2] == (3, 4)
    assert told.window is None and told.adjacent is None  # its own network is no plain one


@pytest.mark.parametrize("mirrored", [False, True])
def test_both_files_are_read_again(prior, tmp_path, mirrored):
    prior = replace(prior, expert=replace(prior.expert, mirrored=mirrored))
    prior.expert.prior.save(tmp_path / "expert.safetensors")
    prior.save(tmp_path / "prior.safetensors")
    found = Prior.load(tmp_path / "prior.safetensors")
    x = torch.randn(1, 2, SIDE, SIDE)
    torch.testing.assert_close(found.predict(x, [0, 999]), prior.predict(x, [0, 999]))
    assert found.digest_with_expert == prior.digest_with_expert != found.digest == prior.digest


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"weights": "prior", "since": 500}, "names prior as expert, which has one itself"),
        ({"weights": "expert", "since": 1000}, "another schedule, size or kind of noise levels"),
        ({"weights": "expert", "since": 0}, "field expert.since"),
        ({"weights": "expert", "since": 500, "mirrored": "left"}, "field expert.mirrored"),
        ({"weights": "../expert", "since": 500}, "field expert.weights"),
        ({"weights": "gone", "since": 500}, "gone.safetensors: no such file"),
    ],
)
def test_what_does_not_fit_is_refused(prior, tmp_path, said, message):
    prior.expert.prior.save(tmp_path / "expert.safetensors")
    prior.save(tmp_path / "prior.safetensors")
    path = tmp_path / "prior.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"expert": said}))
    with pytest.raises(InputError, match=message):
        Prior.load(tmp_path / "prior.safetensors")


def test_an_expert_with_one_level_for_all_is_refused(prior, tmp_path):
    joint = replace(made(3, "velocity"), network=UNet(UNetConfig(2, width=8, multipliers=(1, 2), attention=())))
    joint.save(tmp_path / "expert.safetensors")
    prior.save(tmp_path / "prior.safetensors")
    with pytest.raises(InputError, match="another schedule, size or kind of noise levels"):
        Prior.load(tmp_path / "prior.safetensors")
