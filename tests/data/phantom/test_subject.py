"""Whole subjects: determinism, geometry, files, refusals."""

import hashlib
import os
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from pydantic import ValidationError
from scipy.ndimage import binary_dilation

from a2a.common.errors import InputError
from a2a.data.phantom import PhantomConfig, generate_subject, stack_slices
from a2a.data.phantom.acquisition import pool
from a2a.data.phantom.config import PRESETS
from a2a.data.phantom.fields import Stream, stream
from a2a.data.phantom.latents import draw_latents
from a2a.data.phantom.lesions import draw_bleeds
from a2a.data.phantom.tissue import INDEX

SLAB = {"z_lo": 0.0, "z_hi": 32.0, "keep_clean": True, "keep_fractions": True}
HASH = """
import hashlib
from a2a.data.phantom import PhantomConfig, generate_subject
s = generate_subject(PhantomConfig(z_lo=0.0, z_hi=32.0, keep_clean=True, keep_fractions=True), 3)
print(hashlib.sha256(b"".join(v.tobytes() for v in s.images.values())).hexdigest())
"""


@pytest.fixture(scope="module")
def subject():
    return generate_subject(PhantomConfig(**SLAB), 3)


@pytest.fixture(scope="module")
def whole():
    return generate_subject(PhantomConfig(keep_fractions=True), 0)


def digest(subject) -> str:
    return hashlib.sha256(b"".join(v.tobytes() for v in subject.images.values())).hexdigest()


