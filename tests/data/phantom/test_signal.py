"""Signal equations and tissue table: worked numbers, pulse-by-pulse simulations, clinical orderings."""

import numpy as np
import pytest

from a2a.data.phantom.infarct import with_stage
from a2a.data.phantom.latents import Latents
from a2a.data.phantom.mixing import Variation, amyloid_map, hounsfield, mr_signal, uptake
from a2a.data.phantom.signal import SEQUENCES, Flair, Mprage, Relaxation
from a2a.data.phantom.tissue import CLASSES, INDEX, TABLE, draw_parameters, nominal, with_iron

COLUMNS = ("T1", "T2FLAIR", "T2star", "T2", "T2L", "PDW", "T1SE", "T1GD", "DWI", "B0")
WORKED = {
    "wm": (0.03153, 0.16826, 0.15613, 0.16384, 0.15916, 0.57810, 0.31414, 0.32014, 0.09926, 0.20393),
    "cgm": (0.01750, 0.19033, 0.18478, 0.28447, 0.24949, 0.61303, 0.23330, 0.24955, 0.14805, 0.33615),
    "csf": (0.00590, 0.00901, 0.23755, 0.64517, 0.46540, 0.48772, 0.12962, 0.13249, 0.03436, 0.69013),
    "caud": (0.02009, 0.15376, 0.16514, 0.19725, 0.17788, 0.60203, 0.24721, 0.26145, 0.11566, 0.24485),
    "put": (0.02101, 0.12511, 0.15330, 0.15136, 0.13768, 0.59227, 0.25033, 0.26479, 0.09510, 0.19538),
    "gp": (0.02427, 0.08569, 0.12110, 0.08720, 0.08213, 0.54564, 0.26045, 0.27173, 0.05637, 0.12054),
    "thal": (0.02323, 0.18022, 0.16287, 0.21005, 0.19459, 0.60906, 0.26995, 0.28265, 0.11987, 0.25631),
    "wmh": (0.02455, 0.29034, 0.18970, 0.35341, 0.32739, 0.66725, 0.29291, 0.30262, 0.14038, 0.40115),
    "ed": (0.02203, 0.30735, 0.20462, 0.40983, 0.37187, 0.67309, 0.27710, 0.29811, 0.11857, 0.45737),
    "et": (0.01995, 0.23228, 0.20376, 0.32940, 0.29292, 0.65785, 0.25821, 0.48565, 0.13384, 0.38246),
    "ncr": (0.01187, 0.20701, 0.23259, 0.54496, 0.43920, 0.61847, 0.19658, 0.22086, 0.09858, 0.59637),
    "inf": (0.01873, 0.21017, 0.18860, 0.29689, 0.26401, 0.61621, 0.24208, 0.25162, 0.21044, 0.34695),
    "fat": (0.05552, 0.18311, 0.10616, 0.16085, 0.16078, 0.59516, 0.48678, 0.49206, 0.19077, 0.20055),
}
LATENTS = Latents(70, 0, False, 0, 0.3, 0.3, 1, 0.3, 1.2, 6.5, 5.5, 0, False, False, 0)


def signal(sequence: str) -> dict[str, float]:
    """Nominal signal of every class."""
    p = nominal()
    t1 = np.minimum(p.t1, p.t1gd) if sequence == "T1GD" else p.t1
    values = SEQUENCES[sequence](Relaxation(t1, p.t2, p.t2star, p.pd, p.adc))
    return dict(zip(CLASSES, values, strict=True))


def pure(name: str) -> np.ndarray:
    """Fractions of three voxels filled with one class."""
    fractions = np.zeros((len(CLASSES), 3), np.float32)
    fractions[INDEX[name]] = 1.0
    return fractions


def field(**values: tuple[float, float, float]) -> Variation:
    """Variation that is zero but for the given fields at three voxels."""
    zero = dict.fromkeys(("t1", "t2", "lesion_t1", "lesion_t2", "bone", "amyloid"), (0.0, 0.0, 0.0))
    return Variation(**{k: np.array(v, np.float32) for k, v in (zero | values).items()})


@pytest.mark.parametrize("tissue", WORKED)
def test_worked_numbers(tissue):
    computed = [signal(sequence)[tissue] for sequence in COLUMNS]
    np.testing.assert_allclose(computed, WORKED[tissue], rtol=0, atol=0.5001e-5)


def test_mprage_equals_pulse_by_pulse_simulation():
    protocol, p = Mprage(), nominal()
    for name in WORKED:
        i = INDEX[name]
        t1, z, flip = p.t1[i], 1.0, np.deg2rad(protocol.flip)
        before = protocol.ti - protocol.centre * protocol.spacing
        after = protocol.tr - before - protocol.excitations * protocol.spacing
        for _ in range(40):
            z = 1 - (1 + protocol.inversion * z) * np.exp(-before / t1)
            for pulse in range(protocol.excitations):
                if pulse == protocol.centre:
                    seen = z * np.sin(flip)
                z = 1 - (1 - z * np.cos(flip)) * np.exp(-protocol.spacing / t1)
            z = 1 - (1 - z) * np.exp(-after / t1)
        expected = p.pd[i] * seen * np.exp(-protocol.te / p.t2star[i])
        assert signal("T1")[name] == pytest.approx(expected, abs=1e-9)


