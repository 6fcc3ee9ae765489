"""Data sets as they lie on disks: folders and names copied from the wild, tiny images inside."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from a2a.common.errors import InputError
from a2a.data.cards.card import load_card
from a2a.data.prepare.prepare import PrepareReport, prepare
from a2a.data.store.read import SliceStore
from a2a.data.volumes.labels import UNKNOWN
from a2a.data.volumes.nifti import write_volume

BRATS = {"T1": "t1", "T1GD": "t1ce", "T2": "t2", "FLAIR": "flair"}
LONGITUDINAL = {"T1": "T1W", "T2": "T2W", "FLAIR": "FLAIR"}
MNI = "N4_noneck_reduced_winsor_regtoFLAIR_brain_N4_regtoMNI"
GOLD = "GOLD_STANDARD_N4_noneck_reduced_winsor_regtoFLAIR_regtoMNI.nii.gz"


def _brats(folder: str, ending: str) -> tuple[dict[str, str], str]:
    name = folder.rsplit("/", 1)[-1]
    return {m: f"{folder}/{name}_{word}{ending}" for m, word in BRATS.items()}, f"{folder}/{name}_seg{ending}"


def _adni(subject: str, day: str, t1: str, dual: str) -> tuple[dict[str, str], None]:
    stem = f"ADNI/{subject}/Axial_PD_T2_FSE/{day}_12_43_11.0/{dual}/Axial_PD_T2_FSE_{day.replace('-', '')}124311_3"
    files = {"T2": f"{stem}_e2.nii.gz", "PD": f"{stem}_e1.nii.gz"}
    folder = f"ADNI/{subject}/MP-RAGE/{day}_12_31_52.0/{t1}"
    return {"T1": f"{folder}/ADNI_{subject}_MR_MP-RAGE_br_raw_{day.replace('-', '')}13322_1_S1_{t1}.nii"} | files, None


def _isles(subject: str, top: str) -> tuple[dict[str, str], str]:
    stem = f"{top}/{subject}/ses-0001"
    files = {"FLAIR": f"{stem}/anat/{subject}_ses-0001_FLAIR.nii.gz"}
    files |= {m: f"{stem}/dwi/{subject}_ses-0001_{m.lower()}.nii.gz" for m in ("DWI", "ADC")}
    return files, f"{top}/derivatives/{subject}/ses-0001/{subject}_ses-0001_msk.nii.gz"


def _isles_raw(subject: str) -> tuple[dict[str, str], str]:
    stem = f"{subject}/ses-0001/{subject}_ses-0001"
    files = {m: f"dataset/rawdata/{stem}_{m.lower()}.nii.gz" for m in ("FLAIR", "DWI", "ADC")}
    return files, f"dataset/derivatives/{stem}_msk.nii.gz"


def _ixi(person: str) -> tuple[dict[str, str], None]:
    return {m: f"IXI-{m}/{person}-{m}.nii.gz" for m in ("T1", "T2", "PD")}, None


def _open_ms(patient: str, below: str = "cross_sectional/MNI/") -> tuple[dict[str, str], str]:
    folder = f"{below}{patient}"
    return {m: f"{folder}/{m}_{MNI}.nii.gz" for m in ("T1", "T1POST", "T2", "FLAIR")}, f"{folder}/{GOLD}"


def _study(patient: str, study: int, below: str) -> tuple[dict[str, str], None]:
    return {m: f"{below}{patient}/study{study}_{word}.nii.gz" for m, word in LONGITUDINAL.items()}, None


def _with(stem: str, words: dict[str, str], label: str | None = None) -> tuple[dict[str, str], str | None]:
    return {m: f"{stem}{word}.nii.gz" for m, word in words.items()}, label


GLI = "ASNR-MICCAI-BraTS2023-GLI-Challenge-TrainingData/BraTS-GLI-00002-000/BraTS-GLI-00002-000-"
UPENN, UCSF = (
    "images_structural/UPENN-GBM-00001_11/UPENN-GBM-00001_11_",
    "UCSF-PDGM-v5/UCSF-PDGM-0004_nifti/UCSF-PDGM-0004_",
)
FOUR, BRATS23 = ("T1", "T1GD", "T2", "FLAIR"), ("t1n", "t1c", "t2w", "t2f")

# card, orientation of the files, the value of its lesions, scans by name
WILD = {
    "brats2019": (
        "brats2019",
        "LPS",
        4,
        {
            "BraTS19_2013_2_1": _brats("MICCAI_BraTS_2019_Data_Training/HGG/BraTS19_2013_2_1", ".nii.gz"),
            "BraTS19_TCIA13_653_1": _brats("MICCAI_BraTS_2019_Data_Training/LGG/BraTS19_TCIA13_653_1", ".nii.gz"),
        },
    ),
    "brats2019, unpacked": ("brats2019", "LPS", 2, {"BraTS19_CBICA_AAB_1": _brats("HGG/BraTS19_CBICA_AAB_1", ".nii")}),
    "brats2021": (
        "brats2021",
        "LPS",
        1,
        {f"BraTS2021_{i:05d}": _brats(f"BraTS2021_{i:05d}", ".nii.gz") for i in (0, 2, 1666)},
    ),
    "brats2023": (
        "brats2023",
        "LPS",
        3,
        {"BraTS-GLI-00002_000": _with(GLI, dict(zip(FOUR, BRATS23, strict=True)), f"{GLI}seg.nii.gz")},
    ),
    "upenn-gbm": (
        "upenn-gbm",
        "LPS",
        4,
        {"UPENN-GBM-00001_11": _with(UPENN, {m: m for m in FOUR}, "images_segm/UPENN-GBM-00001_11_segm.nii.gz")},
    ),
    "ucsf-pdgm": (
        "ucsf-pdgm",
        "LPS",
        4,
        {"UCSF-PDGM-0004": _with(UCSF, {m: m for m in FOUR} | {"T1GD": "T1c"}, f"{UCSF}tumor_segmentation.nii.gz")},
    ),
    "msd-task01, four volumes in one file": (
        "msd-task01",
        "LPS",
        3,
        {
            "BRATS_003": _with(
                "Task01_BrainTumour/imagesTr/BRATS_003",
                dict.fromkeys(FOUR, ""),
                "Task01_BrainTumour/labelsTr/BRATS_003.nii.gz",
            )
        },
    ),
    "cermep-idb-mrxfdg": (
        "cermep-idb-mrxfdg",
        "RAS",
        None,
        {
            "sub-0002": _with(
                "sub-0002/",
                {
                    "T1": "anat/sub-0002_T1w",
                    "FLAIR": "anat/sub-0002_FLAIR",
                    "CT": "ct/sub-0002_ct",
                    "PET": "pet/sub-0002_pet",
                },
            )
        },
    ),
    "adni": (
        "adni",
        "PIR",
        None,
        {
            "002_S_0413_2006-05-02": _adni("002_S_0413", "2006-05-02", "I13893", "I13895"),
            "002_S_0413_2006-11-15": _adni("002_S_0413", "2006-11-15", "I29703", "I29704"),
            "023_S_0030_2005-09-12": _adni("023_S_0030", "2005-09-12", "S9192", "S9193"),
        },
    ),
    "isles2022": (
        "isles2022",
        "LAS",
        1,
        {f"sub-strokecase{i:04d}": _isles(f"sub-strokecase{i:04d}", "ISLES-2022") for i in (1, 2)},
    ),
    "isles2022, rawdata": ("isles2022", "LAS", 1, {"sub-strokecase0106": _isles_raw("sub-strokecase0106")}),
    "ixi": ("ixi", "PSR", None, {p: _ixi(p) for p in ("IXI002-Guys-0828", "IXI012-HH-1211", "IXI035-IOP-0873")}),
    "open-ms": ("open-ms", "LAS", 1, {p: _open_ms(p) for p in ("patient07", "patient26")}),
    "open-ms-longitudinal": (
        "open-ms-longitudinal",
        "LPS",
        None,
        {
            "patient01_study1": _study("patient01", 1, "longitudinal/raw/"),
            "patient01_study2": _study("patient01", 2, "longitudinal/raw/"),
            "patient16_study2": _study("patient16", 2, "longitudinal/raw/"),
        },
    ),
    "open-ms-longitudinal, excerpt": (
        "open-ms-longitudinal",
        "LPS",
        None,
        {"patient03_study2": _study("patient03", 2, "longitudinal_raw/")},
    ),
}


@pytest.fixture
def lay_out(tmp_path: Path, head: Callable, write_scan: Callable) -> Callable[..., Path]:
    """Write the files of a layout, and beside them what other tools leave there."""

    def write(wild: str) -> Path:
        card, codes, lesion, scans = WILD[wild]
        root = tmp_path / "Daten von früher"
        for seed, (files, label) in enumerate(scans.values()):
            channels = load_card(card).layouts[0].channels
            for i, (modality, path) in enumerate(files.items()):
                image = head(10 * seed + i)
                if channels:  # a volume of the one file
                    order = sorted(channels, key=channels.get)
                    image = np.stack([head(10 * seed + list(files).index(m)) for m in order], axis=-1)
                elif modality == "CT":
                    image = np.where(image > 0, 40 + image / 10, -1000.0).astype(np.float32)
                write_scan(root / path, image, codes)
                (root / path).with_suffix("").with_suffix(".json").write_text("{}")
            if label:
                patch = np.zeros_like(head(0))
                patch[15:17, 18:20, 7:11] = lesion
                write_scan(root / label, patch, codes)
        (root / "README.txt").write_text("not an image")
        return root

    return write


def _prepare(wild: str, root: Path, out: Path) -> PrepareReport:
    """Prepare on a grid of the images' own 8 mm."""
    card = load_card(WILD[wild][0])
    return prepare(card, out, root, "full", size=int(card.preprocessing.field_of_view_mm / 8))


