"""One grid for all series: interpolation, mutual information, masks; and with ANTsPy the registration itself."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy.spatial.transform import Rotation

from a2a.common.errors import InputError
from a2a.data.cards.card import find_card
from a2a.data.phantom import PhantomConfig
from a2a.data.phantom.volumes import write_volumes
from a2a.data.prepare.prepare import prepare
from a2a.data.store.read import SliceStore
from a2a.data.volumes.aligned import align_series
from a2a.data.volumes.foreground import drop_unseen_planes, find_head
from a2a.data.volumes.nifti import Volume, read_volume, to_ras, write_volume
from a2a.data.volumes.overlays import overlay_png
from a2a.data.volumes.quality import noise_level
from a2a.data.volumes.registration import align, antspy_version, mutual_information, resample

needs_antspy = pytest.mark.skipif(antspy_version() is None, reason="needs ANTsPy: pip install antspyx")


def _volume(data: np.ndarray, spacing: tuple[float, float, float] = (1, 1, 1), origin: float = 0.0) -> Volume:
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = origin
    return Volume(np.asarray(data, np.float32), affine)


@pytest.fixture
def noise() -> np.ndarray:
    """Random voxels."""
    return np.random.default_rng(0).random((9, 8, 7), dtype=np.float32)


def test_resampling_on_the_same_grid_copies(noise: np.ndarray) -> None:
    data, inside = resample(_volume(noise), _volume(np.zeros_like(noise)))
    np.testing.assert_array_equal(data, noise)
    assert inside.all()


def test_a_shift_by_whole_voxels_moves_the_image_the_right_way(noise: np.ndarray) -> None:
    matrix = np.eye(4)
    matrix[:3, 3] = 2, 0, -1  # what lies at x in the reference lies at x + shift in the series
    data, inside = resample(_volume(noise), _volume(np.zeros_like(noise)), matrix)
    np.testing.assert_allclose(data[:-2, :, 1:], noise[2:, :, :-1], atol=1e-6)
    assert not inside[-2:].any() and not inside[:, :, 0].any() and inside[:-2, :, 1:].all()
    assert (data[~inside] == 0).all()


def test_a_linear_field_is_interpolated_exactly_on_a_turned_grid() -> None:
    def field(points: np.ndarray) -> np.ndarray:
        return 5 + 0.3 * points[..., 0] - 0.2 * points[..., 1] + 0.1 * points[..., 2]

    def points(volume: Volume) -> np.ndarray:
        return np.moveaxis(np.indices(volume.data.shape), 0, -1) @ volume.affine[:3, :3].T + volume.affine[:3, 3]

    series = _volume(np.zeros((20, 22, 12)), (1.1, 0.9, 2.0), -10)
    series = Volume(field(points(series)).astype(np.float32), series.affine)
    like = _volume(np.zeros((8, 8, 8)), (1.0, 1.0, 1.0), -4)
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", (5, -4, 8), degrees=True).as_matrix()
    matrix[:3, 3] = 0.5, -0.7, 1.0
    data, inside = resample(series, like, matrix)
    np.testing.assert_allclose(data, field(points(like) @ matrix[:3, :3].T + matrix[:3, 3]), atol=1e-4)
    assert inside.all()


def test_outside_is_zero_or_the_air_of_a_ct(noise):
    aside = np.eye(4)
    aside[0, 3] = 3
    for volume, air in ((_volume(noise + 1), 0), (_volume(noise - 1000), noise.min() - 1000)):
        data, inside = resample(volume, volume, aside)
        assert not inside[-3:].any() and inside[:-3].all()
        np.testing.assert_allclose(data[-3:], air)


def test_labels_take_the_nearest_voxel() -> None:
    labels = np.zeros((6, 6, 6))
    labels[2:4, 2:4, 2:4] = 4
    data, _ = resample(_volume(labels), _volume(np.zeros((12, 12, 12)), (0.5, 0.5, 0.5), -0.25), order=0)
    assert set(np.unique(data)) == {0, 4} and (data == 4).sum() == 8 * 8


def test_mutual_information_of_equal_and_of_unrelated_images() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.random(200_000), rng.random(200_000)
    entropy = mutual_information(a, a)
    assert entropy == pytest.approx(np.log(64), abs=0.02)
    assert mutual_information(a, 1 - 2 * a) == pytest.approx(entropy, abs=1e-6)
    assert mutual_information(a, b) < 0.02
    assert mutual_information(a, np.zeros_like(a)) == pytest.approx(0, abs=1e-12)


def test_the_head_is_found_without_its_background_and_without_holes() -> None:
    i, j, k = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in (40, 44, 20)), indexing="ij")
    inside = (i / 15) ** 2 + (j / 18) ** 2 + (k / 14) ** 2 < 1
    sinus = (i / 4) ** 2 + ((j - 8) / 3) ** 2 + (k / 3) ** 2 < 1
    rng = np.random.default_rng(2)
    data = np.abs(rng.normal(0, 4, inside.shape)) + np.where(inside & ~sinus, 100 + 60 * rng.random(inside.shape), 0)
    head = find_head(_volume(data))
    assert (head & inside).sum() > 0.97 * inside.sum() and (head & ~inside).sum() < 0.02 * inside.sum()
    assert head[sinus].all()
    with pytest.raises(InputError, match="shows no head"):
        find_head(_volume(np.where(np.indices((8, 8, 8)).sum(axis=0) == 0, 1.0, 0.0)))


def test_planes_that_a_series_did_not_see_are_dropped() -> None:
    foreground = np.zeros((10, 10, 6), bool)
    foreground[2:8, 2:8, 1:6] = True
    seen = np.ones_like(foreground)
    seen[:, :, 5] = False
    seen[2, 2, 4] = False  # 1 of 36 voxels: more than 1 %
    left, dropped = drop_unseen_planes(foreground, [seen, np.ones_like(seen)])
    assert left.any(axis=(0, 1)).tolist() == [False, True, True, True, False, False] and dropped == 2
    assert (left[:, :, 1:4] == foreground[:, :, 1:4]).all()


def test_the_noise_level_is_that_of_the_noise_and_ignores_slopes() -> None:
    rng = np.random.default_rng(3)
    slope = np.indices((60, 60, 10)).sum(axis=0) * 0.7
    found = noise_level(slope + rng.normal(0, 0.05, slope.shape), np.ones(slope.shape, bool))
    assert found == pytest.approx(0.05, rel=0.03)


def test_the_overlay_is_a_picture_of_both_states(noise: np.ndarray) -> None:
    data = np.kron(noise, np.ones((6, 6, 1), np.float32))
    png = overlay_png("a subject", ("T1", data), {"T2": (data, data[::-1])}, (1.0, 1.0), tuple(range(7)))
    assert png.startswith(b"\x89PNG") and png == overlay_png(
        "a subject", ("T1", data), {"T2": (data, data[::-1])}, (1.0, 1.0), tuple(range(7))
    )


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One phantom subject as NIfTI."""
    (folder,) = write_volumes(PhantomConfig(size=64, dz=4.0), [7], tmp_path_factory.mktemp("phantom") / "out")
    return folder


