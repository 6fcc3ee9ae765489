"""``a2a complete`` through the real entry point: what works, and every way in which it is used wrongly."""

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from a2a.cli import main
from a2a.forward.stack import StackSpec


@pytest.fixture
def weights(tmp_path, tiny_prior) -> Path:
    """A weights file of T1, T2FLAIR and CT."""
    tiny_prior.save(tmp_path / "weights" / "tiny.safetensors")
    return tmp_path / "weights" / "tiny.safetensors"


@pytest.fixture
def complete(capsys, tmp_path, weights, monkeypatch) -> Callable[..., tuple[int, str, str]]:
    """Run ``a2a complete`` into the folder ``out`` and return exit code, standard output and standard error."""
    monkeypatch.setenv("A2A_QUIET", "1")

    def call(given: str, *words: object, prior: Path = weights) -> tuple[int, str, str]:
        head = ["complete", "--prior", prior, "--given", given, "--out", tmp_path / "out", "--steps", 2, "--samples", 2]
        with pytest.raises(SystemExit) as left:
            main([str(word) for word in (*head, *words)])
        shown = capsys.readouterr()
        return left.value.code, shown.out, shown.err

    return call


@pytest.fixture
def refused(complete, tmp_path) -> Callable[..., str]:
    """Run ``a2a complete`` in a way that must be refused; return the sentence."""

    def call(given: str, *words: object, **options: Path) -> str:
        before = sorted(tmp_path.rglob("*"))
        code, out, err = complete(given, *words, **options)
        assert (code, out) == (2, "") and "Traceback" not in err
        assert err.startswith("a2a: ") and err.count("\n") == 1
        assert sorted(tmp_path.rglob("*")) == before
        return err

    return call


@pytest.fixture
def t1(patient) -> Path:
    return patient.write("T1", "LAS")


def test_files_are_named_by_modality_and_options_may_stand_anywhere(complete, patient, t1, tmp_path):
    flair = patient.write("T2FLAIR", "LAS")
    code, out, err = complete("T1 + y(FLAIR)", f"--t1={t1}", "--acceleration", 3, "--t2-flair", flair, "--seed", 3)
    assert (code, err) == (0, "") and str(tmp_path / "out" / "contact_sheet.png") in out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["scenario"] == "T1 + y(T2FLAIR)" and report["seed"] == 3
    with np.load(tmp_path / "out" / "kspace" / "T2FLAIR.npz") as content:
        assert content["mask"].sum() == 8
    first = (tmp_path / "out" / "CT.nii.gz").read_bytes()
    kspace = tmp_path / "y.npz"
    (tmp_path / "out" / "kspace" / "T2FLAIR.npz").rename(kspace)
    code, out, _ = complete("T1 + y(FLAIR)", "--seed", 3, "--overwrite", "--flair-kspace", kspace, "--T1", t1)
    assert code == 0 and (tmp_path / "out" / "CT.nii.gz").read_bytes() == first


def test_nothing_given_is_allowed_and_said(complete, tmp_path):
    code, _, err = complete("nothing")
    assert (code, err) == (0, "Nothing is given, so the prior is sampled unconditionally.\n")
    assert (tmp_path / "out" / "T1.nii.gz").is_file()


def test_kspace_alone_is_allowed_and_the_grid_is_said(complete, t1, tmp_path):
    assert complete("y(T1)", "--t1", t1, "--planes", "3-4")[0] == 0
    kspace = tmp_path / "y.npz"
    (tmp_path / "out" / "kspace" / "T1.npz").rename(kspace)
    code, _, err = complete("y(T1)", "--t1-kspace", kspace, "--overwrite")
    assert (code, err) == (0, "No image is given, so the maps lie on a grid of their own.\n")


def test_planes_restrict_the_work(complete, t1, tmp_path):
    assert complete("T1", "--t1", t1, "--planes", "3-4")[0] == 0
    assert json.loads((tmp_path / "out" / "report.json").read_text())["planes"] == [3, 4]


