"""Completion of a patient: maps on the right grid and in the right units, all of them or nothing."""

import json
import multiprocessing
import os
import random
import time
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from a2a.common.errors import InputError
from a2a.common.files import folder_atomically
from a2a.data.volumes.brightness import brightness
from a2a.data.volumes.nifti import Volume, read_volume, to_ras
from a2a.forward.observation import Observation
from a2a.methods.interface import Any2all
from a2a.patient.read import read_patient
from a2a.patient.statement import doubts, in_words, statement
from a2a.patient.write import complete_patient
from a2a.prior.prior import Prior

HEADS = {"field_of_view_mm": 192.0, "brain_fraction": 0.05, "percentile": 99.5}
MAPS = {"T1", "T2FLAIR", "CT"}
FAST = {"samples": 2}


def fast(prior, steps: int = 3) -> Any2all:
    return Any2all(prior, "mps", {"steps": steps})


def maps(folder: Path) -> dict[str, np.ndarray]:
    """All maps of a completion, by name, oriented to RAS."""
    return {path.name.removesuffix(".nii.gz"): to_ras(read(path)).data for path in folder.glob("*.nii.gz")}


def read(path: Path) -> Volume:
    """Read a map; those of deviations may be all zero, which is no image of a patient."""
    image = nib.load(path)
    return Volume(np.asarray(image.dataobj, dtype=np.float32), image.affine, path)


@pytest.mark.parametrize(("codes", "oblique"), [("LAS", False), ("LPS", False), ("SPL", True)])
def test_maps_lie_on_the_grid_of_the_file_and_a_clean_map_is_the_file(patient, tiny_prior, tmp_path, codes, oblique):
    path = patient.write("T1", codes, oblique)
    complete_patient(tmp_path / "out", read_patient("T1", {"T1": path}, tiny_prior), fast(tiny_prior), **FAST)
    given = read_volume(path)
    found = {p.name.removesuffix(".nii.gz"): read(p) for p in (tmp_path / "out").glob("*.nii.gz")}
    assert set(found) == MAPS | {f"{name}_std" for name in MAPS}
    for volume in found.values():
        assert volume.data.shape == given.data.shape
        np.testing.assert_array_equal(volume.affine, given.affine)
    np.testing.assert_array_equal(found["T1"].data, given.data)
    assert not found["T1_std"].data.any() and found["CT_std"].data.any()


def test_the_orientation_of_the_file_changes_nothing_in_the_patient(patient, tiny_prior, tmp_path):
    for codes in ("RAS", "LPI"):
        acquired = read_patient("T1", {"T1": patient.write("T1", codes)}, tiny_prior)
        complete_patient(tmp_path / codes, acquired, fast(tiny_prior), **FAST)
    first, second = maps(tmp_path / "RAS"), maps(tmp_path / "LPI")
    for name, data in first.items():
        np.testing.assert_array_equal(data, second[name])


def test_maps_are_mean_and_deviation_of_the_samples_in_physical_units(patient, tiny_prior, tmp_path):
    files = {"T1": patient.write("T1"), "FLAIR": patient.write("T2FLAIR")}
    acquired = read_patient("T1 + y(FLAIR)", files, tiny_prior)
    done = complete_patient(tmp_path / "out", acquired, fast(tiny_prior), samples=3)
    found, planes, samples = maps(tmp_path / "out"), list(acquired.geometry.planes), done.samples.numpy()
    assert done.samples.shape == (3, len(planes), 3, 24, 24)
    ranges = {"T2FLAIR": (0.0, acquired.scales["T2FLAIR"].high), "CT": (-1000.0, 1600.0)}
    for name, (low, high) in ranges.items():
        drawn = samples[:, :, tiny_prior.spec.index(name)].transpose(0, 3, 2, 1)[:, ::-1, ::-1]
        inside = found[name][1:25, 2:26][..., planes]
        np.testing.assert_allclose(inside, low + (high - low) * drawn.mean(axis=0), atol=1e-3)
        spread = found[f"{name}_std"][1:25, 2:26][..., planes]
        np.testing.assert_allclose(spread, (high - low) * drawn.std(axis=0, ddof=1), atol=2e-3)
        outside = found[name].copy()
        outside[1:25, 2:26, planes[0] : planes[-1] + 1] = np.nan
        assert np.isnan(outside).all()


