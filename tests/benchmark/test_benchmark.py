"""The benchmark: jobs, profiles, resumption, refusals, and equal noise for all methods."""

import multiprocessing
import os
import random
import resource
import stat
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from pydantic import ValidationError

from a2a.benchmark import Experiment, Job, read_table, refusals, run, tables
from a2a.benchmark.partial import PartialResults
from a2a.benchmark.references import _observations
from a2a.benchmark.runners import Runners
from a2a.benchmark.table import SCHEMA, VERSION, write_table
from a2a.cli import bench
from a2a.common.errors import Failure, InputError
from a2a.common.paths import repository
from a2a.data.cards.card import find_card, load_card
from a2a.data.cards.collection import find_collection, load_collection
from a2a.data.store.read import SliceStore
from a2a.data.store.write import StoreWriter
from a2a.forward.completion import Completion
from a2a.forward.scenario import Scenario
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.mmgan import MmGAN, MmGANConfig
from a2a.methods.references.config import ReferencesConfig
from a2a.networks.unet import UNet, UNetConfig
from a2a.prior.calibration import Calibration
from a2a.prior.frequency_bands import white
from a2a.prior.prior import Prior
from a2a.prior.schedule import NoiseSchedule

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
    error = torch.stack([white([v, v], 16, 16) for v in (0.01, 0.1)])
    return Prior(network, NoiseSchedule(), SPEC, 16, Calibration((0, 999), error))


JOBS = (
    Job(given="T1", targets=("T2",), steps=2, samples=2),
    Job(given="T1 + y(T2)", targets=("T2",), sampler="mps", steps=2, every=2),
)


def test_methods_and_references_are_given_the_same_noise(prior, store, tmp_path, monkeypatch):
    seen: list[torch.Tensor] = []

    class Echo:
        def accepts(self, observation):
            return None

        def complete(self, observation, samples, generators):
            seen.append(observation.adjoint)
            return Completion(observation.adjoint[None], SPEC, 0.0, 0)

    monkeypatch.setattr(Runners, "method", lambda self, job: Echo())
    run(Experiment(name="e", jobs=JOBS[1:], seed=3), prior, store, tmp_path / "t.parquet")
    config = ReferencesConfig(name="r", scenarios=[{"given": "T1 + y(T2)", "targets": ["T2"]}], seed=3, profiles={})
    (theirs,) = _observations(store.split("test"), "test", "T1 + y(T2)", SPEC, config)
    assert torch.equal(seen[0], theirs.adjoint[store.split("test").thinned(2)])


def test_an_experiment_that_tunes_reads_the_validation_split_and_says_so(prior, store, tmp_path):
    table = run(Experiment(name="e", jobs=JOBS[:1], split="val"), prior, store, tmp_path / "val.parquet")
    assert set(table[table.metric == "psnr"].subject) == {"b"} and set(table.dataset) == {"none/ci/val"}
    tested = run(Experiment(name="e", jobs=JOBS[:1]), prior, store, tmp_path / "t.parquet")
    assert set(read_table(tmp_path / "val.parquet").job) != set(read_table(tmp_path / "t.parquet").job)
    assert set(tested.dataset) == {"none/ci"}


def test_tuning_reads_the_validation_split_and_nothing_else_does():
    read = {}
    for path in repository("experiments").rglob("*.yaml"):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if "jobs" in content or "methods" in content and not {"claims", "segmenter"} & set(content):
            read[path.relative_to(repository("experiments")).parts[0], path.stem] = Experiment.load(path).split
    assert {name for name, split in read.items() if split == "val"} == {name for name in read if name[0] == "tuning"}