def test_flair_equals_simulation_of_repetitions():
    protocol, p = Flair(), nominal()
    for name in WORKED:
        i = INDEX[name]
        t1, z = p.t1[i], 1.0
        for _ in range(40):
            z = 1 - (1 + z) * np.exp(-protocol.ti / t1)
            seen = z
            z = 1 - np.exp(-(protocol.tr - protocol.ti - protocol.train) / t1)
        assert signal("T2FLAIR")[name] == pytest.approx(p.pd[i] * seen * np.exp(-protocol.te / p.t2[i]), abs=1e-9)


@pytest.mark.parametrize(
    ("sequence", "order"),
    [
        ("T1", "wm thal put caud cgm csf"),
        ("T2FLAIR", "ed wmh inf cgm wm gp csf"),
        ("T2", "csf ncr ed wmh cgm wm put gp"),
        ("T2star", "csf cgm wm put gp vein bleed"),
        ("DWI", "inf cgm wm csf"),
        ("hu", "cbone diploe cgm wm csf fat air"),
        ("adc", "csf ncr ed wmh cgm wm inf"),
        ("suvr", "wm cgm csf air"),
    ],
)
def test_clinical_ordering(sequence, order):
    values = signal(sequence) if sequence in SEQUENCES else {k: getattr(v, sequence) for k, v in TABLE.items()}
    seen = [values[name] for name in order.split()]
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == len(seen)


def test_contrasts_that_readers_rely_on():
    flair, enhanced, plain = signal("T2FLAIR"), signal("T1GD"), signal("T1SE")
    assert abs(flair["csf"]) < 0.1 * flair["wm"]
    brain = ("cgm", "wm", "caud", "put", "gp", "thal", "hippo", "bstem", "cbgm", "cbwm", "wmh", "ed", "ncr", "inf")
    assert all(enhanced["et"] > enhanced[name] for name in brain)
    assert enhanced["et"] > plain["et"] + 0.09


@pytest.mark.parametrize(
    ("iron", "t2star"), [(1.4, (41.0, 33.2, 23.5, 45.3, 60.0)), (0.7, (57.4, 49.7, 37.8, 54.2, 71.3))]
)
def test_iron_model(iron, t2star):
    changed = with_iron(nominal(), iron)
    computed = [changed.t2star[INDEX[name]] for name in ("caud", "put", "gp", "thal", "cgm")]
    np.testing.assert_allclose(computed, t2star, atol=0.051)
    assert changed.t2star[INDEX["wm"]] == nominal().t2star[INDEX["wm"]]


def test_spread_between_subjects():
    rows = [draw_parameters(np.random.default_rng(i), LATENTS, "late") for i in range(300)]
    log_t1 = np.log([r.t1[INDEX["wm"]] for r in rows])
    assert log_t1.std() == pytest.approx(0.03, rel=0.2)
    assert np.mean(log_t1) == pytest.approx(np.log(838), abs=0.008)
    assert np.std([r.hu[INDEX["csf"]] for r in rows]) == pytest.approx(1.2, rel=0.2)
    assert {r.hu[INDEX["cbone"]] for r in rows} == {1500.0}
    assert max(r.pd.max() for r in rows) <= 1.0


def test_signal_of_pure_voxels_varies_only_where_it_should():
    tissue, variation = nominal(), field(t1=(-1.0, 0.0, 1.0), bone=(-1.0, 0.0, 1.0))
    white = mr_signal("T1", pure("wm"), tissue, variation, LATENTS)
    assert white[0] > white[1] > white[2]
    assert white[1] == pytest.approx(signal("T1")["wm"], rel=1e-5)
    np.testing.assert_allclose(mr_signal("T1", pure("csf"), tissue, variation, LATENTS), signal("T1")["csf"], rtol=1e-5)
    marrow = mr_signal("T2star", pure("diploe"), tissue, variation, LATENTS)
    np.testing.assert_allclose(marrow / signal("T2star")["diploe"], np.array([1.3, 1.0, 0.7]) * 1.2**-0.7, rtol=1e-5)
    blood = mr_signal("T2FLAIR", pure("vein"), tissue, variation, LATENTS)
    np.testing.assert_allclose(blood, 0.4 * signal("T2FLAIR")["vein"], rtol=1e-5)


