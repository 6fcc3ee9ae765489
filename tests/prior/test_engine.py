"""A prior as an ONNX file: the same samples, and a sentence where it does not fit."""

from pathlib import Path

import pytest
import torch

from a2a.common.errors import InputError
from a2a.common.paths import repository
from a2a.common.rng import spawn
from a2a.forward.adjacent import Adjacent
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.networks.plain import PlainConfig, PlainUNet
from a2a.networks.unet import UNet, UNetConfig
from a2a.prior.engine import OnnxPrior, export_onnx
from a2a.prior.linear import LinearEstimate
from a2a.prior.prior import Prior
from a2a.prior.schedule import NoiseSchedule
from a2a.samplers import mds, mps

pytest.importorskip("onnxruntime", reason="ONNX Runtime needs the extra [onnx], which is not installed")
SPEC, SIDE = StackSpec.of("T1", "T2FLAIR"), 16


def made(predicts: str, seed: int, width: int = 8) -> Prior:
    """Make a prior with random weights, whose answers depend on everything that it is shown."""
    torch.manual_seed(seed)
    levels = "joint" if predicts == "noise" else "per-modality"
    config = UNetConfig(2, width, (1, 2), attention=(2,), head_width=8, noise_levels=levels)
    network = UNet(config).eval()
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape)
    return Prior(network, NoiseSchedule(), SPEC, SIDE, predicts=predicts)


@pytest.fixture(scope="module")
def velocity(tmp_path_factory: pytest.TempPathFactory) -> tuple[Prior, Path]:
    prior, path = made("velocity", 0), tmp_path_factory.mktemp("onnx") / "prior.onnx"
    export_onnx(prior, path)
    return prior, path


def test_samples_are_the_same_whatever_the_batch(velocity):
    prior, engine = velocity[0], OnnxPrior(*velocity)
    truth = 0.3 + 0.2 * torch.rand(3, 2, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    for scenario, levels in (("T1 + y(T2FLAIR)", "per-modality"), ("y(T1)", "joint")):
        given = Observation.simulate(truth, scenario, SPEC)
        options = {"steps": 5, "noise_levels": levels, "samples": 2}
        ours = mds(prior, given, **options, generators=spawn(0, 3, 2)).samples
        theirs = mds(engine, given, **options, generators=spawn(0, 3, 2), batch=4).samples
        torch.testing.assert_close(theirs, ours, atol=1e-4, rtol=0)
        assert float(ours.std()) > 0.05


def test_a_prior_of_the_noise_is_exported_too(tmp_path):
    prior = made("noise", 1)
    export_onnx(prior, tmp_path / "prior.onnx")
    OnnxPrior(prior, tmp_path / "prior.onnx")  # compares the estimates of the two


@pytest.mark.long
@pytest.mark.parametrize("name", ["phantom-any2all-64", "phantom-brats-64", "open-ms-1mm"])
def test_shipped_priors_are_exported(name):
    OnnxPrior.of(Prior.load(repository("weights", f"{name}.safetensors")))  # compares the estimates of the two


def test_a_prior_of_several_data_sets_is_refused(tmp_path):
    prior = Prior.load(repository("weights", "four-hospitals-64.safetensors")).told("brats")
    with pytest.raises(InputError, match="several data sets is not exported"):
        export_onnx(prior, tmp_path / "prior.onnx")


@pytest.mark.parametrize("looks", [False, True])
def test_a_plain_network_that_corrects_an_estimate_answers_parts_of_slices(tmp_path, looks):
    torch.manual_seed(4)
    network = PlainUNet(PlainConfig(2, (4, 8), adjacent=looks)).eval()
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape)
    pooled = LinearEstimate(torch.full((2, 1, 1), 0.4), torch.tensor([[0.04, 0.03], [0.03, 0.05]])[:, :, None, None])
    prior = Prior(network, NoiseSchedule(), SPEC, SIDE, predicts="clean", linear=pooled)
    engine, mask = OnnxPrior.at(prior, tmp_path / "prior.onnx"), torch.zeros(SIDE, SIDE, dtype=torch.bool)
    mask[6:9, 5:11] = True
    x, here, there = torch.randn(3, 2, SIDE, SIDE), engine.within(mask), prior.within(mask)
    with torch.no_grad():
        expected = there.predict(x, [0, 500])[:, :, mask]
        torch.testing.assert_close(here.predict(x, [0, 500])[:, :, mask], expected, atol=1e-4, rtol=0)
        assert here.prior.window == there.window != (slice(0, SIDE), slice(0, SIDE)) and float(expected.std()) > 0.05
        volume = Adjacent.of_volume(torch.rand(3, 2, SIDE, SIDE))
        told = there.beside(volume).predict(x, [0, 500])[:, :, mask]
        torch.testing.assert_close(here.beside(volume).predict(x, [0, 500])[:, :, mask], told, atol=1e-4, rtol=0)
        assert looks != torch.equal(told, expected)


def test_weights_at_half_precision_take_less_space_and_are_noticed(tmp_path):
    prior = made("velocity", 3, width=32)
    export_onnx(prior, tmp_path / "half.onnx", half=True)
    numbers = sum(parameter.numel() for parameter in prior.network.parameters())
    assert (tmp_path / "half.onnx").stat().st_size < 2 * numbers + 800_000 < 4 * numbers
    with pytest.raises(InputError, match=r"half.onnx: its estimates differ from those of the prior by \d"):
        OnnxPrior(prior, tmp_path / "half.onnx")


def test_what_does_not_fit_is_refused(tmp_path, velocity):
    prior, path = velocity
    with pytest.raises(InputError, match=r"prior.onnx: it was exported from other weights; export it again"):
        OnnxPrior(made("velocity", 2), path)
    (tmp_path / "cut.onnx").write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"cut.onnx: ONNX Runtime cannot read it \("):
        OnnxPrior(prior, tmp_path / "cut.onnx")
    given = Observation.simulate(torch.rand(1, 2, SIDE, SIDE), "T1", SPEC)
    with pytest.raises(InputError, match="ONNX Runtime computes no gradients; take the sampler mds"):
        mps(OnnxPrior(prior, path), given, steps=2)
