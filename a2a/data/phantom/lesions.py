"""What is wrong with a brain: hyperintensities, microbleeds, calcifications, a tumour, a stroke.

Lesions draw from streams of their own, so switching them off moves nothing else.
Explained in the chapter "The data".
"""

from dataclasses import asdict, dataclass

import numpy as np

from a2a.data.phantom.config import Preset
from a2a.data.phantom.cortex import Surfaces
from a2a.data.phantom.fields import FourierField, Stream, Streams, evaluate
from a2a.data.phantom.head import Site
from a2a.data.phantom.infarct import Infarct, add_infarct, draw_infarct
from a2a.data.phantom.latents import Latents
from a2a.data.phantom.shapes import ellipsoid
from a2a.data.phantom.tissue import INDEX, take
from a2a.data.phantom.tumour import Tumour, add_tumour, draw_tumour


@dataclass(frozen=True)
class Bleed:
    """A microbleed: centre in canonical coordinates and radius, mm."""

    x: float
    y: float
    z: float
    radius: float


@dataclass(frozen=True, eq=False)
class Lesions:
    """What a subject has; the default is a healthy brain.

    Parameters
    ----------
    bleeds
        Microbleeds.
    calcified
        Whether calcifications occur as the latents say.
    hyperintense
        Whether white-matter hyperintensities occur as the latents say.
    tumour, infarct
        At most one of either.
    """

    bleeds: tuple[Bleed, ...] = ()
    calcified: bool = False
    hyperintense: bool = False
    tumour: Tumour | None = None
    infarct: Infarct | None = None

    @classmethod
    def draw(cls, rng: Streams, preset: Preset, latents: Latents) -> "Lesions":
        """Draw what the preset's lesion map names, and what always occurs.

        Parameters
        ----------
        rng
            Random streams of the subject.
        preset
            Which lesions the data set has.
        latents
            The numbers that make the subject.
        """
        return cls(
            bleeds=draw_bleeds(rng(Stream.BLEEDS), latents.bleeds) if preset.bleeds else (),
            calcified=preset.bleeds,
            hyperintense=True,
            tumour=draw_tumour(rng(Stream.TUMOUR)) if "et" in preset.lesions else None,
            infarct=draw_infarct(rng(Stream.INFARCT), rng(Stream.INFARCT_STAGE)) if "inf" in preset.lesions else None,
        )

    def latents(self) -> dict[str, float]:
        """The numbers behind them, for the subject's record; bleeds as ``bleed0_x`` etc."""
        bleeds = {f"bleed{i}_{key}": v for i, b in enumerate(self.bleeds) for key, v in asdict(b).items()}
        large = [lesion.latents() for lesion in (self.tumour, self.infarct) if lesion is not None]
        return bleeds | {key: value for values in large for key, value in values.items()}

    def add(
        self,
        fractions: np.ndarray,
        site: Site,
        surfaces: Surfaces,
        lateral: np.ndarray,
        latents: Latents,
        rng: Streams,
        undisplaced: np.ndarray,
    ) -> None:
        """Put them into a healthy brain, in place.

        Parameters
        ----------
        fractions : float32 (30, N)
            Brain tissue, changed.
        site, surfaces, lateral, latents
            Points and the anatomy at them; `lateral` is the signed distance to the lateral ventricles.
        rng
            Returns the generator of a stream.
        undisplaced : float32 (3, N)
            The points in the coordinates of the tumour.
        """
        if self.hyperintense:
            load, stream = latents.wmh, rng(Stream.WHITE_MATTER_LESIONS)
            add_hyperintensities(fractions, site, surfaces, lateral, load, stream)
        if self.tumour is not None:
            add_tumour(fractions, self.tumour, undisplaced, site.pixel)
        if self.infarct is not None:
            add_infarct(fractions, self.infarct, np.stack(site.points), site.pixel)
        add_bleeds(fractions, site, self.bleeds)
        if self.calcified:
            add_calcifications(fractions, site, latents)


