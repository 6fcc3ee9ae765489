"""The workflow on this machine and on a real Slurm: the same tables, and what becomes of jobs that do not end well."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
import yaml

from a2a.benchmark import read_table, tables
from a2a.common.paths import repository
from a2a.figures import method_dots
from a2a.prior.prior import Prior

pytestmark = pytest.mark.apart

if not find_spec("snakemake"):
    pytest.skip("the workflow is not installed; see make workflow", allow_module_level=True)

NEEDS_SLURM = pytest.mark.skipif(
    subprocess.run("scontrol ping", shell=True, capture_output=True).returncode != 0,
    reason="there is no Slurm here; see workflow/one-node-slurm",
)
SLURM = ["--slurm-no-account", "--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1"]
STOP = ["sh", "-c", "scancel --signal=STOP $0; scontrol update JobId=$0 TimeLimit=1"]  # lets a job run out of its time
PATIENCE = 1200


def experiment(*jobs: dict, **more: object) -> dict:
    """An experiment on one scenario."""
    jobs = [{"given": "T1 + y(T2FLAIR)", "targets": ["T2FLAIR"]} | job for job in jobs]
    return {"name": "small", "profiles": {"ci": {}}, "jobs": jobs} | more


GOOD = experiment({"steps": 2})
MENDED = experiment({"steps": 3})
LOST = experiment({"method": "mmgan"}, weights={"mmgan": "lost.safetensors"})
LONG = experiment(*({"steps": steps} for steps in range(20, 26)))
RECIPE = {
    "name": "small",
    "data": "the card below",
    "network": {"width": 8, "multipliers": [1, 2], "attention": []},
    "steps": 4,
    "batch": 2,
    "warmup": 2,
    "precision": "float32",
}


class Workplace:
    """A small data set, experiments on it, and the workflow that makes their tables below `out`."""

    def __init__(self, folder: Path, **experiments: dict) -> None:
        self.folder = folder
        card = yaml.safe_load(repository("data_cards", "phantom-any2all.yaml").read_text(encoding="utf-8"))
        card["profiles"] = {"ci": {"train": ["0"], "val": ["198"], "test": ["205", "206"], "slices": 2}}
        self.write("card", card)
        for name, content in experiments.items():
            self.write(name, content)
        self.experiments = list(experiments)

    def write(self, name: str, content: dict) -> None:
        (self.folder / f"{name}.yaml").write_text(yaml.safe_dump(content))

    def start(self, where: str, *words: str, **config: object) -> subprocess.Popen:
        """Start Snakemake with the profile `where`; what it says goes to a file of that name."""
        files = ", ".join(str(self.folder / f"{name}.yaml") for name in self.experiments)
        config = {"card": self.folder / "card.yaml", "experiments": f"[{files}]", "out": self.folder / where} | config
        words = [*f"tables --profile workflow/profiles/{where} --set-threads evaluate=1".split(), *words, "--config"]
        command = [sys.executable, "-m", "snakemake", *words, *(f"{name}={value}" for name, value in config.items())]
        environment = os.environ | {"A2A_QUIET": "1"}
        with open(self.folder / f"{where}.txt", "w") as file:
            return subprocess.Popen(command, cwd=repository(), stdout=file, stderr=file, env=environment)

    def run(self, where: str, *words: str, **config: object) -> tuple[int, str]:
        """Run Snakemake to its end; return its exit code and what it said."""
        code = self.start(where, *words, **config).wait(PATIENCE)
        return code, (self.folder / f"{where}.txt").read_text()

    def table(self, profile: str, name: str) -> Path:
        return self.folder / profile / "ci" / "tables" / f"{name}.parquet"

    def partial_results(self, name: str) -> list[Path]:
        """Rows that a job on Slurm has finished."""
        return list((self.folder / "slurm" / "ci" / "rows").glob(f"*/.{name}.parquet.partial/[!.]*.parquet"))

    def interrupt(self, run: subprocess.Popen, *commands: tuple[str, ...]) -> dict[str, list[pd.DataFrame]]:
        """Give commands about jobs of `run` on Slurm, each when its job has finished some rows; return these rows.

        A command ends with the name of the experiment.
        """
        kept = {}

        def all_given() -> bool:
            assert run.poll() is None, (self.folder / "slurm.txt").read_text()
            for *command, name in commands:
                if name not in kept and self.partial_results(name):
                    subprocess.run([*command, slurm_job(name)], check=True)
                    kept[name] = [pd.read_parquet(part) for part in self.partial_results(name)]
            return len(kept) == len(commands)

        wait_for(all_given, "the first rows of all jobs")
        return kept


def evaluated(said: str) -> int:
    """How many experiments a run of Snakemake finished."""
    return said.count("(Rule: evaluate)")


def wait_for(truth: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not truth():
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.1)


def slurm_job(name: str) -> str:
    """Number of the running Slurm job that evaluates an experiment."""
    queue = subprocess.check_output(["squeue", "-h", "-t", "RUNNING", "-o", "%i %k"], text=True).splitlines()
    return next((line.split()[0] for line in queue if line.endswith(f"evaluate_wildcards_{name}")), "")


def test_a_failure_stops_nothing_and_only_what_changed_is_repeated(tmp_path):
    place = Workplace(tmp_path, good=GOOD, other=GOOD, lost=LOST)
    place.write("recipe", RECIPE)
    config = {"prior": tmp_path / "recipe.yaml", "devices": 2}
    code, said = place.run("local", **config)
    assert code == 1 and "lost.safetensors" in said and "some jobs failed" in said and "Traceback" not in said
    assert "torch.distributed.run --standalone --nproc-per-node 2 -m a2a train" in said
    (weights,) = tmp_path.glob("local/train/*/prior.safetensors")
    assert set(read_table(place.table("local", "good"))["weights"]) == {Prior.load(weights).digest[:16]}
    assert place.table("local", "other").is_file() and not place.table("local", "lost").exists()
    for name in ("lost", "other"):
        place.write(name, MENDED)
    os.utime(tmp_path / "good.yaml")
    code, said = place.run("local", **config | {"gpu": True, "devices": 1})
    assert code == 0 and evaluated(said) == 2 and "rule train:" not in said
    assert "gpu=1" in said and "Execute 2 jobs" not in said, "one job at a time uses the GPU"
    assert place.table("local", "lost").is_file()


def test_a_wrong_configuration_is_refused_before_anything_runs(tmp_path):
    code, said = Workplace(tmp_path).run("local", profile="huge")
    assert code == 1 and "Unknown profile 'huge'; possible are smoke, ci, full" in said and "Traceback" not in said
    assert not (tmp_path / "local").exists()


@NEEDS_SLURM
def test_on_slurm_tables_are_the_same_and_no_end_of_a_job_loses_anything(tmp_path):
    place = Workplace(tmp_path, good=GOOD, lost=LOST, cancelled=LONG, late=LONG)
    run = place.start("slurm", *SLURM)
    kept = place.interrupt(run, ("scancel", "cancelled"), (*STOP, "late"))
    assert place.run("local", experiments=f"[{tmp_path / 'good.yaml'}]")[0] == 0
    assert run.wait(PATIENCE) == 1
    said = (tmp_path / "slurm.txt").read_text()
    assert all(f"status is: '{status}'" in said for status in ("FAILED", "CANCELLED", "TIMEOUT"))
    assert "lost.safetensors" in said and place.table("slurm", "good").is_file()

    place.write("lost", MENDED)
    code, said = place.run("slurm", *SLURM)
    assert code == 0 and evaluated(said) == 3
    for name, parts in kept.items():
        final = pd.read_parquet(place.table("slurm", name))
        assert final.job.nunique() == 6
        for part in parts:
            assert final[final.job.isin(part.job)].seconds.tolist() == part.seconds.tolist()

    here, there = (tables([place.table(profile, "good")]) for profile in ("local", "slurm"))
    pd.testing.assert_frame_equal(here.drop(columns="seconds"), there.drop(columns="seconds"), check_exact=True)
    metrics = ("psnr", "ssim")
    assert method_dots(here, metrics).to_json() == method_dots(there, metrics).to_json()
