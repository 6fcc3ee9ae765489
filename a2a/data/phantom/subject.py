"""Generate one subject of the phantom: `generate_subject(PhantomConfig(size=64), subject_id=0)`.

Explained in the chapter "The data".
"""

from dataclasses import asdict, dataclass
from functools import partial

import numpy as np

from a2a.common.errors import InputError
from a2a.data.phantom.anatomy import build_anatomy
from a2a.data.phantom.config import PhantomConfig
from a2a.data.phantom.fields import Streams, stream
from a2a.data.phantom.maps import Maps, tissue_maps
from a2a.data.phantom.scan import Patient, Scanner


@dataclass(frozen=True, eq=False)
class Subject:
    """One synthetic subject.

    Parameters
    ----------
    subject_id
        Its number.
    images
        Name to float32 (Z, H, W): MR in arbitrary units, ADC in 1e-3 mm^2/s, CT in HU, PET in SUVR. Zero outside the
        brain where the preset strips the skull.
    labels : uint8 (Z, H, W)
        Class with the largest fraction, an index into `tissue.CLASSES`.
    lesion : uint8 (Z, H, W)
        Lesion class that fills more than half of the voxel, numbered as in the preset's `lesions`; 0 elsewhere.
    brain_mask : bool (Z, H, W)
        Inside of the skull without its outer 1.5 mm and the venous sinuses near it.
    latents
        Numbers that made the subject; lesions as ``bleed0_x``, ``tumour_radius``, ``infarct_stage`` etc., in mm.
    affine : float64 (4, 4)
        From array indices (slice, row, column) to world RAS+ in mm.
    planes : float64 (Z,)
        Heights z in mm.
    clean, fractions
        Noise-free images, and tissue fractions float32 (30, Z, H, W), if asked for.
    """

    subject_id: int
    images: dict[str, np.ndarray]
    labels: np.ndarray
    lesion: np.ndarray
    brain_mask: np.ndarray
    latents: dict[str, float]
    affine: np.ndarray
    planes: np.ndarray
    clean: dict[str, np.ndarray] | None = None
    fractions: np.ndarray | None = None


def generate_subject(config: PhantomConfig, subject_id: int) -> Subject:
    """Generate a subject: anatomy, tissue values, signal equations, scanner.

    Bit-equal for equal arguments on one machine; independent of the order in which subjects are made.

    Parameters
    ----------
    config
        What to generate.
    subject_id
        Non-negative number of the subject.

    Raises
    ------
    InputError
        If `subject_id` is negative.
    """
    case = Case.build(config, subject_id)
    scans = case.scan(case.patient, case.rng)
    maps, anatomy, grid = case.maps, case.patient.anatomy, config.grid
    return Subject(
        subject_id=subject_id,
        images={name: noisy for name, (_, noisy) in scans.items()},
        labels=maps.labels,
        lesion=maps.lesion,
        brain_mask=maps.brain,
        latents=asdict(anatomy.latents) | anatomy.lesions.latents(),
        affine=grid.affine,
        planes=grid.planes,
        clean={name: clean for name, (clean, _) in scans.items()} if config.keep_clean else None,
        fractions=maps.fractions,
    )


@dataclass(frozen=True, eq=False)
class Case:
    """A subject before it is scanned: patient, and what is where.

    Parameters
    ----------
    config, subject_id
        As for `generate_subject`.
    patient
        Anatomy and tissue.
    maps
        The same on the grid of the images.
    """

    config: PhantomConfig
    subject_id: int
    patient: Patient
    maps: Maps

    @classmethod
    def build(cls, config: PhantomConfig, subject_id: int) -> "Case":
        """Generate the patient; errors as for `generate_subject`."""
        if subject_id < 0:
            raise InputError(f"subject_id must be 0 or more, got {subject_id}.")
        rng = partial(stream, config.dataset_seed, subject_id)
        anatomy = build_anatomy(config.grid.fine, rng, config.kind, config.lesions)
        patient = Patient.draw(anatomy, rng, config.pet_phase)
        maps = tissue_maps(anatomy, config.size, config.kind.lesions, config.keep_fractions)
        return cls(config, subject_id, patient, maps)

    def rng(self, purpose: int) -> np.random.Generator:
        """Return the subject's generator of a stream."""
        return stream(self.config.dataset_seed, self.subject_id, purpose)

    def scan(self, patient: Patient, rng: Streams) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Scan a patient of this anatomy, as `Scanner.scan` does, and strip the skull if the preset says so."""
        config = self.config
        still = config.kind.modalities[0] if config.misregistration else None
        pairs = Scanner(patient, config.grid, self.maps.white, rng, still, config.kind.site).scan(config.names)
        if not config.kind.stripped:
            return pairs
        return {name: tuple(image * self.maps.brain for image in pair) for name, pair in pairs.items()}
