"""What fills the cranial cavity: layers laid over one another from top to bottom."""

from collections.abc import Iterable
from itertools import chain

import numpy as np

from a2a.data.phantom.cortex import Surfaces
from a2a.data.phantom.head import Cavity, Site
from a2a.data.phantom.latents import Latents
from a2a.data.phantom.structures import Layer, base, cerebellum, nuclei, ventricles, vessels
from a2a.data.phantom.tissue import CLASSES, INDEX


def compose(layers: Iterable[Layer], count: int) -> np.ndarray:
    """Lay layers over one another, the first on top; what shines through all of them is CSF.

    Each layer takes its coverage of what the layers above have left (the "over" operator of computer
    graphics; Porter and Duff 1984).

    Parameters
    ----------
    layers
        Pairs of a class and its coverage in [0, 1], (count,).
    count
        Number of points.

    Returns
    -------
    ndarray
        Fractions, float32 (30, count), that sum to 1.
    """
    fractions = np.zeros((len(CLASSES), count), np.float32)
    through = np.ones(count, np.float32)
    for name, share in layers:
        fractions[INDEX[name]] += through * share
        through *= 1.0 - share
    fractions[INDEX["csf"]] += through
    return fractions


def build_brain(site: Site, cavity: Cavity, surfaces: Surfaces, latents: Latents, lateral: np.ndarray) -> np.ndarray:
    """Return the tissue fractions of a healthy brain at points inside the cavity, float32 (30, N).

    Parameters
    ----------
    site, cavity, surfaces, latents
        Points and the anatomy at them.
    lateral
        Signed distance to the lateral ventricles in mm.
    """
    cerebrum = site.cover(surfaces.cerebrum)
    layers = chain(
        vessels(site, cavity),
        ventricles(site, surfaces, latents, lateral),
        nuclei(site, latents),
        base(site, surfaces, latents),
        cerebellum(site, surfaces, latents),
        [
            ("wm", cerebrum * site.cover(surfaces.pial - surfaces.thickness)),
            ("cgm", cerebrum * site.cover(surfaces.pial)),
        ],
    )
    return compose(layers, len(site.x))
