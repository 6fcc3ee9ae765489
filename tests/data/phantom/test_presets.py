"""Presets with lesions: what a reader of BraTS-like, ADNI-like and ISLES-like scans relies on."""

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.ndimage import binary_dilation

from a2a.data.phantom import PhantomConfig, Subject, generate_subject, stack_slices, stack_spec
from a2a.data.phantom.acquisition import ACQUISITIONS
from a2a.data.phantom.config import PRESETS
from a2a.data.phantom.fields import Stream, stream
from a2a.data.phantom.infarct import Spot, draw_infarct
from a2a.data.phantom.latents import draw_latents
from a2a.data.phantom.signal import SEQUENCES, Relaxation
from a2a.data.phantom.site import USUAL, Site
from a2a.data.phantom.tissue import INDEX
from a2a.data.phantom.tumour import draw_tumour

NAMES = [name for name in PRESETS if name != "any2all"]


def made(preset: str, subject_id: int, **changes: object) -> Subject:
    return generate_subject(PhantomConfig(preset=preset, keep_fractions=True, **changes), subject_id)


@pytest.fixture(scope="module")
def brats() -> Subject:
    return made("brats", 6, size=128)


@pytest.fixture(scope="module")
def isles() -> Subject:
    return made("isles", 4, size=128)


@pytest.fixture(scope="module")
def adni() -> Subject:
    return made("adni", 4, size=128)


@pytest.fixture(scope="module")
def subjects(brats, isles, adni) -> dict[str, Subject]:
    hospitals = {"ttg": made("ttg", 6, size=128), "tti": made("tti", 4, size=128)}
    return {"brats": brats, "isles": isles, "adni": adni} | hospitals


def median(subject: Subject, modality: str, name: str) -> float:
    """Median of a modality where a class fills more than 0.9 of a voxel that is shown."""
    shown = subject.brain_mask | (not PRESETS[preset_of(subject)].stripped)
    return float(np.median(subject.images[modality][shown & (subject.fractions[INDEX[name]] > 0.9)]))


def preset_of(subject: Subject) -> str:
    return next(name for name, preset in PRESETS.items() if preset.modalities == tuple(subject.images))


@pytest.mark.parametrize("preset", NAMES)
def test_values_are_physical(subjects, preset):
    subject, kind = subjects[preset], PRESETS[preset]
    assert tuple(subject.images) == kind.modalities
    np.testing.assert_allclose(subject.fractions.sum(axis=0), 1.0, atol=1e-3)
    assert subject.fractions.min() >= -1e-6
    for image in subject.images.values():
        assert image.dtype == np.float32 and np.isfinite(image).all() and image.min() >= 0
        assert image[~subject.brain_mask].any() != kind.stripped
    assert set(np.unique(subject.lesion)) == {0, *kind.lesions.values()}
    for name, value in kind.lesions.items():
        np.testing.assert_array_equal(subject.lesion == value, subject.fractions[INDEX[name]] > 0.5)


@pytest.mark.parametrize(
    ("preset", "modality", "order"),
    [
        ("brats", "T1GD", "et wm cgm csf"),
        ("brats", "T1SE", "wm cgm ncr csf"),
        ("brats", "T2", "csf ncr ed cgm wm gp"),
        ("brats", "T2FLAIR", "ed wm gp csf"),
        ("adni", "T1", "fat wm thal put cgm csf"),
        ("adni", "T2L", "csf wmh cgm wm put gp"),
        ("adni", "PDW", "cgm wm csf"),
        ("isles", "DWI", "inf cgm wm vcsf"),
        ("isles", "ADC", "vcsf cgm wm inf"),
        ("isles", "T2FLAIR", "inf wm gp vcsf"),
    ],
)
def test_tissues_are_ordered_as_on_a_scan(subjects, preset, modality, order):
    seen = [median(subjects[preset], modality, name) for name in order.split()]
    assert seen == sorted(seen, reverse=True)
    assert min(a / b for a, b in zip(seen[:-1], seen[1:], strict=True)) > 1.02


def test_contrast_agent_shows_the_tumour_and_little_else(brats):
    gained = {name: median(brats, "T1GD", name) / median(brats, "T1SE", name) for name in ("et", "wm", "ncr", "ed")}
    white = gained["wm"]
    assert gained["et"] / white > 1.3
    assert all(gained[name] / white < 1.15 for name in ("ncr", "ed"))


def test_a_tumour_with_an_intact_barrier_does_not_enhance():
    quiet = made("brats", 3, size=64)
    assert not quiet.latents["tumour_enhancing"]
    assert (quiet.lesion == 3).sum() > 50
    rim = median(quiet, "T1GD", "et") / median(quiet, "T1GD", "wm")
    assert rim < 1.1


def test_adc_is_quantitative(isles):
    tissue = {"wm": 0.72, "inf": 0.42 + 0.25 * isles.latents["infarct_stage"]}
    for name, value in tissue.items():
        assert median(isles, "ADC", name) == pytest.approx(value, rel=0.15)
    assert isles.images["ADC"].max() <= 4.0


