"""Label maps: which voxels are lesion, tumour or infarct, checked against what the card says they may hold."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from a2a.common.errors import InputError
from a2a.data.cards.layouts import Layout, Scan
from a2a.data.cards.parts import LabelCard
from a2a.data.volumes.nifti import Volume, read_volume, require_same_grid, to_ras
from a2a.data.volumes.slices import SliceGeometry

UNKNOWN = 255  # what the slices of a subject without a label map hold


def read_labels(path: Path, card: LabelCard) -> Volume:
    """Read a label map in RAS order; a map without any label is fine.

    Raises
    ------
    InputError
        If the file is unusable or holds a value that the card does not explain.
    """
    volume = to_ras(read_volume(path, allow_empty=True))
    known = sorted(card.values)
    unknown = np.setdiff1d(np.unique(volume.data), known)
    if unknown.size:
        found = ", ".join(f"{value:g}" for value in unknown[:5])
        raise InputError(
            f"{path} holds the label {found}; the card explains {', '.join(map(str, known))} for {card.name}."
        )
    return volume


def read_label_maps(
    scan: Scan, cards: Sequence[LabelCard], layout: Layout, root: Path, reference: Volume
) -> dict[str, Volume | None]:
    """Read every label map of a layout; None where the scan has none.

    Parameters
    ----------
    scan
        Its files.
    cards
        What each label map means.
    layout
        Where the files lie.
    root
        Folder of the data set.
    reference
        The volume whose grid the maps must have.

    Raises
    ------
    InputError
        As `read_labels`, or if a map does not lie on the grid of the reference.
    """
    found = {}
    for card in cards:
        if card.name in layout.labels:
            there = ("label", card.name) in scan.files
            found[card.name] = read_labels(scan.one("label", card.name, layout, root), card) if there else None
    require_same_grid([reference, *(volume for volume in found.values() if volume is not None)])
    return found


def label_volumes(volume: Volume, card: LabelCard) -> dict[str, float]:
    """Millilitres of each label, background left out."""
    voxel_ml = abs(float(np.linalg.det(volume.affine[:3, :3]))) / 1000
    return {
        name: round(float((volume.data == value).sum() * voxel_ml), 3) for value, name in card.values.items() if value
    }


def label_slices(volume: Volume | None, card: LabelCard, geometry: SliceGeometry) -> np.ndarray:
    """Bring a label map to the training grid: each pixel takes the label that covers most of it.

    Parameters
    ----------
    volume
        The map on the grid of the subject's volumes; None gives `UNKNOWN` everywhere.
    card
        Its values.
    geometry
        Where the slices lie.

    Returns
    -------
    numpy.ndarray
        ``uint8 (N, size, size)``.
    """
    if volume is None:
        return np.full((len(geometry.planes), geometry.size, geometry.size), UNKNOWN, dtype=np.uint8)
    values = np.array([value for value in sorted(card.values) if value], dtype=np.uint8)
    parts = np.stack([geometry.to_slices((volume.data == value).astype(np.float32)) for value in values])
    background = 1 - parts.sum(axis=0)
    most = parts.argmax(axis=0)
    return np.where(parts.max(axis=0) > background, values[most], 0).astype(np.uint8)
