"""Refusals come at once: paths are looked at before torch is imported, and in less than a second of processor time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from a2a.cli import given
from a2a.common.errors import InputError
from a2a.common.paths import repository
from a2a.prior.shipped import SOURCE, located

NO_WEIGHTS = "weights are a .safetensors file with a .json of the same name."
COMPLETE = ["complete", "--given", "T1", "--out", "out"]
REFUSALS = [
    (["--help"], ""),
    (["nonsense"], "No such command 'nonsense'."),
    (["prepare", "gone.yaml", "--out", "out"], "There is no data card 'gone.yaml'; give a YAML file or one of: adni"),
    (["prepare", "ixi", "--out", "out", "--root", "gone"], "gone is no folder; --root must be the folder that holds"),
    (["prepare", "ixi", "--out", "file"], "file: is a file; choose a folder for --out."),
    (["prepare", "ixi", "--out", "out", "--profile", "huge"], "Card ixi has no profile 'huge'; it has"),
    (["train", "gone.yaml", "--data", "out"], "gone.yaml: no such file; see experiments/priors/"),
    (["train", "experiments", "--data", "out"], "experiments: it is a folder; see experiments/priors/"),
    (["train", "experiments/priors/phantom-any2all-64.yaml", "--data", "gone"], "gone is no slice store (no manifest."),
    ([*COMPLETE, "--prior", "gone.safetensors"], f"gone.safetensors: no such file; {NO_WEIGHTS}"),
    ([*COMPLETE, "--prior", "alone.safetensors"], f"alone.json: no such file; {NO_WEIGHTS}"),
    ([*COMPLETE, "--prior", "folder.safetensors"], f"folder.safetensors: it is a folder; {NO_WEIGHTS}"),
    ([*COMPLETE, "--prior", "phantom-any2all-46"], "phantom-any2all-46: no weights of this name; there are"),
    ([*COMPLETE, "--prior", "phantom-any2all-64", "--t1", "gone.nii.gz"], "--t1 gone.nii.gz: no such file."),
    ([*COMPLETE[:-1], "file", "--prior", "phantom-any2all-64"], "file: is a file; choose a folder for --out."),
    ([*COMPLETE, "--method", "gone.safetensors"], f"gone.safetensors: no such file; {NO_WEIGHTS}"),
    ([*COMPLETE, "--method", "mmgan", "--weights", "gone.safetensors"], "gone.safetensors: no such file; weights are"),
    ([*COMPLETE, "--method", "mmgan", "--prior", "phantom-any2all-64"], "Give either --prior with the weights of a pr"),
    ([*COMPLETE, "--method", "mmgam"], "--method mmgam: is no method; name one of adm, apt, "),
    (["plan", "--given", "T1", "--target", "CT", "--data", "gone"], "gone is no slice store (no manifest.json)"),
    ([*COMPLETE, "--prior", "phantom-any2all-64", "--sampler", "MDS"], "--sampler MDS: is none of daps, ddnm"),
    (["bench", "gone.yaml"], "gone.yaml: no such file; experiments are the YAML files in experiments/."),
    (["bench", "experiments/drift.yaml", "--data", "gone"], "gone is no slice store (no manifest.json)"),
    (["bench", "experiments/drift.yaml", "--prior", "gone.safetensors"], "gone.safetensors: no such file"),
    (["bench", "experiments/figures/figure-3.yaml", "--profile", "huge"], "has no profile 'huge'; it has smoke, "),
    (["bench", "experiments/drift.yaml", "--profile", "ci"], "has no profile 'ci'; it has none."),
    (["drift", "--prior", "gone.safetensors", "--data", "out"], "gone.safetensors: no such file"),
    (["drift", "--prior", "phantom-any2all-64", "--data", "gone"], "gone is no slice store (no manifest.json)"),
    (["book", "--profile", "huge"], "Unknown profile 'huge'; possible are smoke, ci, full."),
    (["book", "--chapter", "99-nowhere"], "Unknown chapter '99-nowhere'; the book has 01-formulation, "),
    (["grid", "gone.yaml"], "gone.yaml: no such file; a grid is a YAML with name, chapters and parameters."),
    (["phantom", "--out", "file"], "file: is a file; choose a folder for --out."),
    (["phantom", "--out", "out", "--subject", "5..3"], "--subject must be a number such as 3 or a range"),
    (["data", "fetch", "gone"], "There is no data card 'gone'; give a YAML file or one of: adni"),
    (["data", "fetch", "ixi", "--out", "file"], "file: is a file; choose a folder for --out."),
]
PROBE = """
import sys, time
from a2a.cli import main
try:
    main()
finally:
    heavy = {"torch", "scipy", "pandas", "papermill", "plotly", "matplotlib"} & set(sys.modules)
    print("spent", time.process_time(), *heavy, file=sys.stderr)
"""


@pytest.fixture
def here(tmp_path) -> Path:
    """A folder with a file, and with weights that are not."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "alone.safetensors").write_text("no weights")
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "experiments").mkdir()
    return tmp_path


@pytest.mark.parametrize(("words", "sentence"), REFUSALS, ids=[" ".join(words) for words, _ in REFUSALS])
def test_a_wrong_path_is_refused_before_anything_heavy_is_imported(here, words, sentence):
    before, code, limit = sorted(here.rglob("*")), *((0, 0.3) if words == ["--help"] else (2, 1.0))
    environment = {key: value for key, value in os.environ.items() if key != SOURCE}
    call = [sys.executable, "-c", PROBE, *words]
    for _ in range(3):  # other work on the machine makes everything slower; the fastest of three is what it costs
        done = subprocess.run(call, cwd=here, env=environment, capture_output=True, text=True)
        *said, account = done.stderr.splitlines()
        seconds, *heavy = account.split()[1:]
        if float(seconds) < limit:
            break
    assert (done.returncode, sorted(here.rglob("*"))) == (code, before), done.stderr
    assert sentence in "\n".join(said) and "Traceback" not in done.stderr
    assert said == [] or said[0].startswith("Usage:") or (len(said) == 1 and said[0].startswith("a2a: "))
    assert heavy == [] and float(seconds) < limit


def test_what_is_right_is_returned(here, monkeypatch, tiny_prior):
    monkeypatch.chdir(here)
    tiny_prior.save(here / "tiny.safetensors")
    assert located("tiny.safetensors") == Path("tiny.safetensors")
    assert given.file(Path("file"), "needed") == Path("file")
    assert given.place(here) == here and given.place(here / "new") == here / "new"


def test_files_of_the_repository_are_found_from_any_folder(here, monkeypatch):
    monkeypatch.chdir(here)
    monkeypatch.delenv(SOURCE, raising=False)
    shipped = repository("weights", "phantom-any2all-64.safetensors")
    assert given.file(Path("experiments/drift.yaml"), "needed") == repository("experiments", "drift.yaml")
    assert located("phantom-any2all-64") == shipped
    assert located("weights/phantom-any2all-64.safetensors") == shipped
    with pytest.raises(InputError, match="^elsewhere/phantom-any2all-64.safetensors: no such file"):
        located("elsewhere/phantom-any2all-64.safetensors")