def test_one_word_stands_for_settings_and_named_ones_count_more(complete, t1, tmp_path):
    assert complete("T1", "--t1", t1, "--planes", "3-4", "--quality", "fast")[0] == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["evaluations"], report["samples"]) == (2, 2)  # named by the fixture
    weights = str(tmp_path / "weights" / "tiny.safetensors")
    words = ["--prior", weights, "--given", "T1", "--t1", str(t1), "--planes", "3-4", "--out", str(tmp_path / "fast")]
    with pytest.raises(SystemExit):
        main(["complete", *words, "--quality", "fast"])
    report = json.loads((tmp_path / "fast" / "report.json").read_text())
    assert (report["evaluations"], report["samples"], report["method"]) == (10, 4, "any2all-mds")


@pytest.mark.long
def test_onnx_runtime_completes_as_torch_does_and_other_weights_are_refused(complete, t1, tmp_path, tiny_prior_of):
    pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
    words, exported = ("T1", "--t1", t1, "--planes", "3-4", "--overwrite"), tmp_path / "tiny.onnx"
    assert complete(*words)[0] == 0
    expected = nib.load(tmp_path / "out" / "CT.nii.gz").get_fdata()
    assert complete(*words, "--engine", exported)[0] == 0 and exported.is_file()
    found = nib.load(tmp_path / "out" / "CT.nii.gz").get_fdata()
    np.testing.assert_allclose(found, expected, atol=0.3, rtol=0, equal_nan=True)  # HU, of a window of 2600
    assert np.nanstd(expected) > 10
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["engine"], report["precision"]) == ("onnx", "float32")
    other, path = tiny_prior_of(), tmp_path / "weights" / "other.safetensors"
    next(other.network.parameters()).data.mul_(1.5)
    other.save(path)
    code, _, err = complete(*words, "--engine", exported, prior=path)
    assert code == 2 and err == f"a2a: {exported}: it was exported from other weights; export it again.\n"


def test_the_terminal_says_what_is_computed_and_how_long_it_takes(complete, t1, tmp_path, monkeypatch):
    monkeypatch.setattr("a2a.common.progress.os.environ", {})
    _, _, err = complete("T1", "--t1", t1, "--planes", "3-4", "--keep-samples", "--precision", "auto")
    assert "Computed at 8 x 8 mm in planes 8 mm apart" in err and "For research only." in err
    assert "2 slices, 2 samples of each: about " in err and "of the time of float32 here" in err
    assert nib.load(tmp_path / "out" / "CT_samples.nii.gz").shape[3] == 2


