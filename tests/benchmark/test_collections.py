"""Benchmarks of a collection: whose subjects, what a method is told, and methods of one data set alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from a2a.benchmark.experiment import Experiment, Job
from a2a.benchmark.run import run
from a2a.benchmark.table import read_table
from a2a.common.errors import InputError
from a2a.data.store.read import SliceStore
from a2a.data.store.write import StoreWriter
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.mmgan import MmGAN, MmGANConfig
from a2a.methods.baselines.pmmsynth import PMMSynth, PMMSynthConfig
from a2a.methods.datasets import OfOneDataset, told
from a2a.methods.interface import Any2all
from a2a.networks.unet import UNet, UNetConfig
from a2a.prior.calibration import Calibration
from a2a.prior.frequency_bands import white
from a2a.prior.prior import Prior
from a2a.prior.schedule import NoiseSchedule

SPEC, PART = StackSpec.of("T1", "T2FLAIR", "CT"), StackSpec.of("T2FLAIR", "CT")
KNOWN = {"here": ["T1", "T2FLAIR"], "there": ["T2FLAIR", "CT"]}


@pytest.fixture(scope="module")
def prior() -> Prior:
    """An untrained prior of two data sets that answers something else for each."""
    torch.manual_seed(0)
    sizes = UNetConfig(3, 8, (1, 2), attention=(), head_width=8, noise_levels="per-modality", datasets=2)
    network = UNet(sizes).eval().requires_grad_(False)
    for p in network.parameters():
        torch.nn.init.normal_(p, std=0.1)
    error = torch.stack([white([v] * 3, 16, 16) for v in (0.001, 0.2)])
    kind = {"predicts": "velocity", "card": {"datasets": KNOWN}}
    return Prior(network, NoiseSchedule(), SPEC, 16, Calibration((0, 999), error), **kind)


@pytest.fixture
def store(tmp_path: Path) -> SliceStore:
    """Two data sets; one subject of the second lacks CT."""
    draw, path = np.random.default_rng(0), tmp_path / "store"
    has = {"here-a": (0, 1), "here-b": (0, 1), "there-a": (1, 2), "there-b": (1,)}
    with StoreWriter(path, SPEC, 16, incomplete=True) as writer:
        for split in ("train", "val", "test"):
            for name, channels in has.items():
                images = np.full((2, 3, 16, 16), np.nan, np.float16)
                images[:, list(channels)] = draw.uniform(size=(2, len(channels), 16, 16))
                writer.add(split, f"{name}-{split}", [0, 1], [0.0, 4.0], images)
        sets = {k: [f"{n}-{s}" for n in has for s in ("train", "val", "test") if n.startswith(k)] for k in KNOWN}
        writer.finish({"card": "none", "profile": "ci", "datasets": sets})
    return SliceStore.open(path)


@pytest.fixture
def weights(tmp_path: Path) -> dict:
    """Weights of one model of both data sets, and of one of the second alone."""
    torch.manual_seed(0)
    config = PMMSynthConfig(name="p", data="d", steps=1, width=4, discriminator_widths=(4,))
    network = PMMSynth.build(config, SPEC, 16).eval()
    for p in network.parameters():
        torch.nn.init.normal_(p, std=0.3)
    PMMSynth(network, config, SPEC, 16, {"datasets": KNOWN}).save(tmp_path / "p.safetensors")
    alone = MmGANConfig(name="g", data="d", steps=1, widths=(4, 8))
    MmGAN(MmGAN.build(alone, PART, 16).eval(), alone, PART, 16).save(tmp_path / "g.safetensors")
    return {"pmmsynth": tmp_path / "p.safetensors", "plain": tmp_path / "p.safetensors",
            "mmgan": {"there": tmp_path / "g.safetensors"}}  # fmt: skip


def test_a_collection_is_measured_data_set_by_data_set(prior, store, weights, tmp_path):
    asked = {"dataset": "there", "given": "T2FLAIR", "targets": ("CT",)}
    jobs = [
        Job(method="pmmsynth", **asked),
        Job(method="pmmsynth", told="here", **asked),
        Job(method="pmmsynth", called="plain", **asked),
        Job(method="mmgan", **asked),
        Job(options={"steps": 2, "noise_levels": "per-modality"}, **asked),
        Job(method="pmmsynth", dataset="here", given="T1", targets=("T2FLAIR",)),
    ]
    run(Experiment(name="e", jobs=tuple(jobs), weights=weights), prior, store, tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    psnr = table[(table.metric == "psnr") & table.slice.isna()].set_index("method")
    there = psnr[psnr.dataset == "none/ci/there"]
    assert set(there.subject) == {"there-a-test"}  # the other one has no CT
    assert set(psnr[psnr.dataset == "none/ci/here"].subject) == {"here-a-test", "here-b-test"}
    assert there.value["pmmsynth"] == there.value["plain"] != there.value["pmmsynth-told-here"]
    assert np.isfinite(there.value[["mmgan", "any2all-mds-per-modality"]]).all()


@pytest.mark.parametrize(
    ("job", "words"),
    [
        ({}, "T2FLAIR is completed of whose subjects. name one of here, there"),
        ({"dataset": "nowhere"}, "'nowhere' is none of the data sets of .*; it has here, there"),
        ({"dataset": "here"}, "no subject of data set here has T2FLAIR, CT"),
        ({"dataset": "there", "told": "nowhere"}, "these weights know here, there, not 'nowhere'"),
        (
            {"dataset": "here", "method": "mmgan", "targets": ("T1",)},
            "mmgan has none for data set 'here'; it has there",
        ),
    ],
)
def test_wrong_identifiers_are_refused_in_a_sentence(job, words, prior, store, weights, tmp_path):
    asked = Job(**{"method": "pmmsynth", "given": "T2FLAIR", "targets": ("CT",)} | job)
    with pytest.raises(InputError, match=words):
        run(Experiment(name="e", jobs=(asked,), weights=weights), prior, store, tmp_path / "t.parquet")
    with pytest.raises(ValidationError, match="is told of whose subjects. set dataset"):
        Job(given="T1", targets=("CT",), told="here")


def test_a_prior_is_told_the_data_set_and_never_shown_what_that_lacks(prior):
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    here, other = prior.told("here"), x.clone()
    other[:, 2] = 5.0
    assert torch.equal(here.predict(x, 500), here.predict(other, 500))
    assert not torch.allclose(here.predict(x, 500), prior.told("there").predict(x, 500), atol=1e-3)
    with pytest.raises(InputError, match="this prior learned several data sets; choose one of here, there"):
        prior.predict(x, 500)
    observation = Observation.simulate(torch.rand(1, 3, 16, 16), "CT", SPEC)
    completes = told(Any2all(prior, options={"steps": 2, "noise_levels": "per-modality"}), "here")
    with pytest.warns(UserWarning, match="data set here had no CT; what any2all-mds-per-modality makes with or of it"):
        samples = completes.complete(observation).samples
    assert samples.isfinite().all() and torch.equal(samples[0, :, 2], observation.adjoint[:, 2])


def test_methods_that_know_no_data_sets_refuse_one_and_those_of_several_need_one(prior, weights):
    gan = MmGAN.load(weights["mmgan"]["there"])
    assert told(gan, "") is gan
    with pytest.raises(InputError, match="mmgan knows no data sets, 'here' means nothing to it"):
        told(gan, "here")
    with pytest.raises(InputError, match="knows several data sets; name one of here, there"):
        told(Any2all(prior), "")
    one = OfOneDataset(gan, SPEC)
    seen = Observation.simulate(torch.rand(1, 3, 16, 16), "T1 + T2FLAIR", SPEC)
    assert one.accepts(seen) == "T1 is given, but it knows T2FLAIR, CT only"
    with pytest.raises(InputError, match="its weights are of T2FLAIR, which is none of T1, CT"):
        OfOneDataset(gan, StackSpec.of("T1", "CT"))