def test_same_subject_after_others_and_in_another_process(subject):
    generate_subject(PhantomConfig(**SLAB), 9)
    assert digest(generate_subject(PhantomConfig(**SLAB), 3)) == digest(subject)
    environment = os.environ | {"PYTHONHASHSEED": "5", "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    child = subprocess.run([sys.executable, "-c", HASH], env=environment, capture_output=True, text=True, check=True)
    assert child.stdout.strip() == digest(subject)


def test_subjects_and_seeds_differ(subject):
    others = [generate_subject(PhantomConfig(**SLAB), 4), generate_subject(PhantomConfig(**SLAB, dataset_seed=1), 3)]
    for other in others:
        assert all(np.abs(other.images[n] - subject.images[n]).mean() > 1e-4 for n in subject.images)


@pytest.mark.parametrize("names", [("PET",), ("CT", "T2star"), ("T2FLAIR", "T1")])
def test_other_modalities_change_nothing(subject, names):
    fewer = generate_subject(PhantomConfig(**SLAB, modalities=names), 3)
    assert set(fewer.images) == set(names)
    assert [n for n in subject.images if n in names] == list(fewer.images)
    for name in names:
        np.testing.assert_array_equal(fewer.images[name], subject.images[name])


def test_number_of_slices_changes_nothing(whole):
    np.testing.assert_array_equal(stack_slices(whole, 23, 2.5)[::2], stack_slices(whole, 12, 2.5))


def test_lesions_leave_the_rest_alone(subject):
    healthy = generate_subject(PhantomConfig(**SLAB, lesions=False), 3)
    classes = [INDEX[n] for n in ("wmh", "bleed", "calc")]
    assert healthy.fractions[classes].max() == 0
    assert subject.fractions[INDEX["wmh"]].max() > 0.5
    apart = subject.fractions[classes].sum(axis=0) == 0
    assert 0.5 < apart.mean() < 1
    np.testing.assert_array_equal(healthy.fractions[:, apart], subject.fractions[:, apart])
    np.testing.assert_array_equal(healthy.brain_mask, subject.brain_mask)
    far = ~binary_dilation(~apart, iterations=4)
    np.testing.assert_allclose(healthy.images["CT"][far], subject.images["CT"][far], atol=1e-3)


def test_same_anatomy_at_both_resolutions(subject):
    fine = generate_subject(PhantomConfig(**SLAB | {"size": 128}), 3)
    np.testing.assert_array_equal(pool(fine.clean["CT"], 64), subject.clean["CT"])
    np.testing.assert_array_equal(pool(fine.fractions, 64), subject.fractions)
    for name in ("T1", "T2FLAIR", "T2star"):
        apart = np.abs(pool(fine.clean[name], 64) - subject.clean[name]).max()
        assert apart < 0.02 * subject.clean[name].max()


def test_finest_grid_shows_the_same_head():
    thin = {"z_lo": 8.0, "z_hi": 16.0, "modalities": ("CT",), "keep_clean": True}
    fine, coarse = (generate_subject(PhantomConfig(**thin, size=n), 2).clean["CT"] for n in (256, 128))
    error = np.abs(pool(fine, 128) - coarse)
    assert error.mean() < 12.0
    assert np.median(error) < 0.5


def test_fractions_and_values_are_physical(subject, whole):
    for s in (subject, whole):
        assert s.fractions.min() >= -1e-6
        np.testing.assert_allclose(s.fractions.sum(axis=0), 1.0, atol=1e-3)
        assert all(v.dtype == np.float32 and np.isfinite(v).all() for v in s.images.values())
        assert all(s.images[n].min() >= 0 for n in ("T1", "T2FLAIR", "T2star", "PET"))
        assert s.images["CT"].min() > -1040
        np.testing.assert_array_equal(s.labels, s.fractions.argmax(axis=0))
    assert whole.labels.dtype == np.uint8
    assert whole.images["T1"].shape == (29, 64, 64) == whole.brain_mask.shape
    assert whole.planes.tolist() == list(range(-40, 76, 4))
    tissue = np.isin(whole.labels, [INDEX[n] for n in ("wm", "cgm", "thal", "cbgm")])
    assert (whole.brain_mask & tissue).sum() > 0.97 * tissue.sum()
    bone = np.isin(whole.labels, [INDEX[n] for n in ("cbone", "diploe", "skin", "air")])
    assert not (whole.brain_mask & bone).any()


def test_affine_reads_as_radiological_display(whole):
    assert nib.aff2axcodes(whole.affine) == ("S", "P", "L")
    corner = whole.affine @ [0, 0, 0, 1]
    np.testing.assert_allclose(corner[:3], [110.25, 102.25, -40.0])
    np.testing.assert_allclose(whole.affine @ [1, 31.5, 31.5, 1], [0, -8, -36, 1])


@pytest.mark.parametrize("side", [1, -1])
def test_bleed_lies_on_its_side(side):
    config = PhantomConfig(modalities=("CT",), keep_fractions=True)
    s = generate_subject(config, next(i for i in range(200) if is_single_bleed(i, side)))
    mass = s.fractions[INDEX["bleed"]].astype(float)
    index = [(mass * grid).sum() / mass.sum() for grid in np.indices(mass.shape)]
    assert (index[2] < 31.5) == (side > 0)
    world = (s.affine @ [*index, 1])[:3]
    assert np.linalg.norm(world - [s.latents[f"bleed0_{k}"] for k in "xyz"]) < 15


def is_single_bleed(subject_id: int, side: int) -> bool:
    """Whether the subject has one large bleed, deep on the given side."""
    count = draw_latents(stream(0, subject_id, Stream.LATENTS), PRESETS["any2all"].age).bleeds
    bleeds = draw_bleeds(stream(0, subject_id, Stream.BLEEDS), count)
    return count == 1 and 15 < side * bleeds[0].x < 40 and bleeds[0].radius > 2 and abs(bleeds[0].y) < 40


def test_front_is_up_and_right_is_left_of_the_picture(whole):
    eyes = np.argwhere(whole.fractions[INDEX["vitr"]] > 0.3)
    cerebellum = np.argwhere(whole.fractions[INDEX["cbgm"]] > 0.5)
    assert eyes[:, 1].max() < 24 < 31 < np.median(cerebellum[:, 1])
    assert cerebellum[:, 0].max() < np.argwhere(whole.fractions[INDEX["caud"]] > 0.5)[:, 0].max()


def test_nifti_round_trip_keeps_world_coordinates(whole, tmp_path):
    marked = whole.images["T1"].copy()
    marked[20, 10, 50] = 99.0
    image = nib.Nifti1Image(marked, whole.affine)
    image.set_sform(whole.affine, code=1)
    image.set_qform(whole.affine, code=1)
    nib.save(image, tmp_path / "t1.nii.gz")
    read = nib.as_closest_canonical(nib.load(tmp_path / "t1.nii.gz"))
    marker = np.unravel_index(read.get_fdata().argmax(), read.shape)
    world = nib.affines.apply_affine(read.affine, marker)
    np.testing.assert_allclose(world, [-(50 - 31.5) * 3.5, -(10 - 31.5) * 3.5 - 8, -40 + 20 * 4], atol=1e-4)
    np.testing.assert_allclose(read.get_qform(), read.get_sform(), atol=1e-5)


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"size": 100}, "size"),
        ({"dz": 0}, "dz"),
        ({"preset": "mouse"}, "preset"),
        ({"dataset_seed": -1}, "dataset_seed"),
        ({"modalities": ("T1", "MRA")}, "MRA"),
        ({"modalities": ()}, "modalities"),
        ({"z_hi": -50.0}, "z_hi"),
        ({"pet_phase": "middle"}, "pet_phase"),
        ({"slices": 3}, "slices"),
    ],
)
def test_bad_configurations_are_refused(bad, field):
    with pytest.raises(ValidationError, match=field):
        PhantomConfig(**bad)


def test_bad_subjects_are_refused():
    with pytest.raises(InputError, match="subject_id"):
        generate_subject(PhantomConfig(), -1)
    with pytest.raises(InputError, match="white matter"):
        generate_subject(PhantomConfig(z_lo=100.0, z_hi=108.0), 0)