def test_adc_is_the_same_without_the_images_it_comes_from(isles):
    alone = made("isles", 4, size=128, modalities=("ADC",))
    np.testing.assert_array_equal(alone.images["ADC"], isles.images["ADC"])


@pytest.mark.parametrize("preset", NAMES)
def test_other_modalities_change_nothing(subjects, preset):
    last = PRESETS[preset].modalities[-1]
    alone = made(preset, subjects[preset].subject_id, size=128, modalities=(last,))
    assert list(alone.images) == [last]
    np.testing.assert_array_equal(alone.images[last], subjects[preset].images[last])
    np.testing.assert_array_equal(alone.lesion, subjects[preset].lesion)


@pytest.mark.parametrize("preset", ["isles", "adni"])
def test_healthy_tissue_is_the_same_without_lesions(subjects, preset):
    subject = subjects[preset]
    healthy = made(preset, subject.subject_id, size=128, lesions=False)
    lesions = [INDEX[n] for n in ("wmh", "inf", "bleed", "calc")]
    assert not healthy.fractions[lesions].any() and not healthy.lesion.any()
    apart = ~subject.fractions[lesions].any(axis=0)
    np.testing.assert_array_equal(healthy.fractions[:, apart], subject.fractions[:, apart])
    np.testing.assert_array_equal(healthy.brain_mask, subject.brain_mask)
    assert {k: subject.latents[k] for k in healthy.latents} == healthy.latents


def test_a_tumour_pushes_the_brain_but_not_the_skull(brats):
    healthy = made("brats", 6, size=128, lesions=False)
    assert {k: brats.latents[k] for k in healthy.latents} == healthy.latents
    assert (healthy.brain_mask != brats.brain_mask).sum() < 0.005 * brats.brain_mask.sum()
    bone = [s.fractions[[INDEX["cbone"], INDEX["diploe"]]].sum(axis=0) for s in (healthy, brats)]
    np.testing.assert_allclose(bone[0], bone[1], atol=0.15)  # only voxels that are partly brain
    assert np.abs(bone[0] - bone[1]).sum() < 0.003 * bone[0].sum()
    side = np.sign(brats.latents["tumour_x"])
    columns = np.broadcast_to(np.arange(128), brats.brain_mask.shape)
    near = side * (63.5 - columns) > 0
    ventricle = INDEX["vcsf"]
    moved = [[s.fractions[ventricle][half].sum() for s in (healthy, brats)] for half in (near, ~near)]
    assert moved[0][1] < 0.95 * moved[0][0]  # compressed on its own side
    assert abs(moved[1][1] - moved[1][0]) < abs(moved[0][1] - moved[0][0])


@pytest.mark.parametrize(("preset", "purpose"), [("brats", Stream.TUMOUR), ("isles", Stream.INFARCT)])
def test_a_lesion_of_the_right_side_is_on_the_left_of_the_picture(preset, purpose):
    sides = {1.0: None, -1.0: None}
    for i in range(40):
        rng = stream(0, i, purpose)
        if preset == "brats":
            side = float(np.sign(draw_tumour(rng).centre[0]))
        else:
            side = draw_infarct(rng, stream(0, i, Stream.INFARCT_STAGE)).side
        sides[side] = i if sides[side] is None else sides[side]
    for side, i in sides.items():
        lesion = made(preset, i).lesion
        core = np.isin(lesion, (1, 3)) if preset == "brats" else lesion == 1
        assert core.any()
        assert (np.argwhere(core)[:, 2].mean() < 31.5) == (side > 0)


def test_tumours_and_strokes_have_the_stated_distribution():
    tumours = [draw_tumour(stream(0, i, Stream.TUMOUR)) for i in range(400)]
    assert np.mean([t.enhancing for t in tumours]) == pytest.approx(0.85, abs=0.05)
    assert np.mean([t.centre[0] > 0 for t in tumours]) == pytest.approx(0.5, abs=0.07)
    assert np.mean([t.radius for t in tumours]) == pytest.approx(16.0, abs=0.5)
    strokes = [draw_infarct(stream(0, i, Stream.INFARCT), stream(0, i, Stream.INFARCT_STAGE)) for i in range(400)]
    small = [isinstance(s.parts[0], Spot) for s in strokes]
    assert np.mean(small) == pytest.approx(0.5, abs=0.07)
    assert np.mean([len(s.parts) > 1 for s in strokes]) == pytest.approx(0.2, abs=0.06)
    assert {len(s.parts) for s in strokes} == {1, 3, 4, 5, 6}
    assert np.mean([s.stage for s in strokes]) == pytest.approx(0.5, abs=0.05)