@pytest.mark.parametrize("wild", WILD)
def test_every_layout_in_the_wild_is_found_and_read(
    wild: str, lay_out: Callable, head: Callable, tmp_path: Path
) -> None:
    _, _, lesion, scans = WILD[wild]
    root = lay_out(wild)
    report = _prepare(wild, root, tmp_path / "store")
    store = SliceStore.open(tmp_path / "store", verify=True)
    absent = {s.subject for s in report.skipped}
    assert set(store.manifest["subjects"]) == set(scans) and not absent & set(scans)
    for seed, (name, (files, _)) in enumerate(scans.items()):
        record = store.manifest["subjects"][name]
        assert {m: i["file"] for m, i in record["inputs"].items()} == files
        split = store.split(record["split"])
        rows = split.rows(name)
        first = store.spec.names[0]
        expected = head(10 * seed + list(files).index(first))
        high = record["normalisation"][first]["high"]
        whole = np.minimum(expected / high, 1).sum(axis=(0, 1))[record["geometry"]["planes"]]
        np.testing.assert_allclose(np.asarray(split.images[rows, 0], np.float64).sum(axis=(1, 2)), whole, rtol=2e-3)
        if lesion:
            assert set(np.unique(split.labels[rows])) == {0, lesion} and record["labels_ml"]
            _, _, row, column = np.argwhere(split.labels[rows] == lesion).mean(axis=0)
            assert row < store.size / 2 - 3 and column < store.size / 2 - 2  # anterior, on the right


