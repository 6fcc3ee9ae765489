"""How well could anybody predict a phantom's image? What differs when the anatomy is known and the rest is drawn again.

`floor` is a Bayes-type reference: a single draw is what a perfect sampler would give, the mean of many draws what a
perfect regression would. Explained in the chapter "The data".
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from a2a.common.errors import InputError
from a2a.data.phantom.config import PhantomConfig
from a2a.data.phantom.fields import Stream, Streams, stream
from a2a.data.phantom.latents import draw_amyloid
from a2a.data.phantom.normalise import stack_images
from a2a.data.phantom.scan import Patient
from a2a.data.phantom.subject import Case


@dataclass(frozen=True, eq=False)
class Floor:
    """A subject's slices and the same drawn again.

    Parameters
    ----------
    names
        The n modalities.
    truth : float32 (N, n, H, W)
        The subject's slices in image units.
    draws : float32 (D, N, n, H, W)
        The same with everything unknown drawn again.
    """

    names: tuple[str, ...]
    truth: np.ndarray
    draws: np.ndarray

    @property
    def sample_psnr(self) -> dict[str, float]:
        """PSNR in dB (data range 1, all slices together) of a single draw, from the mean error of all draws."""
        return self._psnr(((self.draws - self.truth) ** 2).mean(axis=(0, 1, 3, 4), dtype=np.float64))

    @property
    def mean_psnr(self) -> dict[str, float]:
        """PSNR in dB of the mean of the draws; up to 3 dB above that of a single one."""
        error = self.draws.mean(axis=0, dtype=np.float64) - self.truth
        return self._psnr((error**2).mean(axis=(0, 2, 3)))

    def _psnr(self, errors: np.ndarray) -> dict[str, float]:
        return {name: float(-10.0 * np.log10(e)) for name, e in zip(self.names, errors, strict=True)}


def floor(
    config: PhantomConfig,
    subject_id: int,
    pet_scale: float,
    unknown: Literal["noise", "amyloid"] = "noise",
    draws: int = 8,
    n_slices: int = 12,
) -> Floor:
    """Draw a subject again where nothing could be known, and compare.

    Parameters
    ----------
    config
        What is generated. For ``unknown="amyloid"`` only PET is, so the preset must have it.
    subject_id
        Non-negative number of the subject.
    pet_scale
        SUVR that becomes 1, from `pet_constant`.
    unknown
        ``"noise"``: noise, own bias and gain of each modality are drawn again, all of the patient is known.
        ``"amyloid"``: also everything that only PET shows, namely amyloid status and load (given the age), their
        pattern in space, the uptake of each tissue and the global scale.
    draws
        How often.
    n_slices
        Slices that are compared, see `slice_indices`.

    Raises
    ------
    InputError
        If there is nothing to draw, or the preset has no PET where amyloid is asked for.
    """
    if draws < 1:
        raise InputError(f"draws must be 1 or more, got {draws}.")
    if unknown == "amyloid" and "PET" not in config.kind.modalities:
        raise InputError(f"Preset {config.preset} has no PET, so amyloid is unknown in none of its images.")
    if unknown == "amyloid":
        config = config.model_copy(update={"modalities": ("PET",)})
    case = Case.build(config, subject_id)

    def slices(patient: Patient, rng: Streams) -> np.ndarray:
        images = {name: noisy for name, (_, noisy) in case.scan(patient, rng).items()}
        return stack_images(images, config.grid.planes, n_slices, pet_scale)

    again = []
    for draw in range(1, draws + 1):
        patient = _other_amyloid(case, draw) if unknown == "amyloid" else case.patient
        again.append(slices(patient, _other_noise(case, draw)))
    return Floor(config.names, slices(case.patient, case.rng), np.stack(again))


def _other_noise(case: Case, draw: int) -> Streams:
    """Streams of the subject, but for noise, own bias and own gain."""

    def rng(purpose: int) -> np.random.Generator:
        own = Stream.NOISE <= purpose < Stream.POSITION
        return stream(case.config.dataset_seed, case.subject_id, purpose, draw if own else 0)

    return rng


def _other_amyloid(case: Case, draw: int) -> Patient:
    """The patient with other amyloid and other uptake; anatomy and all that MR and CT show stay."""

    def rng(purpose: int) -> np.random.Generator:
        return stream(case.config.dataset_seed, case.subject_id, purpose, draw)

    patient, anatomy = case.patient, case.patient.anatomy
    positive, load = draw_amyloid(rng(Stream.LATENTS), anatomy.latents.age)
    latents = replace(anatomy.latents, amyloid_positive=positive, amyloid=load)
    other = Patient.draw(replace(anatomy, latents=latents), rng, case.config.pet_phase)
    return replace(
        patient,
        tissue=replace(patient.tissue, suvr=other.tissue.suvr),
        variation=replace(patient.variation, amyloid=other.variation.amyloid),
        amyloid=other.amyloid,
        scale=other.scale,
    )