def test_each_job_gives_a_value_for_every_subject_and_estimate(prior, store, tmp_path):
    table = run(Experiment(name="e", jobs=JOBS), prior, store, tmp_path / "t.parquet")
    psnr = table[table.metric == "psnr"]
    assert set(psnr.groupby(["scenario", "estimate"]).size()) == {2}
    assert set(psnr.estimate) == {"single sample", "mean of 2"} and psnr.value.notna().all()
    assert set(psnr[psnr.scenario == "T1 + y(T2)"].slices) == {2} and set(psnr.subject) == {"c", "d"}
    whole = read_table(tmp_path / "t.parquet")
    assert whole.dropna(axis=1, how="all").columns.tolist() == [name for name in SCHEMA.names if name != "reason"]
    slices = whole[whole.slice.notna() & (whole.scenario == "T1")]
    assert slices.groupby(["metric", "subject", "sample"], dropna=False).size().eq(3).all()
    assert set(slices["sample"].dropna()) == {0, 1} and set(slices.slice) == set(range(6))
    means = slices[(slices["sample"] == 0) & (slices.metric == "ssim")].groupby("subject").value.mean()
    single = table[(table.scenario == "T1") & (table.metric == "ssim") & (table.estimate == "single sample")]
    np.testing.assert_allclose(single.set_index("subject").value, means, rtol=1e-6)


def measure_on_one_thread(*arguments: object) -> None:
    torch.set_num_threads(1)
    run(*arguments)


def test_a_run_that_is_killed_again_and_again_ends_with_the_same_table(prior, store, tmp_path):
    jobs = tuple(JOBS[0].model_copy(update={"options": {"steps": steps}}) for steps in (2, 3, 4, 5))
    whole, out = Experiment(name="e", jobs=jobs), tmp_path / "there" / "t.parquet"
    run(whole, prior, store, tmp_path / "whole.parquet")
    for finished in (1, 2, 3):
        child = multiprocessing.get_context("fork").Process(
            target=measure_on_one_thread, args=(whole, prior, store, out), daemon=True
        )
        child.start()
        while child.is_alive() and len(list(out.parent.glob(".t.parquet.partial/[!.]*.parquet"))) < finished:
            time.sleep(0.002)
        child.kill()
        child.join()
        assert child.exitcode == -9 and not out.exists()
    run(whole, prior, store, out)
    found, expected = (
        read_table(p).drop(columns=["seconds", "finished", "commit"]) for p in (out, tmp_path / "whole.parquet")
    )
    pd.testing.assert_frame_equal(found, expected, rtol=1e-4)
    assert list(out.parent.iterdir()) == [out]


