"""Scan an anatomy: from tissue fractions to the images of all modalities."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from a2a.common.errors import InputError
from a2a.data.phantom.acquisition import (
    ACQUISITIONS,
    ct_noise,
    diffusion_coefficient,
    pet_filter,
    pet_noise,
    point_spread,
    pool,
    rician,
    sensitivity,
)
from a2a.data.phantom.anatomy import Anatomy
from a2a.data.phantom.fields import Stream, Streams
from a2a.data.phantom.grid import Grid
from a2a.data.phantom.infarct import with_stage
from a2a.data.phantom.mixing import Variation, draw_variation, hounsfield, mr_signal, susceptibility_loss, uptake
from a2a.data.phantom.motion import Motion
from a2a.data.phantom.site import USUAL, Site
from a2a.data.phantom.tissue import INDEX, TissueParameters, draw_parameters


@dataclass(frozen=True, eq=False)
class Patient:
    """An anatomy with the physical properties of its tissues.

    `scale` is the global PET factor and `amyloid` the load that the tracer shows.
    """

    anatomy: Anatomy
    tissue: TissueParameters
    variation: Variation
    amyloid: float
    scale: float

    @classmethod
    def draw(cls, anatomy: Anatomy, rng: Streams, pet_phase: str) -> "Patient":
        """Draw tissue values and their variation in space.

        Parameters
        ----------
        anatomy
            The subject.
        rng
            Its random streams.
        pet_phase
            ``"late"`` (amyloid-like) or ``"early"`` (perfusion-like).
        """
        values, infarct = rng(Stream.TISSUE), anatomy.lesions.infarct
        tissue = draw_parameters(values, anatomy.latents, pet_phase)
        return cls(
            anatomy=anatomy,
            tissue=tissue if infarct is None else with_stage(tissue, infarct.stage),
            variation=draw_variation(values, anatomy.points, anatomy.fractions),
            amyloid=anatomy.latents.amyloid if pet_phase == "late" else 0.0,
            scale=float(np.exp(rng(Stream.PET_SCALE).normal(0.0, 0.04))),
        )

    def contrast(self, name: str, site: Site = USUAL) -> np.ndarray:
        """Return the ideal contrast of a modality at a hospital, float32 (Z, H, W): signed MR signal, HU or SUVR."""
        body, latents, tumour = self.anatomy, self.anatomy.latents, self.anatomy.lesions.tumour
        kind, air = ACQUISITIONS[name].kind, ACQUISITIONS[name].background
        if kind == "CT":
            return body.volume(hounsfield(body.fractions, self.tissue, self.variation, latents), air)
        if kind == "PET":
            suvr = uptake(body.points, body.depth, body.fractions, self.tissue, self.variation, self.amyloid)
            return np.float32(self.scale) * body.volume(suvr, air)
        leak = 0.0 if tumour is None else tumour.leak
        signal = body.volume(mr_signal(name, body.fractions, self.tissue, self.variation, latents, leak, site), air)
        if name == "T2star":
            sinus, vein, bleed, calc = (body.fractions[INDEX[n]] for n in ("sinus", "vein", "bleed", "calc"))
            sources = body.volume(sinus), body.volume(bleed + np.float32(0.3) * calc), body.volume(vein)
            signal *= susceptibility_loss(body.grid, *sources)
        return signal


@dataclass(frozen=True, eq=False)
class Scanner:
    """A scan of one patient.

    Parameters
    ----------
    patient
        Who is scanned.
    grid
        Grid of the images; geometry was evaluated on ``grid.fine``.
    white
        Fraction of white matter on `grid`; sets the MR noise level.
    rng
        Returns the generator of a stream.
    still
        The modality that the others are registered to; None if all of them are exactly.
    site
        The hospital.
    """

    patient: Patient
    grid: Grid
    white: np.ndarray
    rng: Streams
    still: str | None = None
    site: Site = USUAL

    def scan(self, names: Sequence[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Acquire modalities.

        Returns
        -------
        dict
            Name to (clean, noisy), float32 (Z, H, W): the image without and with noise, both with point spread,
            receive bias and gain.

        Raises
        ------
        InputError
            If an MR image has no voxel of white matter from which to take the noise level.
        """
        sources = {"ADC": ("B0", "DWI")}
        needed = dict.fromkeys(source for name in names for source in sources.get(name, (name,)))
        acquired = {name: self.acquire(name, self.ideal(name)) for name in needed}
        if "ADC" in names:
            pairs = zip(acquired["B0"], acquired["DWI"], strict=True)
            acquired["ADC"] = tuple(diffusion_coefficient(b0, weighted) for b0, weighted in pairs)
        return {name: self._stored(name, acquired[name]) for name in names}

    def _stored(self, name: str, pair: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Apply the hospital's law of storing to an MR image without and with noise; the ADC is a physical map."""
        if name == "ADC" or ACQUISITIONS[name].kind != "MR":
            return pair
        clean, noisy = pair
        white = float(np.median(clean[self.white > 0.95]))
        return self.site.stored(clean, white), self.site.stored(noisy, white)

    def ideal(self, name: str) -> np.ndarray:
        """Return the contrast on the grid of the image, with point spread (and as it was moved)."""
        contrast = point_spread(self.patient.contrast(name, self.site), self.grid.fine, self.site.acquisition(name))
        if self.still not in (None, name):
            motion = Motion.draw(self.rng(Stream.POSITION + ACQUISITIONS[name].session))
            contrast = motion.apply(contrast, self.grid.fine)
        return pool(contrast, self.grid.size)

    def acquire(self, name: str, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Add receive bias, gain and noise to a contrast from `ideal`; return it without and with noise."""
        acquisition, grid = self.site.acquisition(name), self.grid
        noise = self.rng(Stream.NOISE + acquisition.number)
        if acquisition.kind == "CT":
            return image, image + ct_noise(grid, noise)
        if acquisition.kind == "PET":
            return pet_filter(image, grid), pet_filter(pet_noise(image, grid, noise), grid)
        image = image * sensitivity(grid, self.rng(Stream.COIL), self.rng(Stream.BIAS + acquisition.session))
        reference = image[self.white > 0.95]
        if not reference.size:
            raise InputError("No white matter (it sets the MR noise level) between z_lo and z_hi; take -40 and 76 mm.")
        return np.abs(image), rician(image, float(np.median(reference)) / acquisition.snr, noise)