def test_flair_turns_bright_later_than_dwi():
    """The mismatch by which the age of a stroke is told (Thomalla et al. 2011)."""
    config = {"size": 64, "dz": 8.0}
    strokes = {i: draw_infarct(stream(0, i, Stream.INFARCT), stream(0, i, Stream.INFARCT_STAGE)) for i in range(60)}
    large = sorted((s.stage, i) for i, s in strokes.items() if not isinstance(s.parts[0], Spot))
    ratios = {}
    for when, (_, i) in (("fresh", large[0]), ("old", large[-1])):
        subject = made("isles", i, **config)
        ratios[when] = [median(subject, m, "inf") / median(subject, m, "wm") for m in ("T2FLAIR", "DWI")]
    assert ratios["fresh"][0] < 1.1 and ratios["fresh"][1] > 1.25
    assert ratios["old"][0] > 1.2 and ratios["old"][1] > 1.25


def test_old_populations_are_older():
    ages = {p: np.mean([made_age(p, i) for i in range(1000)]) for p in PRESETS}
    for preset, age in ages.items():
        assert age == pytest.approx(PRESETS[preset].age[0], abs=1.0)


def made_age(preset: str, subject_id: int) -> float:
    return draw_latents(stream(0, subject_id, Stream.LATENTS), PRESETS[preset].age).age


def test_stacks_are_in_image_units(subjects):
    for preset, subject in subjects.items():
        stack, spec = stack_slices(subject, 4, 1.0), stack_spec(1.0, preset)
        assert stack.shape == (4, len(spec), 128, 128) and spec.names == tuple(subject.images)
        assert 0 <= stack.min() and stack.max() <= 1
    inside = subjects["brats"].images["T2"][subjects["brats"].images["T2"] > 0]
    assert (stack_slices(subjects["brats"], 23, 1.0)[:, 2] == 1).mean() < 0.005
    assert np.percentile(inside, 99.5) > 0


def test_labels_follow_the_image_at_every_resolution(brats):
    coarse = made("brats", 6, size=64)
    blocks = (brats.lesion > 0).reshape(len(brats.planes), 64, 2, 64, 2).mean(axis=(2, 4))
    assert ((blocks > 0.5) == (coarse.lesion > 0)).mean() > 0.995


def test_resolutions_in_between_show_the_same_head(brats):
    fine = made("brats", 6, size=192, z_lo=8.0, z_hi=24.0)
    planes = np.isin(brats.planes, fine.planes)
    volume = [(lesion > 0).sum() * (224 / n) ** 2 for lesion, n in ((brats.lesion[planes], 128), (fine.lesion, 192))]
    assert volume[0] == pytest.approx(volume[1], rel=0.03)
    with pytest.raises(ValidationError, match="preset brats has T1SE, T1GD, T2, T2FLAIR"):
        PhantomConfig(preset="brats", modalities=("CT",))


def test_no_lesion_class_appears_where_the_preset_has_none(adni, subjects):
    assert not adni.fractions[[INDEX[n] for n in ("bleed", "calc", "et", "ed", "ncr", "inf")]].any()
    assert not subjects["brats"].fractions[INDEX["inf"]].any()
    wmh = subjects["isles"].fractions[INDEX["wmh"]] > 0.5
    assert wmh.any() and not (binary_dilation(wmh) & ~subjects["isles"].brain_mask).any()


def test_hospitals_show_the_same_head_in_other_grey_values_and_noise():
    """White matter is 1 everywhere; the same subject of one seed is scanned at each."""
    heads = {preset: made(preset, 7, size=64) for preset in ("brats", "ttg", "tti")}
    ratio = {
        (preset, modality): median(head, modality, "cgm") / median(head, modality, "wm")
        for preset, head in heads.items()
        for modality in ("T1SE", "T2", "T2FLAIR")
    }
    for modality in ("T1SE", "T2", "T2FLAIR"):
        usual, older, research = (ratio[preset, modality] for preset in heads)
        assert abs(older / usual - 1) > 0.03 and abs(older / research - 1) > 0.1
    adc = {preset: median(heads[preset], "ADC", "wm") for preset in ("ttg", "tti")}
    assert adc["ttg"] == pytest.approx(adc["tti"], rel=0.12)  # a map of a physical quantity is the same everywhere


def test_a_hospital_is_described_by_its_differences():
    image = np.linspace(0, 2, 9, dtype=np.float32)
    assert USUAL.sequence("T2") is SEQUENCES["T2"] and USUAL.acquisition("T2") is ACQUISITIONS["T2"]
    assert USUAL.stored(image, 0.5) is image
    law = Site(gamma=0.5).stored(image, 0.5)
    np.testing.assert_allclose(law, 0.5 * (image / 0.5) ** 0.5, rtol=1e-6)
    assert law[2] == pytest.approx(0.5)  # white matter keeps its value
    field, tissue = Site(t1=0.75), Relaxation(*(np.float32([800.0, 4300.0]) for _ in range(5)))
    slower = tissue._replace(t1=np.float32([600.0, 4300.0]))
    np.testing.assert_allclose(field.sequence("T1SE")(tissue), SEQUENCES["T1SE"](slower), rtol=1e-6)