def test_what_is_done_is_not_done_again(prior, store, tmp_path):
    run(Experiment(name="e", jobs=JOBS), prior, store, tmp_path / "t.parquet")
    former = read_table(tmp_path / "t.parquet")
    run(Experiment(name="other", jobs=JOBS), prior, store, tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.parquet"), former)


def test_two_benchmarks_do_not_write_one_table(prior, store, tmp_path):
    out = tmp_path / "t.parquet"
    with PartialResults(out, []), pytest.raises(Failure, match="t.parquet is being written by another"):
        run(Experiment(name="e", jobs=JOBS), prior, store, out)
    assert not (tmp_path / ".t.parquet.partial").exists()


@pytest.mark.parametrize("damage", ["cut off", "another schema", "another table", "text"])
def test_a_table_that_cannot_be_continued_is_refused_and_kept(prior, store, tmp_path, damage):
    path = tmp_path / "t.parquet"
    write_table(path, pd.DataFrame({"subject": ["a"], "value": [1.0]}))
    if damage == "cut off":
        path.write_bytes(path.read_bytes()[:-200])
    elif damage == "another schema":
        metadata = {"a2a-results": "0"}
        pq.write_table(pq.read_table(path).replace_schema_metadata(metadata), path)
    elif damage == "another table":
        pd.DataFrame({"a": [1]}).to_parquet(path)
    else:
        path.write_text("subject,value")
    former = path.read_bytes()
    words = "no whole Parquet file" if damage in ("cut off", "text") else f"not a results table of version {VERSION}"
    with pytest.raises(InputError, match=f"t.parquet: {words}; remove it and measure again"):
        run(Experiment(name="e", jobs=JOBS), prior, store, path)
    assert path.read_bytes() == former and [p.name for p in tmp_path.iterdir() if p.is_file()] == ["t.parquet"]


def test_columns_that_results_do_not_have_are_not_written(tmp_path):
    with pytest.raises(InputError, match="no column 'psnr'"):
        write_table(tmp_path / "t.parquet", pd.DataFrame({"psnr": [1.0]}))
    with pytest.raises(InputError, match="t.parquet: no such file"):
        tables([tmp_path / "t.parquet"])


def test_other_weights_begin_a_new_table(prior, store, tmp_path):
    run(Experiment(name="e", jobs=JOBS), prior, store, tmp_path / "t.parquet")
    torch.nn.init.normal_(prior.network.tail[2].weight)
    other = Prior(prior.network, prior.schedule, SPEC, 16, prior.calibration)
    first, out = Experiment(name="e", jobs=JOBS[:1]), tmp_path / "t.parquet"
    former = out.read_bytes()
    with pytest.raises(InputError, match=r"t.parquet: (\d+) of its \1 rows are of other jobs, weights or data"):
        run(first, other, store, out)
    assert out.read_bytes() == former and not (tmp_path / ".t.parquet.partial").exists()
    assert len(set(run(first, other, store, out, overwrite=True).scenario)) == 1


def test_an_experiment_of_the_same_name_takes_no_rows_from_a_table_unless_asked_to(prior, store, tmp_path):
    run(Experiment(name="e", jobs=JOBS), prior, store, tmp_path / "t.parquet")
    with pytest.raises(InputError, match="would be lost; add --overwrite, or choose another --out"):
        run(Experiment(name="e", jobs=JOBS[:1]), prior, store, tmp_path / "t.parquet")
    assert len(set(tables([tmp_path / "t.parquet"]).scenario)) == 2


@pytest.mark.parametrize("out", ["pipe", "folder", "null", "file/t.parquet", "loop/t.parquet"])
def test_a_table_goes_to_a_regular_file_only_and_this_shows_before_any_work(prior, store, tmp_path, out):
    os.mkfifo(tmp_path / "pipe")
    os.mknod(tmp_path / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3)) if os.geteuid() == 0 else os.mkfifo(
        tmp_path / "null"
    )
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match="is no regular file|is a folder|is no folder|leads back to itself"):
        run(Experiment(name="e", jobs=JOBS), prior, store, tmp_path / out)
    assert sorted(tmp_path.iterdir()) == before


def test_a_link_stays_and_its_table_is_written(prior, store, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "t.parquet").symlink_to(tmp_path / "disk" / "real.parquet")
    run(Experiment(name="e", jobs=JOBS[:1]), prior, store, tmp_path / "t.parquet")
    assert (tmp_path / "t.parquet").is_symlink() and [p.name for p in (tmp_path / "disk").iterdir()] == ["real.parquet"]


def test_every_flipped_bit_of_a_table_is_refused_or_changes_nothing(prior, store, tmp_path):
    path, draw = tmp_path / "t.parquet", random.Random(0)
    run(Experiment(name="e", jobs=JOBS[:1]), prior, store, path)
    whole, former, refused = path.read_bytes(), read_table(path), 0
    for bit in draw.sample(range(8 * len(whole)), 200):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bytes(damaged))
        try:
            pd.testing.assert_frame_equal(read_table(path), former)
        except InputError:
            refused += 1
    assert refused > 100


def test_values_that_do_not_have_their_digest_are_refused(tmp_path):
    path = tmp_path / "t.parquet"
    write_table(path, pd.DataFrame({"subject": ["a"], "value": [1.0]}))
    other = pq.read_table(path)
    changed = other.set_column(3, other.schema.field("value"), pa.array([1.5]))
    pq.write_table(changed, path, write_page_checksum=True)
    with pytest.raises(InputError, match="t.parquet: damaged, its values have not the digest"):
        read_table(path)