def test_the_report_says_what_was_given_and_in_which_unit_maps_are(patient, tiny_prior, tmp_path):
    files = {"CT": patient.write("CT")}
    acquired = read_patient("CT", files, tiny_prior).between(3, 4)
    complete_patient(tmp_path / "out", acquired, fast(tiny_prior, 2), samples=1, seed=7)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["maps"]["CT"] == {"given": "clean", "unit": "HU", "file": str(files["CT"])}
    assert report["maps"]["T1"] == {"given": "missing", "unit": "image units, 0 to 1", "file": None}
    wanted = {
        "scenario": "CT",
        "method": "any2all-mps",
        "evaluations": 2,
        "samples": 1,
        "seed": 7,
        "planes": [3, 4],
        "weights": "tiny",
    }
    assert {key: report[key] for key in wanted} == wanted
    assert report["z_mm"] == [-4.0, 4.0] and report["grid"] == "of the given images"
    for picture in ("contact_sheet.png", "overview.png"):
        assert (tmp_path / "out" / picture).read_bytes().startswith(b"\x89PNG")
    spread = maps(tmp_path / "out")["T1_std"]
    assert not np.nan_to_num(spread).any() and np.isnan(spread[..., [0, 1, 2, 5, 6, 7]]).all()


def test_the_report_says_how_fine_it_is_and_what_the_weights_have_seen(patient, tiny_prior, tmp_path):
    acquired = read_patient("T1", {"T1": patient.write("T1")}, tiny_prior)
    complete_patient(tmp_path / "out", acquired, fast(tiny_prior, 2), samples=1)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["resolution_mm"] == [8.0, 8.0, 8.0] and report["use"] == "for research only"
    assert report["trained_on"]["heads"] == "not known whether real heads"
    how = tiny_prior.card["data"]["preprocessing"] | {"foreground": "nonzero"}
    said = statement({"data": {"card": "phantom-brats", "preprocessing": how}}, acquired.geometry)
    assert in_words(said) == (
        "Computed at 8 x 8 mm in planes 8 mm apart, by weights that learnt from skull-stripped brains "
        "(simulated, data phantom-brats). For research only."
    )


def test_weights_of_simulated_heads_give_a_patient_no_unit(patient, tiny_prior, tmp_path):
    told = replace(tiny_prior, card=tiny_prior.card | {"data": tiny_prior.card["data"] | {"card": "phantom-any2all"}})
    files = {"T1": patient.write("T1", "LAS")}
    complete_patient(tmp_path / "out", read_patient("T1", files, told).between(3, 4), fast(told), **FAST)
    units = json.loads((tmp_path / "out" / "report.json").read_text())["maps"]
    assert units["CT"]["unit"] == "HU of simulated heads, not of a patient" and units["T1"]["unit"] == "a.u."


def test_whole_heads_for_weights_of_stripped_ones_are_said(tiny_prior):
    background = np.zeros((10, 10, 10), bool)
    nothing = Observation.build(tiny_prior.spec, {}, {}, (1, 16, 16))
    assert doubts(tiny_prior.card, nothing, None) == []
    (said,) = doubts(tiny_prior.card, nothing, background)
    assert said.startswith("The given images show more than the brain (0% of their voxels are 0")
    background[:2] = True
    assert doubts(tiny_prior.card, nothing, background) == []


def test_images_of_another_brightness_than_those_of_training_are_said(tiny_prior):
    grey = torch.linspace(0.2, 1, 256).reshape(1, 16, 16)
    usual = {name: brightness(grey.numpy()) for name in tiny_prior.spec.names}
    card = {"data": {"brightness": usual}}
    name = tiny_prior.spec.names[0]
    assert doubts(card, Observation.build(tiny_prior.spec, {name: grey}, {}), None) == []
    (said,) = doubts(card, Observation.build(tiny_prior.spec, {name: grey.sqrt()}, {}), None)
    assert said.startswith(f"The brightness of {name} is not distributed as in the images of training (")
    assert doubts(card, Observation.build(tiny_prior.spec, {name: 0 * grey}, {}), None) == []
    assert doubts({}, Observation.build(tiny_prior.spec, {name: grey.sqrt()}, {}), None) == []


