"""The benchmark: jobs, resumption, refusals, and equal noise for all methods."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from a2a.baselines.mmgan import MmGAN, MmGANConfig
from a2a.benchmark import Experiment, Job, refusals, run, tables
from a2a.data.cards import find_card, load_card
from a2a.data.store import SliceStore
from a2a.data.store_writer import StoreWriter
from a2a.diffusion import NoiseSchedule
from a2a.errors import InputError
from a2a.networks.unet import UNet, UNetConfig
from a2a.paths import repository
from a2a.prior import Prior
from a2a.stack import StackSpec

SPEC = StackSpec.of("T1", "T2")


@pytest.fixture
def store(tmp_path) -> SliceStore:
    draw = np.random.default_rng(0)
    with StoreWriter(tmp_path / "store", SPEC, 16) as writer:
        for split, subject in (("train", "a"), ("val", "b"), ("test", "c"), ("test", "d")):
            images = draw.uniform(size=(3, 2, 16, 16)).astype(np.float16)
            writer.add(split, subject, [0, 1, 2], [0.0, 4.0, 8.0], images)
        writer.finish({"card": "none", "profile": "ci"})
    return SliceStore.open(tmp_path / "store")


@pytest.fixture
def prior() -> Prior:
    torch.manual_seed(0)
    network = UNet(UNetConfig(2, width=8, multipliers=(1, 2), attention=(), head_width=8)).eval().requires_grad_(False)
    return Prior(network, NoiseSchedule(), SPEC, 16, ((0.01, 0.01), (0.1, 0.1)), (0, 999))


JOBS = (
    Job(given="T1", targets=("T2",), steps=2, samples=2),
    Job(given="T1 + y(T2)", targets=("T2",), sampler="mps", steps=2, every=2),
)


def test_each_job_gives_a_value_for_every_subject_and_estimate(prior, store, tmp_path):
    table = run(Experiment(name="e", jobs=JOBS), prior, store, tmp_path / "t.parquet")
    psnr = table[table.metric == "psnr"]
    assert set(psnr.groupby(["scenario", "estimate"]).size()) == {2}
    assert set(psnr.estimate) == {"single sample", "mean of 2"} and psnr.value.notna().all()
    assert set(psnr[psnr.scenario == "T1 + y(T2)"].slices) == {2} and set(psnr.subject) == {"c", "d"}
    columns = ["scenario", "value"]
    pd.testing.assert_frame_equal(tables([tmp_path / "t.parquet"])[columns], table[columns], rtol=1e-4)


def test_an_interrupted_experiment_goes_on_to_the_same_table(prior, store, tmp_path):
    whole = run(Experiment(name="e", jobs=JOBS), prior, store, tmp_path / "whole.parquet")
    run(Experiment(name="e", jobs=JOBS[:1]), prior, store, tmp_path / "parts.parquet")
    parts = run(Experiment(name="e", jobs=JOBS), prior, store, tmp_path / "parts.parquet")
    np.testing.assert_allclose(parts.value, whole.value, rtol=1e-4)
    again = run(Experiment(name="e", jobs=JOBS), prior, store, tmp_path / "parts.parquet")
    assert len(again) == len(parts)


def test_other_weights_begin_a_new_table(prior, store, tmp_path):
    run(Experiment(name="e", jobs=JOBS), prior, store, tmp_path / "t.parquet")
    torch.nn.init.normal_(prior.network.tail[2].weight)
    other = Prior(prior.network, prior.schedule, SPEC, 16, prior.error, prior.error_times)
    assert len(set(run(Experiment(name="e", jobs=JOBS[:1]), other, store, tmp_path / "t.parquet").scenario)) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [({"steps": 0}, "jobs.0.steps"), ({"sampler": "dps"}, "jobs.0.sampler"), ({"stepz": 1}, "jobs.0.stepz")],
)
def test_bad_experiments_are_refused_by_field(tmp_path, change, words):
    path = tmp_path / "e.yaml"
    path.write_text(yaml.safe_dump({"name": "e", "jobs": [{"given": "T1", "targets": ["T2"]} | change]}))
    with pytest.raises(InputError, match=words):
        Experiment.load(path)


@pytest.mark.parametrize("job", [Job(given="T3", targets=("T2",)), Job(given="T1", targets=("CT",))])
def test_unknown_modalities_are_refused_before_any_work(prior, store, tmp_path, job):
    with pytest.raises(InputError, match="T1, T2"):
        run(Experiment(name="e", jobs=(job,)), prior, store, tmp_path / "t.parquet")
    assert not (tmp_path / "t.parquet").exists()


def test_the_experiments_of_the_repository_are_valid():
    for name, card in (("phantom-any2all-64", "phantom-any2all"), ("open-ms-64", "open-ms")):
        spec = load_card(find_card(card)).spec
        for job in Experiment.load(repository("experiments", f"{name}.yaml")).jobs:
            assert all(spec.index(target) >= 0 for target in job.targets)


@pytest.fixture
def gan(tmp_path) -> Path:
    """Untrained weights of a small mmGAN of T1 and T2."""
    torch.manual_seed(0)
    config = MmGANConfig(name="tiny", data="none", steps=1, widths=(4, 8))
    MmGAN(MmGAN.build(config, SPEC, 16).eval(), config, SPEC, 16).save(tmp_path / "gan.safetensors")
    return tmp_path / "gan.safetensors"


def test_methods_and_samplers_are_measured_alike_and_refusals_are_facts(prior, store, gan, tmp_path):
    content = {
        "name": "e",
        "weights": {"mmgan": str(gan)},
        "settings": [{"given": "T1", "targets": ["T2"]}, {"given": "T1 + y(T2)", "targets": ["T2"]}],
        "methods": [{"steps": 2}, {"method": "mmgan"}],
    }
    (tmp_path / "e.yaml").write_text(yaml.safe_dump(content))
    table = run(Experiment.load(tmp_path / "e.yaml"), prior, store, tmp_path / "t.parquet")
    assert set(table[["scenario", "method"]].itertuples(index=False, name=None)) == {
        ("T1", "any2all-mds"), ("T1", "mmgan"), ("T1 + y(T2)", "any2all-mds")
    }  # fmt: skip
    ((refused, reason),) = refusals([tmp_path / "t.parquet"]).items()
    assert refused == "mmgan: T1 + y(T2)" and "k-space" in reason
    assert set(table[table.metric == "rfd"].subject) == {"all subjects"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"methods": [{"method": "mmgam"}]}, "'mmgam' is none of any2all, mmgan"),
        ({"methods": None}, "either jobs, or settings and methods"),
        ({"jobs": []}, "either jobs, or settings and methods"),
    ],
)
def test_bad_crossings_are_refused(tmp_path, change, words):
    content = {"name": "e", "settings": [{"given": "T1", "targets": ["T2"]}], "methods": [{"steps": 2}]} | change
    (tmp_path / "e.yaml").write_text(
        yaml.safe_dump({key: value for key, value in content.items() if value is not None})
    )
    with pytest.raises(InputError, match=words):
        Experiment.load(tmp_path / "e.yaml")


def test_new_weights_of_a_method_replace_its_rows_and_keep_the_others(prior, store, gan, tmp_path):
    jobs = (JOBS[0], Job(given="T1", targets=("T2",), method="mmgan"))
    experiment = Experiment(name="e", jobs=jobs, weights={"mmgan": gan})
    before = run(experiment, prior, store, tmp_path / "t.parquet")
    method = MmGAN.load(gan)
    method.network.load_state_dict({name: value + 0.1 for name, value in method.network.state_dict().items()})
    method.save(gan)
    after = run(experiment, prior, store, tmp_path / "t.parquet")
    assert not after.duplicated(["method", "estimate", "subject", "modality", "metric"]).any()
    for name, same in (("any2all-mds", True), ("mmgan", False)):
        assert np.allclose(*(t[(t.method == name) & (t.metric == "mae")].value for t in (before, after))) == same
