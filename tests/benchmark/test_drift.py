"""A changed constant of a sampler is noticed, an unchanged package is not."""

from importlib import import_module

import numpy as np
import pytest

from a2a.benchmark import Experiment, Job
from a2a.benchmark.drift import Drift, compare_with, measure, write_reference
from a2a.common.errors import InputError
from a2a.common.paths import repository
from a2a.data.cards.card import load_card
from a2a.data.store.read import SliceStore
from a2a.data.store.write import StoreWriter
from a2a.methods.recipes import shipped_methods

JOB = Job(given="y(T1)", targets=("T1", "CT"), steps=4)
PLAN = Drift(experiment=Experiment(name="d", jobs=(JOB,)), tolerances={"psnr": 0.1, "ssim": 0.005})


@pytest.fixture
def store(tmp_path, tiny_prior) -> SliceStore:
    images = np.random.default_rng(0).uniform(size=(2, 3, 24, 24)).astype(np.float16)
    with StoreWriter(tmp_path / "store", tiny_prior.spec, 24) as writer:
        for split, subject in (("train", "a"), ("val", "b"), ("test", "c"), ("test", "d")):
            writer.add(split, subject, [0, 1], [0.0, 4.0], images)
        writer.finish({"card": "none", "profile": "ci"})
    return SliceStore.open(tmp_path / "store")


@pytest.fixture
def reference(tmp_path, tiny_prior, store):
    write_reference(tmp_path / "drift.csv", measure(PLAN, tiny_prior, store))
    return tmp_path / "drift.csv"


def test_nothing_drifts_by_itself(reference, tiny_prior, store):
    table = compare_with(reference, measure(PLAN, tiny_prior, store), PLAN)
    assert set(table.metric) == {"psnr", "ssim"} and set(table.subject) == {"c", "d"}
    assert not table.drifted.any() and np.abs(table.difference).max() < 1e-3


def test_another_constant_of_the_sampler_is_noticed(reference, tiny_prior, store, monkeypatch):
    trust = import_module("a2a.samplers.prior_weight")
    former = trust.prior_weight
    monkeypatch.setattr(trust, "prior_weight", lambda *given: 10 * former(*given))
    assert compare_with(reference, measure(PLAN, tiny_prior, store), PLAN).drifted.any()


def test_a_value_that_is_no_number_has_drifted(reference, tiny_prior, store):
    found = measure(PLAN, tiny_prior, store)
    found.loc[0, "value"] = np.nan
    assert compare_with(reference, found, PLAN).drifted.sum() == 1


def test_another_plan_needs_another_reference(reference, tiny_prior, store, tmp_path):
    jobs = (JOB.model_copy(update={"options": {"steps": 5}}),)
    other = PLAN.model_copy(update={"experiment": Experiment(name="d", jobs=jobs)})
    with pytest.raises(InputError, match="rows are not those of the plan; write it anew with --update"):
        compare_with(reference, measure(other, tiny_prior, store), other)
    with pytest.raises(InputError, match="gone.csv: no such file; write it with --update"):
        compare_with(tmp_path / "gone.csv", measure(PLAN, tiny_prior, store), PLAN)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tolerances: {psnr: 0}\nexperiment: {name: d, jobs: [{given: T1, targets: [CT]}]}", "tolerances.psnr"),
        ("tolerances: {psnr: 1}\nexperiment: {name: d, jobs: []}", "experiment.jobs"),
        ("tolerances: [", "not valid YAML"),
    ],
)
def test_bad_plans_are_refused_by_field(tmp_path, text, words):
    (tmp_path / "d.yaml").write_text(text)
    with pytest.raises(InputError, match=words):
        Drift.load(tmp_path / "d.yaml")


def test_the_plan_of_the_repository_has_every_method_and_every_way_of_any2all():
    jobs, spec = Drift.load(repository("experiments", "drift.yaml")).experiment.jobs, load_card("phantom-any2all").spec
    assert {job.method for job in jobs} == {"any2all", *shipped_methods(spec)} >= {"any2all", "mmgan", "minet"}
    ways = {job.label for job in jobs if job.method == "any2all"}
    plain = {"any2all-mds", "any2all-mps"}
    assert ways == plain | {"any2all-mds-cross-modal", "any2all-mds-per-modality"}
