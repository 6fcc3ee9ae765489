"""A contact sheet shows the images in grey and outlines what is labelled, and only that."""

import io

import numpy as np
import pytest
from matplotlib.image import imread

from a2a.data.prepare.contact_sheets import sheet_png
from a2a.data.volumes.labels import UNKNOWN
from a2a.forward.stack import StackSpec

SPEC = StackSpec.of("T1", "CT")


def coloured(labels: np.ndarray | None) -> np.ndarray:
    """Centre (row, column) in [0, 1] of the coloured pixels of a sheet; empty if all are grey."""
    picture = imread(io.BytesIO(sheet_png("one", SPEC, [0.0, 5.0], np.full((2, 2, 32, 32), 0.5), labels)))
    there = np.argwhere(np.ptp(picture[..., :3], axis=-1) > 0.2)
    return there.mean(axis=0) / picture.shape[:2] if len(there) else np.zeros(0)


def test_a_lesion_is_outlined_on_every_row_of_its_slice():
    labels = np.zeros((2, 1, 32, 32), np.uint8)
    labels[1, 0, 12:20, 12:20] = 3
    row, column = coloured(labels)
    assert row == pytest.approx(0.5, abs=0.05) and column > 0.6


@pytest.mark.parametrize("value", [None, 0, UNKNOWN])
def test_nothing_is_outlined_where_nothing_is_labelled(value):
    assert coloured(None if value is None else np.full((2, 1, 32, 32), value, np.uint8)).size == 0