def test_partial_volume_mixes_signed_magnetisation():
    tissue, variation = nominal(), field()
    half = 0.5 * pure("csf") + 0.5 * pure("wm")
    expected = 0.5 * signal("T2FLAIR")["csf"] + 0.5 * signal("T2FLAIR")["wm"]
    np.testing.assert_allclose(mr_signal("T2FLAIR", half, tissue, variation, LATENTS), expected, rtol=1e-5)


def test_bone_density_shows_on_ct():
    value = hounsfield(pure("diploe"), nominal(), field(bone=(-1.0, 0.0, 1.0)), LATENTS)
    np.testing.assert_allclose(value, 650 * 1.2**1.5 * np.array([0.72, 1.0, 1.28]), rtol=1e-5)


def test_amyloid_shows_where_it_gathers():
    x, y, z = np.array([[0.0, 38.0, 55.0], [-58.0, -22.0, -25.0], [35.0, 58.0, -10.0]], np.float32)
    precuneus, motor, temporal = amyloid_map((x, y, z))
    assert precuneus > temporal > motor > 0
    depth = np.full(3, 10.0, np.float32)
    without = uptake((x, y, z), depth, pure("cgm"), nominal(), field(), 0.0)
    np.testing.assert_allclose(without, 0.90, rtol=1e-6)
    gained = uptake((x, y, z), depth, pure("cgm"), nominal(), field(), 0.8) - without
    np.testing.assert_allclose(gained, 0.8 * amyloid_map((x, y, z)), rtol=1e-5)
    assert not np.any(uptake((x, y, z), depth, pure("csf"), nominal(), field(), 0.8) - np.float32(0.35))


def test_early_pet_shows_perfusion():
    early = nominal("early")
    assert early.suvr[INDEX["cgm"]] > early.suvr[INDEX["wm"]]
    assert early.hu.tolist() == nominal().hu.tolist()


@pytest.mark.parametrize(
    ("sequence", "left"),
    [
        ("T1", {"art": 1, "vein": 1, "fat": 1}),
        ("T2FLAIR", {"art": 0.1, "vein": 0.4, "fat": 1}),
        ("T2", {"art": 0.1, "vein": 0.4, "fat": 1}),
        ("T2L", {"art": 0.1, "vein": 0.4, "fat": 1}),
        ("PDW", {"art": 0.3, "vein": 0.3, "fat": 1}),
        ("T1SE", {"art": 0.35, "vein": 0.35, "fat": 1}),
        ("T1GD", {"art": 1, "vein": 1, "fat": 1}),
        ("DWI", {"art": 0.05, "vein": 0.05, "fat": 0.05}),
        ("B0", {"art": 0.05, "vein": 0.05, "fat": 0.05}),
    ],
)
def test_flowing_blood_and_suppressed_fat_lose_signal(sequence, left):
    for name, factor in left.items():
        seen = mr_signal(sequence, pure(name), nominal(), field(), LATENTS)
        np.testing.assert_allclose(seen, factor * signal(sequence)[name], rtol=1e-4)


def test_contrast_agent_shortens_t1_as_much_as_it_leaks():
    tissue, p = nominal(), TABLE["et"]
    flat = field(lesion_t2=(0.0, 1.0, 5.0))
    for leak in (0.08, 1.0):
        seen = mr_signal("T1GD", pure("et"), tissue, flat, LATENTS, leak)
        taken = np.clip(leak * (1 + 0.35 * np.array([0.0, 1.0, 5.0])), 0, 1.3)
        t1 = 1 / (1 / p.t1 + taken * (1 / 620 - 1 / 1500))
        t2 = p.t2 * np.exp(0.12 * np.array([0.0, 1.0, 5.0]))
        expected = SEQUENCES["T1GD"](Relaxation(t1, t2, p.t2star, p.pd, p.adc))
        np.testing.assert_allclose(seen, expected, rtol=1e-4)
    full = mr_signal("T1GD", pure("et"), tissue, field(), LATENTS, 1.0)
    np.testing.assert_allclose(full, WORKED["et"][COLUMNS.index("T1GD")], atol=1e-5)
    white = mr_signal("T1GD", pure("wm"), tissue, field(), LATENTS)
    np.testing.assert_allclose(white, WORKED["wm"][COLUMNS.index("T1GD")], atol=1e-5)


@pytest.mark.parametrize(
    ("stage", "t1", "t2", "t2star", "adc"),
    [(0.0, 1000, 69, 55, 0.42), (0.5, 1250, 88.8, 65, 0.545), (1.0, 1500, 112.2, 75, 0.67)],
)
def test_an_infarct_ages(stage, t1, t2, t2star, adc):
    aged, i = with_stage(nominal(), stage), INDEX["inf"]
    found = (aged.t1[i], aged.t2[i], aged.t2star[i], aged.adc[i])
    np.testing.assert_allclose(found, (t1, t2, t2star, adc), rtol=1e-6)
    assert aged.t1[INDEX["wm"]] == nominal().t1[INDEX["wm"]]