def test_samples_are_kept_as_a_fourth_axis_when_asked_for(patient, tiny_prior, tmp_path):
    acquired = read_patient("T1", {"T1": patient.write("T1", "LPS")}, tiny_prior)
    complete_patient(tmp_path / "out", acquired, fast(tiny_prior), samples=3, keep_samples=True)
    found = {name: np.asarray(nib.load(tmp_path / "out" / f"CT{name}.nii.gz").dataobj) for name in ("", "_samples")}
    assert found["_samples"].shape == (*found[""].shape, 3)
    np.testing.assert_allclose(found["_samples"].mean(axis=-1), found[""], atol=1e-2)
    assert not (tmp_path / "out" / "T1_samples.nii.gz").exists()
    complete_patient(tmp_path / "lean", acquired, fast(tiny_prior), samples=3)
    assert not list((tmp_path / "lean").glob("*_samples*"))


def test_around_a_stripped_brain_the_completion_is_zero_and_in_its_holes_it_is_not(patient, tiny_prior, tmp_path):
    card = tiny_prior.card | {"data": {"preprocessing": HEADS | {"foreground": "nonzero"}}}
    image = patient.images["T1"].copy()
    brain = image > 0
    hole = tuple(int(axis.mean()) for axis in np.nonzero(brain))
    image[hole] = 0
    acquired = read_patient("T1", {"T1": patient.write("T1", data=image)}, replace(tiny_prior, card=card))
    done = complete_patient(tmp_path / "out", acquired, fast(tiny_prior), **FAST)
    found, support = maps(tmp_path / "out"), acquired.observation.support
    assert (found["T2FLAIR"][~brain] == 0).all() and (found["CT"][~brain] == -1000).all()
    assert found["T2FLAIR"][hole] > 0 and support[:, 0].all() and not support[:, 1:].all()
    assert not done.samples[:, :, 1:].masked_select(~support[:, 1:]).any()


def test_weights_of_whole_heads_know_of_no_background(patient, tiny_prior):
    acquired = read_patient("T1", {"T1": patient.write("T1")}, tiny_prior)
    assert acquired.observation.support is None and acquired.background is None


def test_simulated_kspace_given_again_gives_the_same_maps(patient, tiny_prior, tmp_path):
    files = {"T1": patient.write("T1", "LPS"), "FLAIR": patient.write("T2FLAIR", "LPS")}
    complete_patient(tmp_path / "a", read_patient("T1 + y(FLAIR)", files, tiny_prior), fast(tiny_prior), **FAST)
    files["FLAIR"] = tmp_path / "a" / "kspace" / "T2FLAIR.npz"
    complete_patient(tmp_path / "b", read_patient("T1 + y(FLAIR)", files, tiny_prior), fast(tiny_prior), **FAST)
    for path in (tmp_path / "a").glob("*.nii.gz"):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    units = [json.loads((tmp_path / f / "report.json").read_text())["maps"]["T2FLAIR"]["unit"] for f in "ab"]
    assert units == ["a.u.", "a.u."] and not (tmp_path / "b" / "kspace").exists()


def test_nothing_given_samples_the_prior(tiny_prior, tmp_path):
    done = complete_patient(tmp_path / "out", read_patient("", {}, tiny_prior), fast(tiny_prior), **FAST)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["scenario"] == "nothing" and report["grid"].startswith("of its own")
    drawn = done.mean[:, 0].numpy().transpose(2, 1, 0)[::-1, ::-1]
    np.testing.assert_allclose(maps(tmp_path / "out")["T1"], drawn, atol=1e-6)