def draw_bleeds(rng: np.random.Generator, count: int) -> tuple[Bleed, ...]:
    """Draw `count` microbleeds (side, then x, y, z and radius of each)."""
    bleeds = []
    for _ in range(count):
        side = 1.0 if rng.random() < 0.5 else -1.0
        x, y, z = side * rng.uniform(12.0, 58.0), rng.uniform(-75.0, 55.0), rng.uniform(-5.0, 50.0)
        bleeds.append(Bleed(float(x), float(y), float(z), float(rng.uniform(1.2, 2.4))))
    return tuple(bleeds)


def add_hyperintensities(
    fractions: np.ndarray,
    site: Site,
    surfaces: Surfaces,
    lateral: np.ndarray,
    load: float,
    rng: np.random.Generator,
) -> None:
    """Turn white matter around the ventricles and in patches into class ``wmh``, in place.

    Parameters
    ----------
    fractions : float32 (30, N)
        Brain tissue, changed.
    site, surfaces, lateral
        Points and signed distances at them; `lateral` to the lateral ventricles.
    load
        The latent `wmh`, 0 to 1.
    rng
        Generator of the stream ``WHITE_MATTER_LESIONS``.
    """
    fields = (FourierField.draw(rng, 14.0, 0.25, 48), FourierField.draw(rng, 34.0, 0.25, 32))
    caps = np.exp(-(((site.y - 30.0) / 9.0) ** 2)) + np.exp(-(((site.y + 45.0) / 10.0) ** 2))
    around = 0.3 + 3.0 * load**2 + 3.5 * load * caps + 1.2 * load * site.n3 + lateral
    share = site.cover(around) * (site.z > -12.0)
    deep = (surfaces.pial > surfaces.thickness + 2.5) & (surfaces.cerebrum > 7.0) & (site.z > -6.0)
    deep = np.flatnonzero(deep & (fractions[INDEX["wm"]] > 0.0))
    fine, coarse = evaluate(fields, np.stack([c[deep] for c in site.points]))
    patches = 4.5 * (0.8 * fine + 0.6 * coarse - (3.0 - 1.5 * load))
    share[deep] = np.maximum(share[deep], site.cover(patches))
    moved = share * fractions[INDEX["wm"]]
    fractions[INDEX["wm"]] -= moved
    fractions[INDEX["wmh"]] += moved


def add_bleeds(fractions: np.ndarray, site: Site, bleeds: tuple[Bleed, ...]) -> None:
    """Put microbleeds into tissue (not into CSF); changes `fractions`, float32 (30, N), in place.

    Parameters
    ----------
    fractions
        Of the tissues, float32 ``(30, N)``.
    site
        The points.
    bleeds
        What to put there.
    """
    tissue = 1.0 - fractions[INDEX["csf"]] - fractions[INDEX["vcsf"]]
    for bleed in bleeds:
        ball = ellipsoid(site.points, (bleed.x, bleed.y, bleed.z), (bleed.radius,) * 3)
        take(fractions, "bleed", site.cover(ball) * tissue)


def add_calcifications(fractions: np.ndarray, site: Site, latents: Latents) -> None:
    """Calcify pineal gland, choroid plexus and pallidum as the latents say; changes `fractions` (30, N) in place.

    Parameters
    ----------
    fractions
        Of the tissues, float32 ``(30, N)``.
    site
        The points.
    latents
        The numbers that make the subject.
    """
    p = site.mirrored
    if latents.calc_pineal:
        pineal = ellipsoid(site.points, (0.0, -33.0, 1.0), (1.8, 2.2, 1.8))
        take(fractions, "calc", 0.8 * site.cover(pineal))
    if latents.calc_choroid:
        plexus = ellipsoid(p, (22.5, -41.0, 9.0), (1.3, 2.6, 1.8))
        take(fractions, "calc", 0.7 * site.cover(plexus))
    if latents.calc_pallidum > 0.0:
        pallidum = ellipsoid(p, (19.5, 0.0, -1.0), (2.2, 4.0, 2.5), -22.0)
        take(fractions, "calc", min(0.6, 0.35 * latents.calc_pallidum) * site.cover(pallidum))