def test_sessions_of_a_person_share_a_split(lay_out: Callable, tmp_path: Path) -> None:
    _prepare("adni", lay_out("adni"), tmp_path / "store")
    records = SliceStore.open(tmp_path / "store").manifest["subjects"]
    fractions = load_card("adni").profile("full").fractions
    for record in records.values():
        assert record["split"] == fractions.split(record["subject"])
    assert records["002_S_0413_2006-05-02"]["subject"] == records["002_S_0413_2006-11-15"]["subject"] == "002_S_0413"


def test_a_split_by_hash_does_not_depend_on_who_else_is_there() -> None:
    profile = load_card("brats2021").profile("full")
    names = [f"BraTS2021_{i:05d}" for i in range(1251)]
    everybody, few = dict(profile.subjects(names)), dict(profile.subjects(names[5:50][::-1]))
    assert few == {name: everybody[name] for name in names[5:50]}
    counts = {split: list(everybody.values()).count(split) for split in ("train", "val", "test")}
    assert abs(counts["test"] - 50) < 20 and abs(counts["val"] - 25) < 15 and sum(counts.values()) == 1251
    ci = load_card("brats2021").profile("ci").subjects(names)
    assert [list(dict(ci).values()).count(split) for split in ("train", "val", "test")] == [8, 1, 3]


