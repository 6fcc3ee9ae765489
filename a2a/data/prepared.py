"""What one subject becomes on its way into a slice store."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class PreparedSubject:
    """The slices of one subject and how they were made.

    Parameters
    ----------
    subject
        Its name.
    images
        ``float16 (N, n, H, W)`` in [0, 1], lowest plane first.
    planes, z_mm
        Index and world z (mm) of each plane.
    record
        JSON values for the manifest: inputs with checksums, normalisation, geometry.
    sheet
        A PNG to look at.
    """

    subject: str
    images: np.ndarray
    planes: list[int]
    z_mm: list[float]
    record: dict
    sheet: bytes


class SubjectSource(Protocol):
    """Where subjects come from. Implementations can be sent to another process."""

    def inputs(self, subjects: list[str]) -> dict:
        """JSON values that change when what would be read or generated changes."""

    def prepare(self, subject: str) -> PreparedSubject:
        """Make one subject's slices; an `InputError` says why it cannot be."""
