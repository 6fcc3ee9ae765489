"""Residual misregistration, early PET, and the floors of prediction."""

import numpy as np
import pytest

from a2a.common.errors import InputError
from a2a.data.phantom import PhantomConfig, floor, generate_subject, stack_slices
from a2a.data.phantom.fields import Stream, stream
from a2a.data.phantom.grid import Grid
from a2a.data.phantom.motion import CENTRE, Motion
from a2a.data.phantom.tissue import INDEX

PET_SCALE = 2.468


@pytest.fixture(scope="module")
def subject():
    return generate_subject(PhantomConfig(), 205)


def centroid(volume: np.ndarray, grid: Grid) -> np.ndarray:
    """Centre of mass in world coordinates."""
    index = [float((volume * i).sum(dtype=float) / volume.sum(dtype=float)) for i in np.indices(volume.shape)]
    return (grid.affine @ [*index, 1])[:3]


def test_a_motion_moves_what_a_volume_shows():
    grid = Grid(64, 4.0, -40.0, 76.0)
    z, y, x = np.meshgrid(*grid.axes, indexing="ij")
    where = np.array([30.0, 20.0, 30.0])
    blob = np.exp(-((x - where[0]) ** 2 + (y - where[1]) ** 2 + (z - where[2]) ** 2) / 200).astype(np.float32)
    motion = Motion((3.0, -2.0, 1.5), (4.0, -3.0, 5.0))
    expected = (motion.matrix @ [*where, 1])[:3]
    assert np.linalg.norm(expected - where) > 2
    np.testing.assert_allclose(centroid(motion.apply(blob, grid), grid), expected, atol=0.05)
    np.testing.assert_allclose(motion.matrix[:3, :3] @ motion.matrix[:3, :3].T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(motion.matrix @ [*CENTRE, 1] - [*CENTRE, 1], [3.0, -2.0, 1.5, 0], atol=1e-12)
    np.testing.assert_allclose(Motion((0, 0, 0), (0, 0, 0)).apply(blob, grid), blob, atol=1e-6)


def test_motions_have_the_stated_spread():
    drawn = [Motion.draw(stream(0, i, Stream.POSITION + 1)) for i in range(500)]
    assert np.std([m.shift for m in drawn]) == pytest.approx(0.4, rel=0.05)
    assert np.std([m.turn for m in drawn]) == pytest.approx(0.4, rel=0.05)


def test_misregistration_moves_all_but_the_first_modality(subject):
    moved = generate_subject(PhantomConfig(misregistration=True), 205)
    np.testing.assert_array_equal(moved.images["T1"], subject.images["T1"])
    np.testing.assert_array_equal(moved.labels, subject.labels)
    for name in ("T2FLAIR", "T2star", "CT", "PET"):
        change = np.abs(moved.images[name] - subject.images[name]).mean() / subject.images[name].std()
        assert 0.005 < change < 0.2
    alone = generate_subject(PhantomConfig(misregistration=True, modalities=("CT",)), 205)
    np.testing.assert_array_equal(alone.images["CT"], moved.images["CT"])


def test_early_pet_looks_like_perfusion(subject):
    early = generate_subject(PhantomConfig(pet_phase="early", keep_fractions=True), 205)
    cortex, white = (early.fractions[INDEX[n]] > 0.9 for n in ("cgm", "wm"))

    def ratio(image: np.ndarray) -> float:
        return image[cortex].mean() / image[white].mean()

    assert ratio(early.images["PET"]) > 1.05 > 0.9 > ratio(subject.images["PET"])
    for name in ("T1", "CT"):
        np.testing.assert_array_equal(early.images[name], subject.images[name])


def test_noise_floor_is_that_of_the_noise(subject):
    found = floor(PhantomConfig(), 205, PET_SCALE, draws=4)
    np.testing.assert_array_equal(found.truth, stack_slices(subject, 12, PET_SCALE))
    assert found.draws.shape == (4, 12, 5, 64, 64) and found.names == tuple(subject.images)
    sample, mean = found.sample_psnr, found.mean_psnr
    assert all(0 < mean[name] - sample[name] <= 3.01 for name in found.names)
    expected = -20 * np.log10(4.0 * np.sqrt(2) / 2600)  # CT noise of 4 HU on both sides
    assert sample["CT"] == pytest.approx(expected, abs=2.0)
    assert 25 < sample["T2FLAIR"] < 45
    again = floor(PhantomConfig(modalities=("CT",)), 205, PET_SCALE, draws=4)
    np.testing.assert_array_equal(again.draws[:, :, 0], found.draws[:, :, 3])


def test_amyloid_that_nobody_knows_costs_more_than_noise():
    noise = floor(PhantomConfig(modalities=("PET",)), 205, PET_SCALE, draws=6)
    amyloid = floor(PhantomConfig(), 205, PET_SCALE, unknown="amyloid", draws=6)
    assert amyloid.names == ("PET",)
    assert amyloid.sample_psnr["PET"] < noise.sample_psnr["PET"] - 3
    level = amyloid.draws.mean(axis=(1, 2, 3, 4))
    assert level.std() / level.mean() > 0.03


@pytest.mark.parametrize(
    ("preset", "settings", "words"),
    [
        ("adni", {"unknown": "amyloid"}, "Preset adni has no PET"),
        ("any2all", {"draws": 0}, "draws must be 1 or more"),
    ],
)
def test_floors_that_cannot_be(preset, settings, words):
    with pytest.raises(InputError, match=words):
        floor(PhantomConfig(preset=preset), 0, PET_SCALE, **settings)
