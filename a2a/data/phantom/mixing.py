"""From tissue fractions to noise-free contrast: partial-volume mixtures of MR signal, HU and SUVR.

Explained in the chapter "The data".
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from a2a.data.phantom.fields import FourierField, evaluate
from a2a.data.phantom.grid import Grid
from a2a.data.phantom.infarct import ADC_VARIATION
from a2a.data.phantom.latents import Latents
from a2a.data.phantom.shapes import Points
from a2a.data.phantom.signal import Relaxation, SpoiledGradientEcho
from a2a.data.phantom.site import USUAL, Site
from a2a.data.phantom.tissue import AMYLOID_UPTAKE, CLASSES, INDEX, TABLE, TissueParameters

# log-SD of T1, and of T2, T2* and ADC, from place to place within a class
VARIATION = {
    "wm": (0.035, 0.035),
    "cgm": (0.03, 0.03),
    "thal": (0.03, 0.03),
    "bstem": (0.03, 0.03),
    "inf": (0.06, 0.06),
    "wmh": (0.14, 0.12),
    "ed": (0.10, 0.15),
    "et": (0.08, 0.12),
    "ncr": (0.12, 0.18),
}
LESION_TEXTURE = frozenset({"wmh", "ed", "et", "ncr"})

_SLOW_FLOW, _EPI = {"art": 0.1, "vein": 0.4}, {"art": 0.05, "vein": 0.05, "fat": 0.05}
SIGNAL_LEFT = {  # what motion leaves of the signal of blood, and fat suppression of that of fat; 1 elsewhere
    "T2FLAIR": _SLOW_FLOW,
    "T2": _SLOW_FLOW,
    "T2L": _SLOW_FLOW,
    "PDW": {"art": 0.3, "vein": 0.3},
    "T1SE": {"art": 0.35, "vein": 0.35},
    "B0": _EPI,
    "DWI": _EPI,
}
LEAKED = 1.0 / TABLE["et"].t1gd - 1.0 / TABLE["et"].t1  # relaxation rate that contrast agent adds in a tumour, 1/ms


@dataclass(frozen=True, eq=False)
class Variation:
    """Random fields within tissues, float32 (N,), zero where no tissue needs them.

    `t1`, `t2` vary healthy tissue and are half correlated; `lesion_t1`, `lesion_t2` vary lesions
    independently of each other; `bone` varies the density of the skull and `amyloid` the tracer load.
    """

    t1: np.ndarray
    t2: np.ndarray
    lesion_t1: np.ndarray
    lesion_t2: np.ndarray
    bone: np.ndarray
    amyloid: np.ndarray


def draw_variation(rng: np.random.Generator, points: np.ndarray, fractions: np.ndarray) -> Variation:
    """Draw the fields (continuing stream ``TISSUE``) and evaluate each where its tissues are.

    Parameters
    ----------
    rng
        Generator from which the tissue parameters have been drawn already.
    points, fractions
        Canonical coordinates (3, N) and tissue fractions (30, N).
    """
    first, second = FourierField.draw(rng, 45.0, 0.3, 32), FourierField.draw(rng, 45.0, 0.3, 32)
    lesion = FourierField.draw(rng, 12.0, 0.3, 32), FourierField.draw(rng, 15.0, 0.3, 32)
    bone, amyloid = FourierField.draw(rng, 30.0, 0.3, 24), FourierField.draw(rng, 34.0, 0.3, 24)

    def at(names: tuple[str, ...], *fields: FourierField) -> np.ndarray:
        values = np.zeros((len(fields), points.shape[1]), np.float32)
        here = np.flatnonzero(fractions[[INDEX[n] for n in names]].any(axis=0))
        values[:, here] = evaluate(fields, points[:, here])
        return values

    f1, f2 = at(tuple(set(VARIATION) - LESION_TEXTURE), first, second)
    lesion_t1, lesion_t2 = at(tuple(LESION_TEXTURE), *lesion)
    density = np.clip(at(("cbone", "diploe"), bone)[0], -2.2, 2.2)
    return Variation(f1, 0.5 * f1 + 0.866 * f2, lesion_t1, lesion_t2, density, at(tuple(AMYLOID_UPTAKE), amyloid)[0])


def mr_signal(
    name: str,
    fractions: np.ndarray,
    tissue: TissueParameters,
    variation: Variation,
    latents: Latents,
    leak: float = 0.0,
    site: Site = USUAL,
) -> np.ndarray:
    """Return the signed MR signal of a sequence, float32 (N,), in units of the CSF density.

    Parameters
    ----------
    name
        A key of `SEQUENCES`.
    fractions
        Tissue fractions, float32 (30, N).
    tissue, variation, latents
        The subject's tissue values, their variation in space, and its bone density.
    leak
        How strongly a tumour takes up contrast agent, about 1; matters for T1GD only.
    site
        Where it is scanned.
    """
    sequence, enhanced = site.sequence(name), name == "T1GD"
    t1 = np.minimum(tissue.t1, tissue.t1gd) if enhanced else tissue.t1
    uniform = sequence(Relaxation(t1, tissue.t2, tissue.t2star, tissue.pd, tissue.adc))
    signal = np.zeros(fractions.shape[1], np.float32)
    for i, (label, share) in enumerate(zip(CLASSES, fractions, strict=True)):
        factor = SIGNAL_LEFT.get(name, {}).get(label, 1.0)
        if label not in VARIATION and label != "diploe":
            signal += share * np.float32(factor * uniform[i])
            continue
        here = np.flatnonzero(share)
        if here.size:
            local = _relaxation(label, here, tissue, variation, latents)
            if enhanced:
                local = local._replace(t1=_enhanced(label, here, local.t1, tissue, variation, leak))
            signal[here] += share[here] * sequence(local)
    return signal


def _relaxation(
    label: str, here: np.ndarray, tissue: TissueParameters, variation: Variation, latents: Latents
) -> Relaxation:
    """Tissue values of a class that varies in space, at the points `here`."""
    i = INDEX[label]
    t1, t2, t2star, adc = (np.float32(v[i]) for v in (tissue.t1, tissue.t2, tissue.t2star, tissue.adc))
    if label == "diploe":
        marrow = tissue.pd[i] * latents.bone**-0.7  # denser trabecular bone leaves less room for marrow
        pd = np.float32(marrow) * (1.0 - np.float32(0.30) * variation.bone[here])
        return Relaxation(t1, t2, t2star, pd, adc)
    lesion = label in LESION_TEXTURE
    g1 = (variation.lesion_t1 if lesion else variation.t1)[here]
    g2 = (variation.lesion_t2 if lesion else variation.t2)[here]
    slow, fast = np.exp(VARIATION[label][0] * g1), np.exp(VARIATION[label][1] * g2)
    diffusion = np.exp(ADC_VARIATION * g2) if label == "inf" else fast
    return Relaxation(t1 * slow, t2 * fast, t2star * fast, np.float32(tissue.pd[i]), adc * diffusion)


def _enhanced(
    label: str, here: np.ndarray, t1: np.ndarray, tissue: TissueParameters, variation: Variation, leak: float
) -> np.ndarray:
    """T1 after contrast agent of a class that varies in space; `t1` is that before."""
    if label == "et":
        uptake = np.clip(leak * (1.0 + np.float32(0.35) * variation.lesion_t2[here]), 0.0, 1.3)
        return 1.0 / (1.0 / t1 + uptake * np.float32(LEAKED))
    i = INDEX[label]
    if label == "inf":
        return np.float32(0.97) * t1
    return np.minimum(t1, t1 * np.float32(tissue.t1gd[i] / tissue.t1[i]))


def susceptibility_loss(grid: Grid, air: np.ndarray, iron: np.ndarray, vein: np.ndarray) -> np.ndarray:
    """Return the factor that field inhomogeneity leaves of the T2*-weighted signal, float32 (Z, H, W).

    Parameters
    ----------
    grid
        Where the volumes lie.
    air, iron, vein
        Fractions (Z, H, W) of air-filled sinuses, of bleeds (plus 0.3 times calcification), and of veins;
        they spread over Gaussians of SD 6, 2 and 0.8 mm.
    """
    rate = np.zeros(grid.shape, np.float32)
    for source, weight, spread in ((air, 0.060, 6.0), (iron, 0.5, 2.0), (vein, 0.012, 0.8)):
        sigma = (spread / grid.dz, spread / grid.pixel, spread / grid.pixel)
        rate += np.float32(weight) * gaussian_filter(source, sigma, mode="nearest")
    return np.exp(-SpoiledGradientEcho().te * rate)


def hounsfield(fractions: np.ndarray, tissue: TissueParameters, variation: Variation, latents: Latents) -> np.ndarray:
    """Return the CT number in HU, float32 (N,); bone follows the density latent and its field.

    Parameters
    ----------
    fractions
        Of the tissues, float32 ``(30, N)``.
    tissue
        Their values.
    variation
        How these vary in space.
    latents
        The numbers that make the subject.
    """
    value = _mixture(fractions, tissue.hu, skip=("cbone", "diploe"))
    b, field = latents.bone, variation.bone
    compact, spongy = tissue.hu[INDEX["cbone"]] * b, tissue.hu[INDEX["diploe"]] * b**1.5
    value += fractions[INDEX["cbone"]] * np.float32(compact) * (1.0 + np.float32(0.06) * field)
    value += fractions[INDEX["diploe"]] * np.float32(spongy) * (1.0 + np.float32(0.28) * field)
    value += fractions[INDEX["wm"]] * np.float32(0.8) * variation.t1
    return value


def uptake(
    points: Points,
    depth: np.ndarray,
    fractions: np.ndarray,
    tissue: TissueParameters,
    variation: Variation,
    amyloid: float,
) -> np.ndarray:
    """Return the tracer uptake as SUVR, float32 (N,).

    Parameters
    ----------
    points
        Canonical coordinates in mm.
    depth
        Signed distance to the inside of the skull in mm; deep white matter takes up more.
    fractions, tissue, variation
        As for `mr_signal`.
    amyloid
        Global load A; 0 leaves the unspecific uptake.
    """
    value = _mixture(fractions, tissue.suvr, skip=("wm",))
    white = np.float32(tissue.suvr[INDEX["wm"]]) * (0.86 + 0.22 * np.clip(depth / 30.0, 0.0, 1.0))
    value += fractions[INDEX["wm"]] * white * (1.0 - np.float32(0.09) * variation.t2)
    load = np.float32(amyloid) * amyloid_map(points) * (1.0 + np.float32(0.18) * variation.amyloid)
    for label, share in AMYLOID_UPTAKE.items():
        value += fractions[INDEX[label]] * np.float32(share) * load
    return value


def amyloid_map(points: Points) -> np.ndarray:
    """Return the typical regional pattern of amyloid, 0.1 to 1.3: high in precuneus and medial frontal cortex."""
    m, y, z = np.abs(points[0]), points[1], points[2]

    def blob(cx: float, cy: float, cz: float, width: float) -> np.ndarray:
        return np.exp(-((m - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2) / (2.0 * width**2))

    pattern = 0.78 + 0.35 * blob(0, -58, 35, 20) + 0.32 * blob(6, 48, 2, 24) + 0.12 * blob(55, -25, -10, 20)
    pattern = pattern - 0.36 * blob(38, -22, 58, 18) - 0.25 * blob(8, -90, 5, 20) - 0.38 * blob(27, -15, -20, 14)
    return np.clip(pattern, 0.1, 1.3)


def _mixture(fractions: np.ndarray, values: np.ndarray, skip: tuple[str, ...]) -> np.ndarray:
    """Sum of class values weighted by their fractions, without the classes in `skip`."""
    total = np.zeros(fractions.shape[1], np.float32)
    for label, value, share in zip(CLASSES, values, fractions, strict=True):
        if label not in skip:
            total += share * np.float32(value)
    return total
