"""Phantom subjects as NIfTI files, and the command that writes them."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from a2a.cli import main
from a2a.common.errors import InputError
from a2a.data.phantom import PhantomConfig, generate_subject
from a2a.data.phantom.volumes import write_volumes
from a2a.data.volumes.nifti import read_volume

CONFIG = PhantomConfig(preset="brats", dz=8.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Subjects 4 and 6 of the preset brats, written by two processes."""
    out = tmp_path_factory.mktemp("volumes") / "deep" / "er"
    assert [p.name for p in write_volumes(CONFIG, [4, 6], out, workers=2)] == ["subject-0004", "subject-0006"]
    return out


@pytest.fixture(scope="module")
def subject():
    return generate_subject(CONFIG, 6)


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(words)
    return left.value.code


def test_files_hold_the_subject_in_world_coordinates(folder, subject):
    for name in ("T1GD", "T2FLAIR"):
        volume = read_volume(folder / "subject-0006" / f"{name}.nii.gz")
        assert nib.aff2axcodes(volume.affine) == ("R", "A", "S")
        np.testing.assert_allclose(volume.spacing, [3.5, 3.5, 8.0])
        for index in ((7, 20, 24), (9, 40, 18)):
            world = subject.affine @ [*index, 1]
            i, j, k = np.rint(np.linalg.inv(volume.affine) @ world)[:3].astype(int)
            assert volume.data[i, j, k] == subject.images[name][index]
    header = nib.load(folder / "subject-0006" / "T2.nii.gz").header
    assert header["qform_code"] == header["sform_code"] == 1 and header.get_xyzt_units()[0] == "mm"
    np.testing.assert_allclose(header.get_qform(), header.get_sform(), atol=1e-5)


def test_labels_and_truth_lie_beside_them(folder, subject):
    lesion = np.asarray(nib.load(folder / "subject-0006" / "lesion.nii.gz").dataobj)
    about = json.loads((folder / "phantom.json").read_text())
    assert about["lesion"] == {"1": "ncr", "2": "ed", "3": "et"} and about["tissue"]["11"] == "wm"
    assert [(lesion == i).sum() for i in range(4)] == [(subject.lesion == i).sum() for i in range(4)]
    truth = json.loads((folder / "subject-0006" / "subject.json").read_text())
    assert truth == {"subject": 6, "latents": subject.latents}
    assert PhantomConfig.model_validate(about["config"]) == CONFIG
    names = sorted(p.name for p in (folder / "subject-0004").iterdir())
    images = [f"{n}.nii.gz" for n in ("T1GD", "T1SE", "T2", "T2FLAIR", "brain", "lesion", "tissue")]
    assert names == sorted([*images, "subject.json"])


def test_bytes_depend_on_neither_workers_nor_order(folder, tmp_path):
    write_volumes(CONFIG, [6], tmp_path / "one")
    for file in (tmp_path / "one" / "subject-0006").iterdir():
        assert file.read_bytes() == (folder / "subject-0006" / file.name).read_bytes()


def test_overwriting_replaces_only_volumes(tmp_path, capsys):
    words = ["phantom", "--preset", "isles", "--size", "64", "--dz", "16", "--workers", "1", "--out"]
    out = tmp_path / "ein Ordner"
    assert run(*words, str(out), "--subject", "2") == 0
    assert "1 subjects of preset isles with T2FLAIR, DWI, ADC, tissue" in capsys.readouterr().out
    assert run(*words, str(out), "--subject", "0..1") == 2
    assert "is not empty; add --overwrite" in capsys.readouterr().err
    assert run(*words, str(out), "--subject", "0..1", "--overwrite") == 0
    assert sorted(p.name for p in out.iterdir()) == ["phantom.json", "subject-0000", "subject-0001"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("precious")
    assert run(*words, str(tmp_path / "other"), "--overwrite") == 2
    assert "holds no phantom volumes" in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "other").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--subject", "3..1"], "--subject must be a number such as 3 or a range"),
        (["--subject", "x"], "--subject must be"),
        (["--size", "100"], "size: Input should be 64, 128, 192 or 256, got 100."),
        (["--dz", "0"], "dz: "),
        (["--seed", "-1"], "dataset_seed: "),
        (["--preset", "mouse"], "mouse"),
    ],
)
def test_wrong_options_are_one_sentence_and_exit_code_2(tmp_path, capsys, words, complaint):
    assert run("phantom", "--out", str(tmp_path / "out"), *words) == 2
    err = capsys.readouterr().err
    assert complaint in err and "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_nothing_to_write_is_refused(tmp_path):
    for subjects, words in (([], "not none"), ([1, 1], "different numbers"), ([-1], "from 0 up")):
        with pytest.raises(InputError, match=words):
            write_volumes(CONFIG, subjects, tmp_path / "out")
    with pytest.raises(InputError, match="at least 1 worker"):
        write_volumes(CONFIG, [0], tmp_path / "out", workers=0)
    assert list(tmp_path.iterdir()) == []
