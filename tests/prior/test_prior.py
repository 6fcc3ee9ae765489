"""Saving, loading and the two value ranges of a prior."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from a2a.common.errors import InputError
from a2a.common.units import to_image, to_model
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.methods.interface import Any2all
from a2a.networks.unet import UNet, UNetConfig
from a2a.prior.calibration import Calibration
from a2a.prior.frequency_bands import white
from a2a.prior.prior import Prior
from a2a.prior.schedule import NoiseSchedule
from a2a.prior.weights import read_card
from a2a.samplers import mds, mps

SPEC = StackSpec.of("T1", "T2")


@pytest.fixture
def prior() -> Prior:
    torch.manual_seed(1)
    network = UNet(UNetConfig(2, width=8, multipliers=(1, 2), attention=(2,), head_width=8)).eval()
    for p in network.parameters():
        torch.nn.init.normal_(p, std=0.05)
    return Prior(
        network.requires_grad_(False),
        NoiseSchedule(),
        SPEC,
        16,
        Calibration((0, 999), torch.stack([white(v, 16, 16) for v in ((0.01, 0.02), (0.03, 0.06))])),
        card={"note": "tiny"},
    )


def test_round_trip(prior, tmp_path):
    prior.save(tmp_path / "p.safetensors")
    again = Prior.load(tmp_path / "p.safetensors", SPEC)
    x = torch.randn(2, 2, 16, 16)
    assert again.digest == prior.digest and torch.allclose(prior.predict(x, 400), again.predict(x, 400), atol=1e-5)
    assert (
        again.spec == SPEC
        and again.size == 16
        and read_card(tmp_path / "p.safetensors") == again.card == {"note": "tiny"}
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p.json", "p.safetensors"]


def test_half_precision_file_is_half_the_size_and_nearly_the_same(prior, tmp_path):
    prior.save(tmp_path / "full.safetensors")
    prior.save(tmp_path / "half.safetensors", dtype=torch.float16)
    x = torch.randn(1, 2, 16, 16)
    a, b = (Prior.load(tmp_path / f"{n}.safetensors").predict(x, 300) for n in ("full", "half"))
    assert torch.allclose(a, b, atol=2e-2 * float(a.abs().max())) and not torch.equal(a, b)
    assert (tmp_path / "half.safetensors").stat().st_size < 0.6 * (tmp_path / "full.safetensors").stat().st_size


def test_ranges_are_inverse():
    image = torch.rand(10)
    assert torch.allclose(to_image(to_model(image)), image, atol=1e-7)
    assert to_model(torch.tensor([0.0, 1.0])).tolist() == [-1, 1]


def test_clean_estimate_is_clamped_but_passes_the_gradient(prior):
    x = torch.randn(1, 2, 16, 16, requires_grad=True)
    x0 = prior.predict(x, 999)
    assert x0.abs().max() <= 1 and x0.abs().min() == 1  # at T - 1 the raw estimate is noise, 20,000 times amplified
    (gradient,) = torch.autograd.grad(x0.sum(), x)
    assert (gradient != 0).all() and torch.isfinite(gradient).all()


def test_variance_interpolates_the_table(prior):
    assert np.allclose(prior.variance(0), [0.01, 0.02])
    assert np.allclose(prior.variance(333), [0.01 + 0.02 / 3, 0.02 + 0.04 / 3])


def corrupt_json(path):
    path.with_suffix(".json").write_text("{")


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 255
    path.write_bytes(content)


def foreign_json(path):
    path.with_suffix(".json").write_text(json.dumps({"card": {}}))


def edited(path, **fields):
    described = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(described | fields))


def other_network(path):
    described = json.loads(path.with_suffix(".json").read_text())
    described["network"]["width"] = 16
    path.with_suffix(".json").write_text(json.dumps(described))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda p: p.unlink(), "no such file"),
        (lambda p: p.with_suffix(".json").unlink(), "no such file"),
        (corrupt_json, "not valid JSON"),
        (truncate, "corrupt"),
        (flip_a_byte, "SHA-256"),
        (foreign_json, "lacks"),
        (other_network, "do not fit the network"),
        (lambda p: edited(p, predicts="epsilon"), "field predicts: Input should be 'noise', 'velocity' or 'clean'"),
        (lambda p: edited(p, calibration={"times": [0], "error": []}), "of an older form; fetch both files again"),
        (lambda p: edited(p, calibration={"times": [*range(99)]}), "damaged .*calibration"),
        (lambda p: edited(p, network=[1]), "field network: "),
        (lambda p: edited(p, schedule={"kind": "cosine", "speed": 2}), "field schedule.speed: "),
        (lambda p: edited(p, spec=[{}]), "field spec.0.name: "),
        (lambda p: p.with_suffix(".json").write_bytes(b"\xff\xfe"), "UTF-16; save it as UTF-8"),
    ],
)
def test_bad_files_are_refused_with_their_name(prior, tmp_path, damage, words):
    path = tmp_path / "p.safetensors"
    prior.save(path)
    damage(path)
    with pytest.raises(InputError, match=words) as caught:
        Prior.load(path)
    assert "p." in str(caught.value)


def test_other_modalities_are_refused_naming_both_sides(prior, tmp_path):
    prior.save(tmp_path / "p.safetensors")
    with pytest.raises(InputError, match=r"2 modalities \(T1, T2\), but 3 modalities \(T1, T2, CT\)"):
        Prior.load(tmp_path / "p.safetensors", StackSpec.of("T1", "T2", "CT"))


@pytest.mark.parametrize("sampler", [mds, mps])
def test_data_in_double_precision_are_taken(prior, sampler):
    image = torch.rand(1, prior.size, prior.size, dtype=torch.float64)
    done = sampler(prior, Observation.build(SPEC, {"T1": image}, {}), steps=2)
    same = sampler(prior, Observation.build(SPEC, {"T1": image.float()}, {}), steps=2)
    assert done.samples.dtype == torch.float32 and torch.equal(done.samples, same.samples)


def test_any2all_refuses_slices_of_another_size(prior):
    small = Observation.build(SPEC, {"T1": torch.rand(1, 8, prior.size)}, {})
    assert Any2all(prior).accepts(small) == "its slices are 8 x 16, the prior is for 16 x 16"


def test_stacks_of_another_size_are_refused(prior):
    shape = (len(prior.spec), prior.size, prior.size)
    with pytest.raises(InputError, match=r"Stacks are \(2, 32, 16\), but the prior is for \(2, 16, 16\)"):
        prior.predict(torch.zeros(1, shape[0], 2 * shape[1], shape[2]), 10)


def test_weights_without_error_table_say_so(prior):
    bare = Prior(prior.network, prior.schedule, prior.spec, prior.size)
    with pytest.raises(InputError, match="no validation error table"):
        bare.variance(10)


@pytest.mark.parametrize("predicts", ["noise", "velocity", "clean"])
@pytest.mark.parametrize("t", [0, 500, 900, (0, 900)])
def test_a_true_answer_gives_back_the_stack(prior, predicts, t):
    """A network that knows the truth: what it answers is turned into the stack."""
    x0, noise = torch.rand(2, 2, 16, 16) * 1.8 - 0.9, torch.randn(2, 2, 16, 16)
    times, schedule = torch.tensor([t]).reshape(1, -1).expand(2, -1), prior.schedule
    truth = {"noise": noise, "velocity": schedule.velocity(x0, noise, times), "clean": x0}[predicts]

    class Knowing(torch.nn.Module):
        config, weight = prior.network.config, torch.nn.Parameter(torch.zeros(1))

        def forward(self, x, t):
            return truth

    knowing = replace(prior, network=Knowing(), predicts=predicts)
    found = knowing.predict(schedule.diffuse(x0, times, noise), t)
    torch.testing.assert_close(found, x0, rtol=0, atol=2e-5)


def test_what_it_predicts_is_kept_with_the_weights(prior, tmp_path):
    replace(prior, predicts="velocity").save(tmp_path / "v.safetensors")
    assert Prior.load(tmp_path / "v.safetensors").predicts == "velocity"


def test_a_calibration_that_does_not_fit_the_prior_is_refused(prior):
    known, n = prior.calibration, len(prior.spec)
    gain, mean = torch.ones(2, n), torch.zeros(n, prior.size, prior.size)
    for predicts in ("velocity", "clean"):
        with pytest.raises(InputError, match=f"a {predicts} are not shrunk"):
            replace(prior, calibration=replace(known, gain=gain, mean=mean), predicts=predicts)
    with pytest.raises(InputError, match=r"it is of \(2, 8, 16\), but the prior is for \(2, 16, 16\)"):
        replace(prior, calibration=replace(known, gain=gain, mean=mean[:, ::2]))
    with pytest.raises(InputError, match=r"it is of \(1,\), but"):
        replace(prior, calibration=replace(known, error=known.error[..., :1, :1]))


def test_a_number_of_numpy_is_a_time_of_the_stack(prior):
    mean, gain = torch.zeros(2, 16, 16), torch.full((2, 2), 0.5)
    shrinking = replace(prior, calibration=replace(prior.calibration, gain=gain, mean=mean))
    x = torch.randn(1, 2, 16, 16)
    assert torch.equal(shrinking.predict(x, np.int64(300)), shrinking.predict(x, 300))
    assert not torch.equal(shrinking.predict(x, 300), prior.predict(x, 300))
