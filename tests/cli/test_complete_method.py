"""``a2a complete --method``: a compared method instead of a prior, and what it refuses."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from a2a.cli import main
from a2a.methods.baselines.mcvarnet import MCVarNet, MCVarNetConfig
from a2a.methods.baselines.mmgan import MmGAN, MmGANConfig

RUN = {"name": "tiny", "data": "heads", "steps": 1}


@pytest.fixture
def call(capsys, tmp_path, patient, monkeypatch) -> Callable[[str], tuple[int, str, str]]:
    """Run ``a2a complete`` with a line's words; T1 and FLAIR of the patient are ``$T1`` and ``$FLAIR``."""
    monkeypatch.setenv("A2A_QUIET", "1")
    files = {"$T1": patient.write("T1"), "$FLAIR": patient.write("T2FLAIR"), "$OUT": tmp_path / "out"}

    def run(line: str) -> tuple[int, str, str]:
        words = [str(files.get(word, word)) for word in shlex.split(f"complete --out $OUT {line}")]
        with pytest.raises(SystemExit) as left:
            main(words)
        shown = capsys.readouterr()
        return left.value.code, shown.out, shown.err

    return run


@pytest.fixture
def saved(tiny_prior, tmp_path, monkeypatch) -> None:
    """``mmgan.safetensors``, ``mcvarnet.safetensors`` and ``prior.safetensors`` in the current folder."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    runs = (MmGAN, MmGANConfig(**RUN, widths=(4, 8, 8))), (MCVarNet, MCVarNetConfig(**RUN))
    for method, config in runs:
        network = method.build(config, tiny_prior.spec, tiny_prior.size).eval()
        method(network, config, tiny_prior.spec, tiny_prior.size, tiny_prior.card).save(
            Path(f"{method.name}.safetensors")
        )
    tiny_prior.save(Path("prior.safetensors"))


def test_a_synthesis_method_gives_every_modality_once(call, saved, tmp_path):
    code, _, err = call("--method mmgan.safetensors --given T1 --t1 $T1")
    assert (code, err) == (0, "")
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["method"], report["samples"], report["evaluations"]) == ("mmgan", 1, 1)
    assert set(report["maps"]) == {"T1", "T2FLAIR", "CT"}


def test_a_reconstruction_method_writes_what_it_gives_and_nothing_else(call, saved, tmp_path):
    code, _, err = call('--method mcvarnet.safetensors --given "T1 + y(FLAIR)" --t1 $T1 --flair $FLAIR')
    assert (code, err) == (0, "")
    assert set(json.loads((tmp_path / "out" / "report.json").read_text())["maps"]) == {"T1", "T2FLAIR"}
    assert not (tmp_path / "out" / "CT.nii.gz").exists()


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("--given T1 --t1 $T1", "Give either --prior with the weights of a prior, or --method"),
        ("--prior prior.safetensors --method mmgan.safetensors --given T1 --t1 $T1", "Give either --prior"),
        ("--method mmgam --given T1 --t1 $T1", "--method mmgam: is no method; name one of adm, apt, "),
        ("--method prior.safetensors --given T1 --t1 $T1", "the weights of a prior, not of a method"),
        ("--prior mmgan.safetensors --given T1 --t1 $T1", "it is not the JSON of a prior"),
        ("--method gone.safetensors --given T1 --t1 $T1", "gone.safetensors: no such file"),
        ("--method mmgan.safetensors --steps 5 --given T1 --t1 $T1", "--steps is for --prior, not for mmgan"),
        ("--method mmgan.safetensors --covariance cross-modal --given T1 --t1 $T1", "--covariance is for --prior, not"),
        ("--prior prior.safetensors --sampler mps --noise-levels joint --given T1 --t1 $T1", "mps has no such option"),
        ("--prior prior.safetensors --sampler MDS --given T1 --t1 $T1", "--sampler MDS: is none of daps, ddnm"),
        ("--prior prior.safetensors --eta 2 --given T1 --t1 $T1", "eta: Input should be less than or equal to 1"),
        ("--prior prior.safetensors --noise-levels per-modality --given T1 --t1 $T1", "this prior knows one for all"),
        ("--method mmgan.safetensors --samples 2 --given T1 --t1 $T1", "mmgan gives one answer to T1; ask for 1"),
        ("--method mmgan.safetensors --given y(T1) --t1 $T1", "mmgan cannot use y(T1)"),
        (
            "--method mcvarnet.safetensors --given T1 --t1 $T1",
            "mcvarnet cannot use T1: the weights are for T1 + y(T2FLAIR)",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(call, saved, tmp_path, line, sentence):
    code, out, err = call(line)
    assert (code, out) == (2, "") and sentence in err and err.count("\n") == 1
    assert not (tmp_path / "out").exists()
