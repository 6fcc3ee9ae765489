"""From a card to a store: layouts, orientation, faults of single subjects, reuse, exit codes."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from a2a.cli import main
from a2a.common.errors import InputError
from a2a.data.cards.card import DataCard, load_card
from a2a.data.prepare.prepare import prepare
from a2a.data.store.read import SliceStore
from a2a.data.volumes.nifti import read_volume, to_ras
from a2a.data.volumes.registration import antspy_version
from a2a.data.volumes.slices import SliceGeometry

CARD = "open-ms"
AFFINE = np.array([[8.0, 0, 0, -92.0], [0, 8.0, 0, -120.0], [0, 0, 8.0, -64.0], [0, 0, 0, 1]])  # of the small heads
SIZE = 24  # pixels of 8 mm, the voxels of the small heads


def _files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_store_from_files(open_ms: Callable, head: Callable, tmp_path: Path) -> None:
    report = prepare(CARD, tmp_path / "store", open_ms(), size=SIZE)
    store = SliceStore.open(tmp_path / "store", verify=True)
    assert report.rows == store.manifest["rows"] and report.subjects == 2 and not report.skipped and not report.reused
    assert store.spec.names == ("T1", "T1POST", "T2", "FLAIR")
    assert store.manifest["preprocessing"]["field_of_view_mm"] == 192
    test = store.split("test")
    assert set(test.subjects) == {"patient26"} and (np.diff(test.z_mm) == 8).all()
    record = store.manifest["subjects"]["patient26"]
    geometry, high = SliceGeometry.from_dict(record["geometry"]), record["normalisation"]["T2"]["high"]
    brain = head(262)
    assert high == pytest.approx(np.percentile(brain[brain > 0].astype(np.float64), 99.5))
    np.testing.assert_allclose(test.images[:, 2], np.clip(geometry.to_slices(brain / high), 0, 1), atol=5e-4)
    assert {p.stem for p in (store.path / "sheets").glob("*.png")} == {"patient07", "patient26"}


def test_the_bright_patch_is_anterior_on_the_right(open_ms: Callable, tmp_path: Path) -> None:
    prepare(CARD, tmp_path / "store", open_ms(), size=SIZE)
    test = SliceStore.open(tmp_path / "store").split("test")
    _, row, column = np.argwhere(np.asarray(test.images[:, 0]) == 1.0).mean(axis=0)
    assert row < 11.5 - 3 and column < 11.5 - 2


@pytest.mark.parametrize(
    ("layout", "below", "codes"),
    [
        ("short", "cross_sectional", "LAS"),
        ("repository", ".", "LPS"),
        ("repository", "MNI", "RAS"),
        ("repository", "cross_sectional/MNI", "PSR"),
    ],
)
def test_layout_and_orientation_change_no_slice(
    layout: str, below: str, codes: str, open_ms: Callable, tmp_path: Path
) -> None:
    prepare(CARD, tmp_path / "one", open_ms(), size=SIZE)
    prepare(CARD, tmp_path / "two", open_ms("other", layout, below, codes), size=SIZE)
    for name in ("train.npy", "val.npy", "test.npy", "index.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_validation_planes_are_whole_blocks_of_the_training_subject(open_ms: Callable, tmp_path: Path) -> None:
    card = load_card(CARD).model_dump(mode="json")
    card["profiles"]["ci"]["validation_blocks"] = {"planes": 3, "every": 4}
    prepare(DataCard.model_validate(card), tmp_path / "store", open_ms(), size=SIZE)
    store = SliceStore.open(tmp_path / "store")
    train, val = store.split("train"), store.split("val")
    both = np.sort(np.concatenate([train.planes, val.planes]))
    assert (both == np.arange(both[0], both[-1] + 1)).all() and len(both) == len(store.split("test"))
    assert (val.planes - both[0]).tolist() == [6, 7, 8] and set(val.subjects) == {"patient07"}


def test_workers_and_repetition_change_no_byte(open_ms: Callable, tmp_path: Path) -> None:
    root = open_ms()
    prepare(CARD, tmp_path / "one", root, size=SIZE)
    prepare(CARD, tmp_path / "two", root, size=SIZE, workers=2)
    assert _files(tmp_path / "one") == _files(tmp_path / "two")


def test_an_identical_store_is_reused_and_another_is_kept(open_ms: Callable, head: Callable, tmp_path: Path) -> None:
    root, out = open_ms(), tmp_path / "store"
    prepare(CARD, out, root, size=SIZE)
    before = (out / "train.npy").stat().st_mtime_ns
    assert prepare(CARD, out, root, size=SIZE).reused
    assert (out / "train.npy").stat().st_mtime_ns == before
    with pytest.raises(InputError, match="add --overwrite"):
        prepare(CARD, out, root, size=SIZE + 4)
    assert not prepare(CARD, out, root, size=SIZE + 4, overwrite=True).reused
    assert SliceStore.open(out).size == SIZE + 4


def test_changed_files_are_noticed(open_ms: Callable, write_scan: Callable, head: Callable, tmp_path: Path) -> None:
    root, out = open_ms(), tmp_path / "store"
    prepare(CARD, out, root, size=SIZE)
    write_scan(root / "patient26" / "T2.nii.gz", head(99))
    with pytest.raises(InputError, match="add --overwrite"):
        prepare(CARD, out, root, size=SIZE)


def test_a_damaged_store_is_not_reused(open_ms: Callable, tmp_path: Path) -> None:
    root, out = open_ms(), tmp_path / "store"
    prepare(CARD, out, root, size=SIZE)
    (out / "test.npy").write_bytes((out / "test.npy").read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match="test.npy does not match the checksum"):
        prepare(CARD, out, root, size=SIZE)
    assert not prepare(CARD, out, root, size=SIZE, overwrite=True).reused
    before = (out / "test.npy").stat().st_mtime_ns
    assert prepare(CARD, out, root, size=SIZE, overwrite=True).reused  # nothing to replace
    assert (out / "test.npy").stat().st_mtime_ns == before


def _save(path: Path, data: np.ndarray, affine: np.ndarray | None = None) -> None:
    nib.save(nib.Nifti1Image(data.astype(np.float32), nib.load(path).affine if affine is None else affine), path)


def _moved(path: Path) -> None:
    affine = nib.load(path).affine.copy()
    affine[1, 3] += 4
    _save(path, nib.load(path).get_fdata(), affine)


def _with_header(path: Path, change: Callable[[nib.Nifti1Header], None], affine: np.ndarray | None = None) -> None:
    old = nib.load(path)
    image = nib.Nifti1Image(old.get_fdata().astype(np.float32), affine)
    change(image.header)
    nib.save(image, path)


def _linked_out(path: Path) -> None:
    elsewhere = path.parents[2] / "elsewhere.nii.gz"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def _scaled(path: Path, factor: float) -> None:
    _save(path, nib.load(path).get_fdata(), nib.load(path).affine @ np.diag([factor, factor, factor, 1]))


FLAT = np.array([[8.0, 8, 0, 0], [8, 8, 0, 0], [0, 0, 8, 0], [0, 0, 0, 1]])
FAULTS = {
    "empty file": (lambda p: p.write_bytes(b""), "no NIfTI file"),
    "one plane": (lambda p: _save(p, nib.load(p).get_fdata()[..., 8:9]), "has a single plane"),
    "zero affine": (lambda p: _with_header(p, lambda h: h.set_sform(np.zeros((4, 4)), 1)), "singular affine"),
    "singular affine": (lambda p: _with_header(p, lambda h: h.set_sform(FLAT, 1)), "singular affine"),
    "no affine": (lambda p: _with_header(p, lambda h: None), "neither sform nor qform"),
    "micrometres": (lambda p: _with_header(p, lambda h: h.set_xyzt_units("micron"), FLAT + np.eye(4)), "in micron"),
    "metres as mm": (lambda p: _scaled(p, 0.001), "voxels of 0.008 x 0.008 x 0.008 mm"),
    "link out of the folder": (_linked_out, "a symbolic link that leads out"),
    "missing": (lambda p: p.unlink(), "missing"),
    "truncated": (lambda p: p.write_bytes(p.read_bytes()[:-99]), "truncated or corrupt"),
    "4-D": (lambda p: _save(p, nib.load(p).get_fdata()[..., None].repeat(2, -1)), "4 dimensions"),
    "other shape": (lambda p: _save(p, nib.load(p).get_fdata()[..., 1:]), "has shape"),
    "other affine": (_moved, "up to 4 mm apart"),
    "all zero": (lambda p: _save(p, 0 * nib.load(p).get_fdata()), "all zero"),
    "NaN": (lambda p: _save(p, nib.load(p).get_fdata() * np.nan), "NaN or infinite"),
    "negative only": (lambda p: _save(p, -1 - nib.load(p).get_fdata()), "no positive voxel"),
    "head too large": (lambda p: _save(p, 1 + nib.load(p).get_fdata()), "more than the field of view"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_subject_is_skipped_with_its_reason(
    fault: str, open_ms: Callable, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    spoil, words = FAULTS[fault]
    root, out = open_ms(), tmp_path / "store"
    path = root / "patient07" / "T2.nii.gz"
    spoil(path)
    arguments = ["prepare", CARD, "--root", str(root), "--out", str(out), "--size", str(SIZE), "--workers", "1"]
    with pytest.raises(SystemExit) as leave:
        main(arguments)
    told = capsys.readouterr()
    assert leave.value.code == 3
    assert "Skipped patient07" in told.err and words in told.err and path.parent.name in told.err
    store = SliceStore.open(out, verify=True)
    assert store.manifest["rows"]["train"] == 0 and len(store.split("test")) > 0
    with pytest.raises(SystemExit) as again:
        main(arguments)
    assert again.value.code == 3 and "reused" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--root", "{data}", "--size", "30"], "30 is not a multiple of 4"),
        (["--root", "{data}", "--size", "0"], "0 is not a multiple of 4"),
        (["--root", "{data}", "--profile", "huge"], "no profile 'huge'; it has ci, full"),
        (["--root", "{data}/nowhere"], "is no folder"),
        (["--root", "{data}/patient07"], "holds no files of open-ms"),
        ([], "give their folder with --root"),
        (["--root", "{data}", "--out", "{data}"], "holds no slice store"),
        (["--root", "{data}", "--out", "{data}", "--overwrite"], "holds no slice store"),
    ],
)
def test_wrong_use_is_one_sentence_and_writes_nothing(
    options: list[str], words: str, open_ms: Callable, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    root = open_ms()
    before = _files(tmp_path)
    filled = [option.format(data=root) for option in options]
    out = [] if "--out" in options else ["--out", str(tmp_path / "store")]
    with pytest.raises(SystemExit) as leave:
        main(["prepare", CARD, *out, *filled])
    told = capsys.readouterr().err.strip()
    assert leave.value.code == 2 and words in told and len(told.splitlines()) == 1
    assert _files(tmp_path) == before


def test_good_use_ends_with_zero_and_says_where_to_look(
    open_ms: Callable, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "a folder" / "Köpfe"
    with pytest.raises(SystemExit) as leave:
        main(["prepare", CARD, "--root", str(open_ms()), "--out", str(out), "--size", str(SIZE), "--workers", "1"])
    assert leave.value.code == 0 and str(out / "report.html") in capsys.readouterr().out


def test_two_layouts_at_once_are_refused(open_ms: Callable, tmp_path: Path) -> None:
    open_ms("data")
    open_ms("data", "repository", "MNI")
    with pytest.raises(InputError, match="more than one layout.*short file names in .*repository in .*MNI"):
        prepare(CARD, tmp_path / "store", tmp_path / "data", size=SIZE)


def test_a_subject_without_a_folder_is_skipped(open_ms: Callable, tmp_path: Path) -> None:
    root = open_ms()
    (root / "patient07").rename(tmp_path / "elsewhere")
    (skipped,) = prepare(CARD, tmp_path / "store", root, size=SIZE).skipped
    assert skipped.subject == "patient07" and skipped.reason == f"there are no files of patient07 in {root}"


def test_a_link_within_the_folder_is_followed(open_ms: Callable, tmp_path: Path) -> None:
    root = open_ms()
    (root / "blobs").mkdir()
    (root / "patient07" / "T2.nii.gz").rename(root / "blobs" / "x")
    (root / "patient07" / "T2.nii.gz").symlink_to("../blobs/x")
    assert not prepare(CARD, tmp_path / "store", root, size=SIZE).skipped


def test_an_empty_folder_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(
        InputError, match=r"data holds no files of open-ms; expected are files such as patient.*T1.nii.gz"
    ):
        prepare(CARD, tmp_path / "store", tmp_path / "data", size=SIZE)
    assert os.listdir(tmp_path) == ["data"]


@pytest.mark.skipif(antspy_version() is not None, reason="says what happens without ANTsPy, which is installed here")
def test_different_grids_without_antspy_say_what_to_install(
    head: Callable, write_scan: Callable, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for patient, shift in (("patient01", 0), ("patient03", 3), ("patient04", 0)):
        for i, series in enumerate(("T1W", "T2W", "FLAIR")):
            affine, own = AFFINE + shift * (series == "T2W") * np.eye(4)[:, :1] * np.eye(4)[3], int(patient[-1])
            write_scan(tmp_path / "data" / patient / f"study1_{series}.nii.gz", head(i) * (1 + own / 9), "LPS", affine)
    words = ["prepare", "open-ms-longitudinal", "--root", str(tmp_path / "data"), "--out", str(tmp_path / "store")]
    with pytest.raises(SystemExit) as leave:
        main([*words, "--size", "32", "--workers", "1"])
    told = capsys.readouterr().err
    assert (
        leave.value.code == 3 and "Skipped patient03_study1: The images of one subject lie on different grids" in told
    )
    assert "pip install antspyx" in told
    assert set(SliceStore.open(tmp_path / "store").manifest["subjects"]) == {"patient01_study1", "patient04_study1"}


def test_pet_is_scaled_by_the_training_split(open_ms: Callable, tmp_path: Path, head: Callable) -> None:
    card = load_card(CARD).model_dump(mode="json")
    card["modalities"][2] |= {"kind": "PET", "unit": "SUVR", "normalisation": "training-percentile"}
    root = open_ms()
    test = root / "patient26" / "T2.nii.gz"
    original = nib.load(test).get_fdata()
    _save(test, 0.5 * original)
    prepare(DataCard.model_validate(card), tmp_path / "store", root, size=SIZE)
    store, trained = SliceStore.open(tmp_path / "store"), head(72)
    high = np.percentile(trained[trained > 0].astype(np.float64), 99.5)
    assert store.spec["T2"].window == (0.0, pytest.approx(high))
    records = store.manifest["subjects"].values()
    assert {record["normalisation"]["T2"]["high"] for record in records} == {store.spec["T2"].window[1]}
    seen = store.split("test").images[:, 2]
    assert np.median(seen[seen > 0]) == pytest.approx(0.5 * np.median(original[original > 0]) / high, rel=0.05)
    _save(test, 3 * original)
    report = prepare(DataCard.model_validate(card), tmp_path / "other", root, size=SIZE)
    assert "of the middle of the image lies above" in report.skipped[0].reason


def test_the_median_of_the_brain_becomes_what_the_card_says(open_ms: Callable, tmp_path: Path, head: Callable) -> None:
    card = load_card(CARD).model_dump(mode="json")
    card["modalities"][2] |= {"normalisation": "subject-median", "median": 0.3}
    root, store = open_ms(), tmp_path / "store"
    lesion = nib.load(root / "patient26" / "T2.nii.gz").get_fdata()
    brain = np.argwhere(lesion > 0)
    for voxel in brain[:: len(brain) // 20]:
        lesion[tuple(voxel)] = 40 * lesion.max()  # moves the percentile, not the median
    _save(root / "patient26" / "T2.nii.gz", lesion)
    prepare(DataCard.model_validate(card), store, root, size=SIZE)
    manifest = SliceStore.open(store).manifest
    assert manifest["preprocessing"]["medians"] == {"T2": 0.3}
    scales = {name: record["normalisation"] for name, record in manifest["subjects"].items()}
    assert scales["patient26"]["T2"]["high"] == pytest.approx(np.median(lesion[lesion > 0]) / 0.3)
    t1 = head(260)
    assert scales["patient26"]["T1"]["high"] == pytest.approx(np.percentile(t1[t1 > 0].astype(np.float64), 99.5))


def test_a_mask_file_takes_away_what_lies_outside(
    open_ms: Callable, head: Callable, write_scan: Callable, tmp_path: Path
) -> None:
    card = load_card(CARD).model_dump(mode="json")
    card["source"]["layouts"] = [card["source"]["layouts"][0] | {"brain_mask": "{subject}/mask.nii.gz"}]
    card["preprocessing"]["foreground"] = "file"
    root = open_ms()
    mask = head(0) > 0
    mask[:12] = False
    for patient in ("patient07", "patient26"):
        write_scan(root / patient / "mask.nii.gz", mask.astype(np.float32), "LAS")
    report = prepare(DataCard.model_validate(card), tmp_path / "store", root, size=SIZE)
    store = SliceStore.open(report.path)
    record, test = store.manifest["subjects"]["patient26"], store.split("test")
    volume = SliceGeometry.from_dict(record["geometry"]).to_volume(np.asarray(test.images[:, 0], np.float32))
    assert (volume[:12] == 0).all() and (volume[12:16, 13, 9] > 0).all()
    (root / "patient07" / "mask.nii.gz").unlink()
    again = prepare(DataCard.model_validate(card), tmp_path / "other", root, size=SIZE)
    assert again.skipped[0].reason == "missing brain mask: there is no file patient07/mask.nii.gz"


def test_the_report_names_and_shows_everybody(open_ms: Callable, tmp_path: Path) -> None:
    root = open_ms()
    (root / "patient07" / "T2.nii.gz").unlink()
    report = prepare(CARD, tmp_path / "store", root, size=SIZE)
    page = (report.path / "report.html").read_text(encoding="utf-8")
    assert "patient07</b>: missing T2: there is no file patient07/T2.nii.gz" in page and "<h2>patient26" in page
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert links == ["sheets/patient26.png"] and all((report.path / link).is_file() for link in links)
    assert "http" not in page and "<script" not in page


def test_if_nobody_is_left_nothing_is_written(open_ms: Callable, tmp_path: Path) -> None:
    root = open_ms()
    for path in root.glob("*/T2.nii.gz"):
        path.unlink()
    before = os.listdir(tmp_path)
    with pytest.raises(InputError, match="No subject could be prepared; the first, patient07: missing .*T2.nii.gz"):
        prepare(CARD, tmp_path / "store", root, size=SIZE)
    assert os.listdir(tmp_path) == before


def test_the_scan_on_disk_and_the_store_agree_through_the_inverse(open_ms: Callable, tmp_path: Path) -> None:
    root = open_ms(codes="LPS")
    prepare(CARD, tmp_path / "store", root, size=SIZE)
    store = SliceStore.open(tmp_path / "store")
    record, test = store.manifest["subjects"]["patient26"], store.split("test")
    geometry = SliceGeometry.from_dict(record["geometry"])
    volume = geometry.to_volume(np.asarray(test.images[:, 3], np.float32)) * record["normalisation"]["FLAIR"]["high"]
    original = to_ras(read_volume(root / record["inputs"]["FLAIR"]["file"])).data
    planes = list(geometry.planes)
    clipped = np.minimum(original[..., planes], record["normalisation"]["FLAIR"]["high"])
    np.testing.assert_allclose(volume[..., planes], clipped, atol=0.2)