MOVEMENT = np.eye(4)
MOVEMENT[:3, :3] = Rotation.from_euler("xyz", (5, -4, 6), degrees=True).as_matrix()
MOVEMENT[:3, 3] = 6, -5, 4


def _moved(volume: Volume) -> Volume:
    """The head after MOVEMENT, on a grid of other voxels."""
    shape = tuple(int(n * s / 3) for n, s in zip(volume.data.shape, volume.spacing, strict=True))
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    affine[:3, 3] = volume.affine[:3, 3]
    data, inside = resample(volume, Volume(np.zeros(shape, np.float32), affine), np.linalg.inv(MOVEMENT))
    return Volume(np.where(inside, data, volume.data.min()), affine)


@needs_antspy
@pytest.mark.parametrize("series", ["T2FLAIR", "CT", "PET"])
def test_a_known_movement_is_found_to_half_a_voxel(series: str, phantom: Path) -> None:
    reference = read_volume(phantom / "T1.nii.gz")
    found = align(reference, _moved(read_volume(phantom / f"{series}.nii.gz")))
    voxels = np.argwhere(find_head(reference))
    points = np.c_[voxels, np.ones(len(voxels))] @ reference.affine.T
    error = np.linalg.norm((points @ (found.matrix - MOVEMENT).T)[:, :3], axis=1)
    assert error.mean() < 0.5 * min(reference.spacing)
    assert found.information_after > found.information_before
    np.testing.assert_allclose(found.matrix[:3, :3] @ found.matrix[:3, :3].T, np.eye(3), atol=1e-7)


