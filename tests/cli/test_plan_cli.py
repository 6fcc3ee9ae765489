"""``a2a plan`` through the real entry point, for a patient; a store takes the same way through `value_of_scans`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from a2a.cli import main
from a2a.cli.plan import report
from a2a.evaluation.next_scan import ScanValues
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec


@pytest.fixture
def plan(capsys, tmp_path, tiny_prior, monkeypatch) -> Callable[..., tuple[int, str, str]]:
    """Run ``a2a plan`` with small settings and return exit code, standard output and standard error."""
    monkeypatch.setenv("A2A_QUIET", "1")
    monkeypatch.chdir(tmp_path)
    tiny_prior.save(Path("tiny.safetensors"))

    def call(given: str, target: str, *words: object) -> tuple[int, str, str]:
        head = ["plan", "--prior", "tiny.safetensors", "--given", given, "--target", target]
        with pytest.raises(SystemExit) as left:
            main([str(word) for word in (*head, "--samples", 2, "--steps", 1, "--slices", 2, *words)])
        shown = capsys.readouterr()
        return left.value.code, shown.out, shown.err

    return call


def test_all_scans_of_a_patient_are_ranked(plan, patient):
    code, out, _ = plan("T1", "CT", "--t1", patient.write("T1"))
    first, header, *rows, last = out.splitlines()
    assert code == 0 and first.startswith("CT given T1: samples differ by 0.") and "2 samples of 2 slices" in first
    assert header.split() == ["next", "scan", "leaves", "takes", "away", "95", "%", "over", "samples"]
    assert sorted(row.split()[0] for row in rows) == ["T2FLAIR", "y(T2FLAIR)"]
    assert last.endswith(".")


def test_one_scan_alone(plan, patient):
    code, out, _ = plan("T1", "CT", "--t1", patient.write("T1"), "--scan", "y(FLAIR)", "--acceleration", 2)
    assert code == 0 and out.splitlines()[2].startswith("y(T2FLAIR)") and len(out.splitlines()) == 4


@pytest.mark.parametrize(
    ("given", "target", "words", "complaint"),
    [
        ("T1", "CT", ["--data", "runs", "--t1", "T1"], "--data is for slices of a store, --t1 for a patient."),
        ("T1", "CT", ["--subject", "3", "--t1", "T1"], "--subject is for slices of a store, --t1 for a patient."),
        ("T1", "CT", [], "is no slice store (no manifest.json); make one with a2a prepare."),
        ("T1", "PET", ["--t1", "T1"], "Unknown modality 'PET'; this stack has T1, T2FLAIR, CT."),
        ("T1 + CT", "CT", ["--t1", "T1"], "target: CT is given clean by T1 + CT; nothing of it is uncertain."),
        (
            "T1 + FLAIR",
            "CT",
            ["--t1", "T1"],
            "Nothing is left to acquire: T1 + T2FLAIR gives all that could tell of CT.",
        ),
        ("T1", "CT", ["--t1", "T1", "--scan", "CT"], "scan: 'CT' cannot be acquired next; possible are T2FLAIR, y(T2"),
    ],
)
def test_wrong_use_is_refused_in_a_sentence(plan, patient, given, target, words, complaint):
    files = {"T1": patient.write("T1")}
    code, out, err = plan(given, target, *(files.get(word, word) for word in words))
    assert (code, out) == (2, "") and err.startswith("a2a: ") and err.count("\n") == 1 and complaint in err


@pytest.mark.parametrize(
    ("left", "verdict"),
    [
        ([[0.01, 0.011] * 2, [0.03, 0.031] * 2], "T1 would help most."),
        ([[0.02, 0.03] * 2, [0.03, 0.02] * 2], "T1, CT: which of them helps most is not decided; take more --samples"),
        ([[0.038, 0.045] * 2, [0.045, 0.044] * 2], "No scan is sure to help."),
    ],
)
def test_the_verdict_is_as_sure_as_the_samples(left, verdict):
    spec = StackSpec.of("T1", "CT", "PET")
    observation = Observation.simulate(np.zeros((1, 3, 4, 4), np.float32), "nothing", spec)
    values = ScanValues("PET", ("T1", "CT"), np.full((4, 1), 0.04), np.array(left)[:, :, None])
    assert report(values, observation)[-1].startswith(verdict)