@pytest.mark.parametrize(
    ("given", "words", "sentence"),
    [
        ("T1", ["--t1", "T1", "--quality", "good"], "quality: 'good' is none of fast, best."),
        ("T1", ["--t1", "T1", "--quality", "fast", "--sampler", "mps"], "--quality is for --prior with --sampler mds"),
        ("T1", ["--t1", "T1", "--engine", "tensorrt"], "--engine tensorrt: it is none of torch, onnx, or a file"),
        ("T1", ["--t1", "T1", "--engine", "onnx", "--sampler", "mps"], "--engine onnx is for --sampler mds: mps needs"),
        ("T1", ["--t1", "T1", "--engine", "onnx", "--precision", "bf16"], "--engine onnx computes in float32; leave"),
        (
            "T1",
            ["--t1", "T1", "--engine", "no/p.onnx"],
            "--engine no/p.onnx: no file can be written there; name one in",
        ),
        ("T1", ["--t1", "T1", "--precision", "half"], "--precision half: it is none of float32, bf16, auto."),
        ("T1", ["--t1", "T1", "--rho", "2"], "rho: Input should be less than or equal to 1"),
        ("T1 + PET", ["--t1", "T1"], "character 6: Unknown modality 'PET'; this stack has T1, T2FLAIR, CT."),
        ("T1 + y(FLAIR", ["--t1", "T1"], "character 13: expected ')', found the end."),
        ("T1 + CT", ["--t1", "T1"], "gives CT, but no file was named for it."),
        ("T1", ["--t1", "T1", "--ct", "T1"], "named for CT, but the scenario T1 does not give it."),
        ("T1", ["--t1", "T1", "--pet", "T1"], "--pet: no such option (see --help)"),
        ("T1", ["--t1", "T1", "--sample", "8"], "with NAME one of T1, T2FLAIR, CT."),
        ("T1", ["--t1", "T1", "stray.nii"], "Unexpected 'stray.nii'"),
        ("T1", ["-t1", "T1"], "Unexpected '-t1'"),
        ("T1", ["--t1"], "--t1: a value is missing after it."),
        ("T1", ["--t1", "--overwrite", "--seed=1"], "--t1: a value is missing after it."),
        ("FLAIR", ["--flair", "T1", "--T2FLAIR", "T1"], "T2FLAIR is named twice"),
        ("y(T1)", ["--t1-kspace", "T1"], "needed is a file ending in .npz, .h5, .hdf5, .mrd."),
        ("y(T1)", ["--t1-kspace", "y.npz"], "y.npz: no such file"),
        ("T1", ["--t1", "gone.nii.gz"], "gone.nii.gz: no such file"),
        ("y(T1)", ["--t1", "T1", "--acceleration", "5"], "R = 5 does not divide H = 24 lines"),
        ("y(T1)", ["--t1", "T1", "--acceleration", "0"], "acceleration: Input should be greater than"),
        ("y(T1)", ["--t1", "T1", "--acs", "-2"], "acs: Input should be greater than or equal to 0, got -2."),
        ("y(T1)", ["--t1", "T1", "--acs", "99"], "acs = 99 is out of range"),
        ("y(T1)", ["--t1", "T1", "--noise-std", "nan"], "noise_std: Input should be a finite number, got nan."),
        ("T1", ["--t1", "T1", "--planes", "5-3"], "--planes 5-3: needed are two numbers upwards"),
        ("T1", ["--t1", "T1", "--planes", "3"], "--planes 3: needed are two numbers upwards"),
        ("T1", ["--t1", "T1", "--planes", "50-60"], "There are no planes 50-60 to complete"),
        ("T1", ["--t1", "T1", "--steps", "2000"], "2000"),
    ],
)
def test_wrong_words_are_refused(refused, t1, given, words, sentence):
    assert sentence in refused(given, *(t1 if word == "T1" else word for word in words))


def _truncated(path: Path) -> None:
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-500]))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


def _changed(how: Callable[[np.ndarray, np.ndarray], tuple]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        image = nib.load(path)
        data, affine = how(np.asarray(image.dataobj).copy(), image.affine.copy())
        nib.save(nib.Nifti1Image(data, affine), path)

    return change


def _with_nan(data: np.ndarray, affine: np.ndarray) -> tuple:
    data[3, 3, 3] = np.nan
    return data, affine


def _shifted(data: np.ndarray, affine: np.ndarray) -> tuple:
    affine[0, 3] += 1.0
    return data, affine


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_truncated, "is truncated: its header promises more voxels than it holds."),
        (_cut, "is truncated or corrupt"),
        (lambda path: path.write_bytes(b"no image"), "is no NIfTI file or its header is damaged"),
        (_changed(lambda d, a: (d[..., None].repeat(2, axis=3), a)), "has 4 dimensions (26 x 28 x 8 x 2)"),
        (_changed(lambda d, a: (d[:-1], a)), "has shape (25, 28, 8) but"),
        (_changed(_shifted), "has another affine than"),
        (_changed(lambda d, a: (0 * d, a)), "is all zero"),
        (_changed(_with_nan), "has 1 voxels that are NaN or infinite"),
    ],
)
def test_unusable_images_are_refused(refused, patient, t1, spoil, sentence):
    ct = patient.write("CT", "LAS")
    spoil(ct)
    err = refused("T1 + CT", "--t1", t1, "--ct", ct)
    assert sentence in err and str(ct) in err


def test_unusable_kspace_is_refused(refused, complete, t1, tmp_path):
    assert complete("y(T1)", "--t1", t1)[0] == 0
    good = tmp_path / "out" / "kspace" / "T1.npz"
    with np.load(good) as content:
        fields = dict(content)
    bad = tmp_path / "bad.npz"
    np.savez(bad, **fields | {"kspace": fields["kspace"][:, :, :16]})
    assert "k-space of T1 is torch.complex64" in refused("y(T1)", "--t1-kspace", bad, "--overwrite")
    np.savez(bad, **{key: value for key, value in fields.items() if key != "maps"})
    too_few = "bad.npz: 1 central lines are sampled fully, too few to estimate coil maps"
    assert too_few in refused("y(T1)", "--t1-kspace", bad, "--overwrite")
    bad.write_bytes(good.read_bytes()[:2000])
    assert "bad.npz: damaged" in refused("y(T1)", "--t1-kspace", bad, "--overwrite")


