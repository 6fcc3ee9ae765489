"""Volumes and intensities of six subjects at full resolution, within the ranges that the recipe promises."""

import numpy as np
import pytest

from a2a.data.phantom import PhantomConfig, generate_subject
from a2a.data.phantom.tissue import INDEX

VOLUMES = {
    "cgm": (488, 656),
    "wm": (511, 700),
    "csf": (178, 394),
    "vcsf": (11, 31),
    "wmh": (4, 20),
    "caud": (6.4, 8.8),
    "put": (7.8, 10.7),
    "gp": (2.6, 3.6),
    "thal": (8, 14),
    "hippo": (4.7, 9.5),
    "cerebellum": (100, 182),
    "bstem": (18, 26),
}
RELATIVE = {
    "T1": {"cgm": 0.55, "put": 0.65, "gp": 0.76, "thal": 0.73, "csf": 0.19, "wmh": 0.78, "fat": 1.76},
    "T2FLAIR": {"cgm": 1.00, "csf": 0.155, "wmh": 1.44, "gp": 0.57, "thal": 1.04},
    "T2star": {"cgm": 1.19, "vcsf": 1.47, "csf": 1.36, "gp": 0.78, "wmh": 1.19, "diploe": 0.12},
}
HOUNSFIELD = {"wm": 27.9, "cgm": 35.7, "caud": 36.6, "vcsf": 7.2, "wmh": 21.5, "fat": -91, "muscle": 55}
BONE = {"cbone": 1240, "diploe": 610}


def measure(subject) -> dict:
    """Volumes in ml, medians in nearly pure voxels, PET ratios and latents of one subject."""
    fractions = {name: subject.fractions[i] for name, i in INDEX.items()}
    fractions["cerebellum"] = fractions["cbgm"] + fractions["cbwm"]
    pure = {name: share > 0.9 for name, share in fractions.items()}

    def median(modality: str, name: str) -> float:
        return float(np.median(subject.images[modality][pure[name]]))

    pet = subject.images["PET"]
    reference = pet[pure["cerebellum"]].mean()
    return {
        "volume": {name: fractions[name].sum(dtype=float) * 2.0 * 1.75**2 / 1000 for name in VOLUMES},
        "bone": (fractions["cbone"] + fractions["diploe"]).sum(dtype=float),
        "relative": {
            m: {n: median(m, n) / median(m, "wm") for n in [*names, "cbone"]} for m, names in RELATIVE.items()
        },
        "hu": {name: median("CT", name) for name in HOUNSFIELD | BONE},
        "cortex": pet[pure["cgm"]].mean() / reference,
        "white": pet[pure["wm"]].mean() / reference,
        "latents": subject.latents,
    }


@pytest.fixture(scope="module")
def measured() -> list[dict]:
    config = PhantomConfig(size=128, dz=2.0, keep_fractions=True)
    return [measure(generate_subject(config, i)) for i in range(6)]


@pytest.mark.parametrize("name", VOLUMES)
def test_volumes(measured, name):
    low, high = VOLUMES[name]
    seen = [m["volume"][name] for m in measured]
    assert 0.85 * low < min(seen)
    assert max(seen) < 1.15 * high


@pytest.mark.parametrize(("modality", "name"), [(m, n) for m, names in RELATIVE.items() for n in names])
def test_contrast_to_white_matter(measured, modality, name):
    mean = np.mean([m["relative"][modality][name] for m in measured])
    assert mean == pytest.approx(RELATIVE[modality][name], rel=0.10)


def test_compact_bone_is_dark_on_t1(measured):
    assert np.mean([m["relative"]["T1"]["cbone"] for m in measured]) < 0.06


@pytest.mark.parametrize("name", HOUNSFIELD)
def test_hounsfield_units_of_soft_tissue(measured, name):
    assert np.mean([m["hu"][name] for m in measured]) == pytest.approx(HOUNSFIELD[name], abs=3.0)


@pytest.mark.parametrize("name", BONE)
def test_hounsfield_units_of_bone(measured, name):
    assert np.mean([m["hu"][name] for m in measured]) == pytest.approx(BONE[name], rel=0.15)


def test_amyloid_status_shows_on_pet(measured):
    for m in measured:
        assert 1.5 < m["white"] < 2.0
        if not m["latents"]["amyloid_positive"]:
            assert m["cortex"] < 1.13
        elif m["latents"]["amyloid"] > 0.5:
            assert m["cortex"] > 1.15
    assert {m["latents"]["amyloid_positive"] for m in measured} == {True, False}


@pytest.mark.parametrize(("latent", "volume"), [("ventricles", "vcsf"), ("atrophy", "csf"), ("wmh", "wmh")])
def test_latents_drive_volumes(measured, latent, volume):
    pairs = [(m["latents"][latent], m["volume"][volume]) for m in measured]
    assert np.corrcoef(np.transpose(pairs))[0, 1] > 0.8


def test_thick_skulls_hold_more_bone(measured):
    pairs = [(m["latents"]["skull"], m["bone"]) for m in measured]
    assert np.corrcoef(np.transpose(pairs))[0, 1] > 0.7