def test_a_person_without_a_modality_is_named_with_the_missing_file(lay_out: Callable, tmp_path: Path) -> None:
    root = lay_out("ixi")
    (root / "IXI-PD" / "IXI012-HH-1211-PD.nii.gz").unlink()
    (skipped,) = _prepare("ixi", root, tmp_path / "store").skipped
    assert skipped.subject == "IXI012-HH-1211"
    assert skipped.reason == "missing PD: there is no file IXI-PD/IXI012-HH-1211-PD.nii.gz"


def test_files_without_gz_are_taken_and_one_scan_in_two_splits_is_refused(open_ms: Callable, tmp_path: Path) -> None:
    root = open_ms()
    packed = root / "patient07" / "T2.nii.gz"
    packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    report = prepare("open-ms", tmp_path / "store", root, "ci", size=24)
    assert report.rows["train"] and report.rows["test"] and not report.skipped
    (root / "patient26" / "T1.nii.gz").write_bytes((root / "patient07" / "T1.nii.gz").read_bytes())
    same = "patient26/T1.nii.gz of patient26 .test. is the same file as one of patient07 .train."
    with pytest.raises(InputError, match=same):
        prepare("open-ms", tmp_path / "other", root, "ci", size=24)


def test_two_files_for_one_place_are_named(lay_out: Callable, tmp_path: Path) -> None:
    root = lay_out("adni")
    folder = root / "ADNI/023_S_0030/MP-RAGE/2005-09-12_12_31_52.0/S9192"
    (folder / "corrected.nii").write_bytes(next(folder.glob("*.nii")).read_bytes())
    (skipped,) = _prepare("adni", root, tmp_path / "store").skipped
    assert skipped.subject == "023_S_0030_2005-09-12" and "2 files match" in skipped.reason
    assert "corrected.nii" in skipped.reason and "_S9192.nii" in skipped.reason


def test_a_scan_without_label_map_is_kept_as_not_labelled(lay_out: Callable, tmp_path: Path) -> None:
    root = lay_out("isles2022")
    (root / "ISLES-2022/derivatives/sub-strokecase0002/ses-0001/sub-strokecase0002_ses-0001_msk.nii.gz").unlink()
    _prepare("isles2022", root, tmp_path / "store")
    store = SliceStore.open(tmp_path / "store")
    split = store.split(store.manifest["subjects"]["sub-strokecase0002"]["split"])
    assert (split.labels[split.rows("sub-strokecase0002")] == UNKNOWN).all()


def test_unknown_labels_and_labels_on_another_grid_are_reasons(
    lay_out: Callable, write_scan: Callable, head: Callable, tmp_path: Path
) -> None:
    root, patch = lay_out("brats2019"), np.zeros_like(head(0))
    patch[10:12, 10:12, 8] = 3
    folder = root / "MICCAI_BraTS_2019_Data_Training/HGG/BraTS19_2013_2_1"
    write_scan(folder / "BraTS19_2013_2_1_seg.nii.gz", patch)
    (skipped,) = _prepare("brats2019", root, tmp_path / "one").skipped
    assert skipped.reason.endswith("holds the label 3; the card explains 0, 1, 2, 4 for tumour.")
    write_volume(folder / "BraTS19_2013_2_1_seg.nii.gz", (patch > 0)[:, :, 1:], np.diag([8.0, 8, 8, 1]))
    (skipped,) = _prepare("brats2019", root, tmp_path / "two").skipped
    assert "BraTS19_2013_2_1_seg.nii.gz has shape" in skipped.reason


def test_kspace_is_not_prepared(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="M4Raw is k-space, which `a2a complete` reads and nothing prepares"):
        prepare("m4raw", tmp_path / "store", tmp_path, "full")


def test_private_data_are_refused_with_what_to_take_instead(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is private and cannot be prepared; take phantom-any2all instead"):
        prepare("wustl-pet-mr-ct", tmp_path / "store", tmp_path, "full")
    assert list(tmp_path.iterdir()) == []