@needs_antspy
def test_the_registration_is_repeatable_to_the_bit(phantom: Path) -> None:
    reference, other = read_volume(phantom / "T1.nii.gz"), _moved(read_volume(phantom / "T2star.nii.gz"))
    np.testing.assert_array_equal(align(reference, other).matrix, align(reference, other).matrix)


@needs_antspy
def test_a_series_of_less_than_half_of_the_head_is_refused(phantom: Path) -> None:
    reference, other = (to_ras(read_volume(phantom / f"{name}.nii.gz")) for name in ("T1", "T2FLAIR"))
    few = Volume(other.data[:, :, 20:32], other.affine @ _shift(20), Path("few.nii"))
    with pytest.raises(InputError, match=r"few.nii: it covers \d\d% of what .* shows, and half is needed"):
        align_series({"T1": reference, "T2FLAIR": few}, "T1", "rigid")


def _shift(planes: int) -> np.ndarray:
    """Let an affine begin some planes later."""
    found = np.eye(4)
    found[2, 3] = planes
    return found


@pytest.mark.long
@needs_antspy
def test_moved_series_go_through_prepare_and_are_shown(phantom: Path, tmp_path: Path, write_scan: Callable) -> None:
    content = yaml.safe_load(find_card("open-ms-longitudinal").read_text(encoding="utf-8"))
    content["profiles"] = {"ci": {"train": ["patient01"], "test": ["patient03"]}}
    card = tmp_path / "card.yaml"
    card.write_text(yaml.safe_dump(content))
    names = {"T1W": "T1", "T2W": "T2star", "FLAIR": "T2FLAIR"}
    for patient, series in (("patient01", names), ("patient03", names)):
        for word, name in series.items():
            volume = read_volume(phantom / f"{name}.nii.gz")
            volume = _moved(volume) if (patient, word) == ("patient03", "FLAIR") else volume
            bright = 1.0 if patient == "patient01" else 1.001  # no file is in both splits
            path = tmp_path / "data" / patient / f"study1_{word}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_volume(path, bright * volume.data, volume.affine)
    prepare(card, tmp_path / "one", tmp_path / "data")
    prepare(card, tmp_path / "two", tmp_path / "data", workers=2)
    files = [
        {p.relative_to(f): p.read_bytes() for p in f.rglob("*") if p.is_file()}
        for f in (tmp_path / "one", tmp_path / "two")
    ]
    assert files[0] == files[1]
    store = SliceStore.open(tmp_path / "one")
    moved, still = (store.manifest["subjects"][f"patient{n}_study1"] for n in ("03", "01"))
    assert list(moved["transforms"]) == ["FLAIR"] and not still["transforms"]
    assert json.loads(json.dumps(moved["transforms"]["FLAIR"]))["mutual_information_after"] > 0
    assert [p.name for p in (store.path / "overlays").iterdir()] == ["patient03_study1.png"]
    assert 'src="overlays/patient03_study1.png"' in (store.path / "report.html").read_text(encoding="utf-8")
    same = sorted(set(moved["geometry"]["planes"]) & set(still["geometry"]["planes"]))
    pair = [
        split.images[[record["geometry"]["planes"].index(p) for p in same], 2].astype(np.float32)
        for split, record in ((store.split("test"), moved), (store.split("train"), still))
    ]
    assert np.corrcoef(pair[0].ravel(), pair[1].ravel())[0, 1] > 0.97
