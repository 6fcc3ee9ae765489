"""Scan an anatomy: from tissue fractions to the images of all modalities."""

from dataclasses import dataclass

import numpy as np

from a2a.data.phantom.acquisition import (
    ACQUISITIONS,
    ct_noise,
    pet_filter,
    pet_noise,
    point_spread,
    pool,
    rician,
    sensitivity,
)
from a2a.data.phantom.anatomy import Anatomy, Streams
from a2a.data.phantom.fields import Stream
from a2a.data.phantom.grid import Grid
from a2a.data.phantom.mixing import Variation, draw_variation, hounsfield, mr_signal, susceptibility_loss, uptake
from a2a.data.phantom.tissue import INDEX, TissueParameters, draw_parameters
from a2a.errors import InputError


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
        """Draw tissue values and their variation in space."""
        values = rng(Stream.TISSUE)
        return cls(
            anatomy=anatomy,
            tissue=draw_parameters(values, anatomy.latents, pet_phase),
            variation=draw_variation(values, anatomy.points, anatomy.fractions),
            amyloid=anatomy.latents.amyloid if pet_phase == "late" else 0.0,
            scale=float(np.exp(rng(Stream.PET_SCALE).normal(0.0, 0.04))),
        )

    def contrast(self, name: str) -> np.ndarray:
        """Return the ideal contrast of a modality, float32 (Z, H, W): signed MR signal, HU or SUVR."""
        body, latents = self.anatomy, self.anatomy.latents
        kind, air = ACQUISITIONS[name].kind, ACQUISITIONS[name].background
        if kind == "CT":
            return body.volume(hounsfield(body.fractions, self.tissue, self.variation, latents), air)
        if kind == "PET":
            suvr = uptake(body.points, body.depth, body.fractions, self.tissue, self.variation, self.amyloid)
            return np.float32(self.scale) * body.volume(suvr, air)
        signal = body.volume(mr_signal(name, body.fractions, self.tissue, self.variation, latents), air)
        if name == "T2star":
            sinus, vein, bleed, calc = (body.fractions[INDEX[n]] for n in ("sinus", "vein", "bleed", "calc"))
            sources = body.volume(sinus), body.volume(bleed + np.float32(0.3) * calc), body.volume(vein)
            signal *= susceptibility_loss(body.grid, *sources)
        return signal


def acquire(
    name: str, contrast: np.ndarray, fine: Grid, grid: Grid, white: np.ndarray, rng: Streams
) -> tuple[np.ndarray, np.ndarray]:
    """Scan an ideal contrast.

    Parameters
    ----------
    name
        Modality.
    contrast
        From `Patient.contrast`, on the grid `fine`.
    fine, grid
        Grid of the contrast and grid of the image.
    white
        Fraction of white matter on `grid`; sets the MR noise level.
    rng
        Returns the generator of a stream.

    Returns
    -------
    clean, noisy : float32 (Z, H, W)
        The image without and with noise, both with point spread, receive bias and gain.

    Raises
    ------
    InputError
        If an MR image has no voxel of white matter from which to take the noise level.
    """
    acquisition = ACQUISITIONS[name]
    image = pool(point_spread(contrast, fine, acquisition), grid.size)
    noise = rng(Stream.NOISE + acquisition.number)
    if acquisition.kind == "CT":
        return image, image + ct_noise(grid, noise)
    if acquisition.kind == "PET":
        return pet_filter(image, grid), pet_filter(pet_noise(image, grid, noise), grid)
    image = image * sensitivity(grid, rng(Stream.COIL), rng(Stream.BIAS + acquisition.number))
    reference = image[white > 0.95]
    if not reference.size:
        raise InputError("No white matter between z_lo and z_hi, which sets the MR noise level; take -40 and 76 mm.")
    return np.abs(image), rician(image, float(np.median(reference)) / acquisition.snr, noise)