@pytest.mark.long
def test_the_number_of_processes_changes_no_value(prior, store, tmp_path):
    experiment, varying = Experiment(name="e", jobs=JOBS), ["seconds", "finished"]
    run(experiment, prior, store, tmp_path / "one.parquet")
    run(experiment, prior, store, tmp_path / "two.parquet", workers=2)
    one, two = (read_table(tmp_path / f"{name}.parquet").drop(columns=varying) for name in ("one", "two"))
    pd.testing.assert_frame_equal(one, two, rtol=1e-5)


class Deadly:
    """Ends the process that unpickles it."""

    def __reduce__(self):
        return os._exit, (1,)


@pytest.mark.long
def test_a_worker_that_dies_is_a_sentence(prior, store, tmp_path):
    deadly = replace(prior, card={"note": Deadly()})
    with pytest.raises(Failure, match="worker process died, .*; run again with fewer --workers"):
        run(Experiment(name="e", jobs=JOBS), deadly, store, tmp_path / "t.parquet", workers=2)
    assert not (tmp_path / "t.parquet").exists()


def test_a_full_disk_is_a_sentence_and_what_is_done_is_kept(prior, store, tmp_path):
    out, former = tmp_path / "t.parquet", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, former[1]))
    try:
        with pytest.raises(Failure, match=r"no room to write .*t.parquet: files of this process may have 4.0 kB"):
            run(Experiment(name="e", jobs=JOBS), prior, store, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["store"]


def test_a_seed_that_a_table_cannot_hold_is_refused_before_any_work(tmp_path):
    with pytest.raises(ValidationError, match="seed"):
        Experiment(name="e", jobs=JOBS, seed=2**31)
    assert Experiment(name="e", jobs=JOBS, seed=2**31 - 1).seed == 2**31 - 1


@pytest.mark.parametrize(
    ("change", "words"),
    [({"steps": 0}, "jobs.0: steps"), ({"sampler": "dps"}, "jobs.0: sampler"), ({"stepz": 1}, "jobs.0: stepz")],
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


def test_tables_of_mixed_precision_are_not_joined(tmp_path):
    row = {"subject": "a", "modality": "T1", "metric": "psnr", "value": 1.0, "method": "any2all-mds"}
    for name, precision in (("one", "float32"), ("two", "bfloat16")):
        write_table(tmp_path / f"{name}.parquet", pd.DataFrame([row | {"precision": precision}]))
    assert len(tables([tmp_path / "one.parquet"])) == 1
    with pytest.raises(InputError, match="one.parquet, two.parquet: priors in float32 and in bfloat16"):
        tables([tmp_path / "one.parquet", tmp_path / "two.parquet"])
    other = pd.DataFrame([row | {"method": "mmgan", "precision": "float32"}])
    write_table(tmp_path / "one.parquet", other)
    assert len(tables([tmp_path / "one.parquet", tmp_path / "two.parquet"])) == 2


FIGURES = sorted(repository("experiments", "figures").glob("*.yaml"))
NAMES = ("comparison", "faster", "phantom-any2all-64")
OTHERS = [repository("experiments", f"{name}.yaml") for name in NAMES]


@pytest.mark.parametrize("path", [*FIGURES, *OTHERS], ids=lambda path: path.stem)
def test_the_experiments_of_the_repository_are_valid(path):
    experiment = Experiment.load(path)
    spec = load_card(find_card("phantom-any2all")).spec
    for profile in experiment.profiles or [None]:
        for job in experiment.at(profile).jobs:
            assert Scenario.parse(job.given, spec) and all(spec.index(target) >= 0 for target in job.targets)


def test_a_store_with_a_lesion_has_fidelity_inside_it(prior, tmp_path):
    draw, path = np.random.default_rng(0), tmp_path / "labelled"
    maps = [{"name": "tumour", "values": {0: "background", 1: "tumour"}}]
    with StoreWriter(path, SPEC, 16, label_maps=maps) as writer:
        for split, subject in (("train", "a"), ("val", "b"), ("test", "c"), ("test", "d")):
            images = draw.uniform(size=(2, 2, 16, 16)).astype(np.float16)
            labels = np.zeros((2, 1, 16, 16), np.uint8)
            labels[:, :, 4:8, 4:8] = subject != "d"
            writer.add(split, subject, [0, 1], [0.0, 4.0], images, labels)
        writer.finish({"card": "none", "profile": "ci"})
    job = Job(given="T1", targets=("T2",), options={"steps": 2})
    table = run(Experiment(name="e", jobs=(job,)), prior, SliceStore.open(path), tmp_path / "t.parquet")
    found = table.query("metric == 'psnr_lesion'")
    assert list(found.subject) == ["c"] and (found.value > 0).all()


TABLES = sorted(repository("experiments", "tables").glob("*.yaml"))


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_the_tables_of_other_papers_are_valid_and_have_three_profiles(path):
    experiment = Experiment.load(path)
    name = experiment.data.name.removesuffix("-64-ci").removesuffix("-64-tables")
    spec = load_collection(name).spec if find_collection(name) else load_card(find_card(name)).spec
    assert set(experiment.profiles) == {"smoke", "ci", "full"} and experiment.name == path.stem
    for job in experiment.jobs:
        given = Scenario.parse(job.given, spec)
        given.require_open(job.targets, spec)
        assert str(given) == job.given  # as tables and claims write it
    assert all((job.called or job.method) in (*experiment.weights, "any2all") for job in experiment.jobs)


def test_an_option_of_a_method_has_a_row_of_its_own_and_wrong_ones_are_refused():
    job = {"given": "T1", "targets": ["T2"], "method": "apt"}
    assert Job.model_validate(job | {"initial": "random", "stages": 1}).label == "apt-random-stages-1"
    assert Job.model_validate(job).key != Job.model_validate(job | {"stages": 1}).key
    with pytest.raises(ValidationError, match="eta: apt has no such option; it has initial, start"):
        Job.model_validate(job | {"eta": 1})
    with pytest.raises(ValidationError, match="unrolling: Input should be greater than or equal to 3, got 0"):
        Job.model_validate(job | {"unrolling": 0})


def test_figures_have_three_profiles_and_the_settings_of_the_paper_in_full():
    for path in FIGURES:
        experiment = Experiment.load(path)
        assert set(experiment.profiles) == {"smoke", "ci", "full"}
        jobs = [job for job in experiment.at("full").jobs if job.method == "any2all"]
        steps = {(job.sampler, job.evaluations) for job in jobs if not job.label.endswith("-one")}
        assert ("mds", 150) in steps <= {("mds", 150), ("mps", 1000)}


def test_all_observations_are_all_of_them():
    jobs = Experiment.load(repository("experiments", "figures", "all-observations.yaml")).at("ci").jobs
    spec = load_card(find_card("phantom-any2all")).spec
    kinds = [Scenario.parse(job.given, spec).kinds for job in jobs]
    assert len(jobs) == len(set(kinds)) == 3**3 * 2**2
    for job, statuses in zip(jobs, kinds, strict=True):
        open_ones = {name for name, status in zip(spec.names, statuses, strict=True) if status != "clean"}
        assert set(job.targets) == (open_ones or set(spec.names))


def test_a_profile_says_what_a_job_leaves_open():
    profiles = {"ci": {"every": 3, "mds": {"steps": 7, "eta": 0.5}}, "full": {"data": "elsewhere"}}
    settings = [{"given": "T1", "targets": ["T2"]}]
    methods = [{"sampler": "mds", "steps": 9}, {"sampler": "mps"}, {"method": "mmgan", "every": 2}]
    content = {"name": "e", "profiles": profiles, "settings": settings, "methods": methods}
    experiment = Experiment.model_validate(content)
    assert [(j.evaluations, j.options, j.every) for j in experiment.at(None).jobs] == [
        (9, {"steps": 9, "eta": 0.5}, 3),
        (100, {}, 3),
        (None, {}, 2),
    ]
    full = experiment.at("full")
    assert [job.every for job in full.jobs] == [1, 1, 2] and full.data == Path("elsewhere")
    with pytest.raises(InputError, match="has no profile 'cy'; it has ci, full"):
        experiment.at("cy")
    with pytest.raises(InputError, match="has no profile 'ci'; it has none"):
        Experiment(name="e", jobs=JOBS).at("ci")


def test_a_profile_bounds_evaluations_and_does_equal_jobs_once():
    methods = [{"sampler": "mds", "steps": 9}, {"sampler": "mds", "steps": 25}, {"sampler": "mps"}, {"method": "mmgan"}]
    settings = [{"given": "T1", "targets": ["T2"]}]
    content = {"name": "e", "profiles": {"smoke": {"evaluations": 5}}, "settings": settings, "methods": methods}
    jobs = Experiment.model_validate(content).at("smoke").jobs
    assert [(job.label, job.evaluations) for job in jobs] == [("any2all-mds", 5), ("any2all-mps", 5), ("mmgan", None)]


def test_one_table_is_not_given_to_several_experiments(tmp_path):
    names = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    with pytest.raises(InputError, match="--out .*t.parquet is the table of one experiment"):
        bench.tables(names, tmp_path / "t.parquet")
    assert bench.tables(names, tmp_path) == [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    with pytest.raises(InputError, match="Two experiments would write .*a.parquet"):
        bench.tables([*names, tmp_path / "other" / "a.yaml"], tmp_path)


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
        ({"profiles": {"ci": {"mds": {"stepz": 1}}}}, "profiles.ci.samplers: stepz"),
        ({"settings": [{"each": {"T1": ["clean", "dirty"]}}]}, "'dirty' is none of clean, measured, missing"),
        ({"methods": [{"method": "mmgam"}]}, "'mmgam' is none of any2all, .*mmgan"),
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
    after = run(experiment, prior, store, tmp_path / "t.parquet", overwrite=True)
    assert not after.duplicated(["method", "estimate", "subject", "modality", "metric"]).any()
    for name, same in (("any2all-mds", True), ("mmgan", False)):
        assert np.allclose(*(t[(t.method == name) & (t.metric == "mae")].value for t in (before, after))) == same


@pytest.mark.parametrize(
    "course, label",
    [
        ({"sampler": "mds"}, "any2all-mds"),
        ({"sampler": "mds", "covariance": "cross-modal"}, "any2all-mds-cross-modal"),
        ({"sampler": "mds", "noise_levels": "per-modality"}, "any2all-mds-per-modality"),
        ({"sampler": "mds", "noise_levels": "per-modality", "steps": 1}, "any2all-mds-per-modality-one"),
        ({"sampler": "mds", "steps": 1}, "any2all-mds"),
        ({"covariance": "cross-modal", "noise_levels": "per-modality"}, "any2all-mds-cross-modal-per-modality"),
        ({"sampler": "mps", "guidance": "norm"}, "any2all-mps-norm"),
        ({"method": "mmgan"}, "mmgan"),
    ],
)
def test_a_sampler_that_goes_otherwise_has_a_name_of_its_own(course, label):
    assert Job(given="T1", targets=("CT",), **course).label == label


@pytest.mark.parametrize("spacing, words", [(1.0, ""), (1.25, "spacing 1.25"), ("log-snr", "spacing log-snr")])
def test_unusual_spacings_are_named(spacing, words):
    assert Job(given="T1", targets=("CT",), spacing=spacing).settings == words


@pytest.mark.parametrize("spacing", [0, -1.0, "even"])
def test_other_spacings_are_refused(spacing):
    with pytest.raises(ValidationError, match="spacing"):
        Job(given="T1", targets=("CT",), spacing=spacing)
