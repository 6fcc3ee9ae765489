"""Generate one subject of the phantom: `generate_subject(PhantomConfig(size=64), subject_id=0)`.

Explained in the chapter "The synthetic data set".
"""

from dataclasses import asdict, dataclass

import numpy as np

from a2a.data.phantom.acquisition import pool
from a2a.data.phantom.anatomy import Anatomy, build_anatomy
from a2a.data.phantom.config import PhantomConfig
from a2a.data.phantom.fields import stream
from a2a.data.phantom.scan import Patient, acquire
from a2a.data.phantom.tissue import INDEX
from a2a.errors import InputError


@dataclass(frozen=True, eq=False)
class Subject:
    """One synthetic subject.

    Parameters
    ----------
    subject_id
        Its number.
    images
        Name to float32 (Z, H, W): MR in arbitrary units, CT in HU, PET in SUVR.
    labels : uint8 (Z, H, W)
        Class with the largest fraction, an index into `tissue.CLASSES`.
    brain_mask : bool (Z, H, W)
        Inside of the skull without its outer 1.5 mm and the venous sinuses near it.
    latents
        Numbers that made the subject; bleeds as ``bleed0_x`` etc. in canonical mm.
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
    if subject_id < 0:
        raise InputError(f"subject_id must be 0 or more, got {subject_id}.")

    def rng(purpose: int) -> np.random.Generator:
        return stream(config.dataset_seed, subject_id, purpose)

    grid = config.grid
    anatomy = build_anatomy(grid.fine, rng, config.preset, config.lesions)
    patient = Patient.draw(anatomy, rng, config.pet_phase)
    fractions = _fraction_volumes(anatomy, grid.size)
    white = fractions[INDEX["wm"]]
    scans = {name: acquire(name, patient.contrast(name), grid.fine, grid, white, rng) for name in config.names}
    return Subject(
        subject_id=subject_id,
        images={name: noisy for name, (_, noisy) in scans.items()},
        labels=fractions.argmax(axis=0).astype(np.uint8),
        brain_mask=pool(anatomy.brain_mask, grid.size) > 0.5,
        latents=_flat_latents(anatomy),
        affine=grid.affine,
        planes=grid.planes,
        clean={name: clean for name, (clean, _) in scans.items()} if config.keep_clean else None,
        fractions=fractions if config.keep_fractions else None,
    )


def _flat_latents(anatomy: Anatomy) -> dict[str, float]:
    bleeds = {f"bleed{i}_{key}": v for i, b in enumerate(anatomy.bleeds) for key, v in asdict(b).items()}
    return asdict(anatomy.latents) | bleeds


def _fraction_volumes(anatomy: Anatomy, size: int) -> np.ndarray:
    """Tissue fractions on the grid of the images, float32 (30, Z, size, size)."""
    background = np.zeros(len(anatomy.fractions), np.float32)
    background[INDEX["air"]] = 1.0
    pairs = zip(anatomy.fractions, background, strict=True)
    return np.stack([pool(anatomy.volume(share, outside), size) for share, outside in pairs])