def test_a_run_that_fails_leaves_nothing_and_keeps_what_was_there(patient, tiny_prior, tmp_path):
    out, acquired = tmp_path / "runs" / "out", read_patient("y(T1)", {"T1": patient.write("T1")}, tiny_prior)
    for existing in (False, True):
        before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
        with pytest.raises(InputError, match="2000"):
            complete_patient(out, acquired, fast(tiny_prior, 2000), overwrite=True)
        assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before
        assert list(out.parent.iterdir()) == [out] * existing
        if not existing:
            complete_patient(out, acquired, fast(tiny_prior), **FAST)


def test_a_folder_is_exchanged_only_when_it_is_full(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    with pytest.raises(KeyboardInterrupt), folder_atomically(tmp_path / "out") as folder:
        (folder / "half").touch()
        raise KeyboardInterrupt
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["old", "out"]
    with folder_atomically(tmp_path / "out") as folder:
        (folder / "new").touch()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["new", "out"]


def test_only_an_earlier_completion_is_replaced_and_only_when_asked_to(patient, tiny_prior, tmp_path):
    out, acquired = tmp_path / "out", read_patient("T1", {"T1": patient.write("T1")}, tiny_prior)
    out.mkdir()
    complete_patient(out, acquired, fast(tiny_prior), **FAST)
    (out / "stale.nii.gz").write_text("of an earlier run")
    with pytest.raises(InputError, match="out is not empty; add --overwrite to replace the completion in it"):
        complete_patient(out, acquired, fast(tiny_prior), **FAST)
    complete_patient(out, acquired, fast(tiny_prior), **FAST, overwrite=True)
    assert not (out / "stale.nii.gz").exists() and (out / "report.json").exists()
    with pytest.raises(InputError, match="patient is not empty and holds no completion; choose"):
        complete_patient(patient.folder, acquired, fast(tiny_prior), **FAST, overwrite=True)
    with pytest.raises(InputError, match="report.json is a file and no folder"):
        complete_patient(out / "report.json", acquired, fast(tiny_prior), **FAST)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "patient"]


def complete_for_ever(out: Path, files: dict, prior: Prior) -> None:
    """Complete a patient again and again into one folder; each time its report says another seed."""
    torch.set_num_threads(1)
    acquired = read_patient("T1", files, prior)
    for seed in range(10**9):
        complete_patient(out, acquired, fast(prior), samples=1, seed=seed, overwrite=True)


@pytest.mark.long
def test_a_completion_killed_at_any_moment_leaves_the_old_or_the_new_and_the_next_start_sweeps(
    patient, tiny_prior, tmp_path
):
    out, files, draw = tmp_path / "runs" / "out", {"T1": patient.write("T1")}, random.Random(1)
    acquired = read_patient("T1", files, tiny_prior)
    complete_patient(out, acquired, fast(tiny_prior), samples=1)
    whole, left = sorted(path.name for path in out.iterdir()), 0
    for _ in range(6):
        before = (out / "report.json").stat().st_mtime_ns
        child = multiprocessing.get_context("fork").Process(
            target=complete_for_ever, args=(out, files, tiny_prior), daemon=True
        )
        child.start()
        until = time.monotonic() + 60
        while (out / "report.json").stat().st_mtime_ns == before and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.3))
        child.kill()
        child.join()
        left += len(list(out.parent.glob(".out.*")))
        assert sorted(path.name for path in out.iterdir()) == whole
        assert json.loads((out / "report.json").read_text())["format"].startswith("a2a completion")
    assert left > 0  # a kill did come in between
    complete_patient(out, acquired, fast(tiny_prior), samples=1, overwrite=True)
    assert list(out.parent.iterdir()) == [out]


def test_a_file_name_that_is_no_text_is_in_the_report(patient, tiny_prior, tmp_path):
    strange = patient.folder / os.fsdecode(b"t\xeate.nii.gz")
    patient.write("T1").rename(strange)
    complete_patient(tmp_path / "out", read_patient("T1", {"T1": strange}, tiny_prior), fast(tiny_prior), **FAST)
    said = json.loads((tmp_path / "out" / "report.json").read_text())["maps"]["T1"]["file"]
    assert os.fsencode(said) == os.fsencode(strange)