def test_unusable_weights_are_refused(refused, weights, t1, tiny_prior_of, tmp_path):
    assert "gone.safetensors: no such file" in refused("T1", "--t1", t1, prior=tmp_path / "gone.safetensors")
    description = json.loads(weights.with_suffix(".json").read_text())
    weights.with_suffix(".json").write_text(json.dumps(description | {"spec": description["spec"][:2]}))
    assert "damaged (network: 3 channels for the modalities" in refused("T1", "--t1", t1, prior=weights)
    weights.with_suffix(".json").write_text(json.dumps(description))
    tiny_prior_of(StackSpec.of("T1", "T2")).save(tmp_path / "two.safetensors")
    assert "this stack has T1, T2." in refused("T1 + CT", "--t1", t1, prior=tmp_path / "two.safetensors")
    with open(weights, "r+b") as file:
        file.seek(-4, 2)
        file.write(b"\xff\xff\xff\xff")
    assert "its SHA-256 is not the one in the JSON" in refused("T1", "--t1", t1, prior=weights)
    weights.write_bytes(b"not weights")
    assert "corrupt or not a safetensors file" in refused("T1", "--t1", t1, prior=weights)
    weights.with_suffix(".json").unlink()
    assert "tiny.json: no such file" in refused("T1", "--t1", t1, prior=weights)


def test_weights_that_were_not_trained_on_a_prepared_store_are_refused(refused, tiny_prior, t1, tmp_path):
    replace(tiny_prior, card={}).save(tmp_path / "bare.safetensors")
    assert "train on a store made by" in refused("T1", "--t1", t1, prior=tmp_path / "bare.safetensors")


def test_a_folder_that_is_not_empty_is_refused(refused, t1, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("four years")
    assert "out is not empty and holds no completion; choose another folder" in refused("T1", "--t1", t1)
    assert "out is not empty and holds no completion; choose another folder" in refused("T1", "--t1", t1, "--overwrite")


def test_kspace_of_a_scanner_is_taken_with_its_maps(complete, refused, t1, tmp_path):
    h5py = pytest.importorskip("h5py", reason="the extra [kspace] is not installed")
    assert complete("y(T1)", "--t1", t1, "--acs", 14, "--acceleration", 2, "--noise-std", 0.001)[0] == 0
    with np.load(tmp_path / "out" / "kspace" / "T1.npz") as content:
        fields = dict(content)
    np.save(tmp_path / "maps.npy", fields["maps"])
    header = (
        '<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding><encodedSpace><matrixSize><x>24</x><y>24</y><z>1</z>'
        "</matrixSize><fieldOfView_mm><x>192</x><y>192</y><z>8</z></fieldOfView_mm></encodedSpace></encoding></ismrmrdHeader>"
    )
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["kspace"], file["mask"] = 500 * fields["kspace"].swapaxes(2, 3), fields["mask"]
        file["ismrmrd_header"] = header
    words = ["--t1-kspace", tmp_path / "scan.h5", "--overwrite"]
    assert "scan.h5: it does not say how the patient lies in it" in refused("y(T1)", *words)
    words += ["--kspace-axes", "LPS"]
    assert "maps.txt: no such file" in refused("y(T1)", *words, "--t1-maps", tmp_path / "maps.txt")
    assert "T2FLAIR, which does not come as k-space" in refused("y(T1)", *words, "--flair-maps", tmp_path / "maps.npy")
    assert complete("y(T1)", *words, "--t1-maps", tmp_path / "maps.npy")[0] == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["scenario"] == "y(T1)" and report["maps"]["T1"]["unit"] == "a.u."
    assert complete("y(T1)", *words, "--sampler", "mps")[0] == 0  # with estimated maps
