"""What one subject becomes on its way into a slice store."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class PreparedSubject:
    """The slices of one subject and how they were made.

    Parameters
    ----------
    subject
        Its name; that of the scan, if a subject has several.
    images
        ``float16 (N, n, H, W)`` in [0, 1], lowest plane first.
    planes, z_mm
        Index and world z (mm) of each plane.
    record
        JSON values for the manifest: inputs with checksums, normalisation, geometry, transforms, quality.
    sheet
        A PNG to look at.
    overlay
        A PNG of the registrations; empty if nothing was registered.
    labels
        ``uint8 (N, maps, H, W)`` if the source has label maps.
    """

    subject: str
    images: np.ndarray
    planes: list[int]
    z_mm: list[float]
    record: dict
    sheet: bytes
    overlay: bytes = b""
    labels: np.ndarray | None = None


class SubjectSource(Protocol):
    """Where subjects come from. Implementations can be sent to another process."""

    @property
    def label_maps(self) -> list[dict]:
        """JSON values of the label maps that come with every slice: names, and the meaning of their values."""

    def inputs(self, subjects: Sequence[str]) -> dict:
        """JSON values per subject that change when what would be read or generated changes."""

    def prepare(self, subject: str) -> PreparedSubject:
        """Make one subject's slices; an `InputError` says why it cannot be."""
