"""Errors in Hounsfield units and SUVR, against numbers set in these units."""

import numpy as np
import pytest

from a2a.evaluation.physical import physical_table
from a2a.forward.stack import Modality, StackSpec

CT, PET = Modality("CT", "CT", "HU", (-1000.0, 1600.0)), Modality("PET", "PET", "SUVR", (0.0, 3.0))
SPEC = StackSpec((Modality("T1"), CT, PET))


def image(values, modality: Modality) -> np.ndarray:
    low, high = modality.window
    return (np.asarray(values, float) - low) / (high - low)


@pytest.fixture
def heads() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A head of 40 HU with a skull of 900 HU in the air; made 10 HU too high, the skull 300 HU too low, PET 0.2 off."""
    truth, made = np.zeros((2, 3, 8, 8)), np.zeros((2, 3, 8, 8))
    hu = np.full((8, 8), -1000.0)
    hu[:, :4], hu[:, 4:7] = 40, 900
    truth[:, 1], made[:, 1] = image(hu, CT), image(hu + np.where(hu == 900, -300, np.where(hu == 40, 10, 500)), CT)
    truth[:, 2], made[:, 2] = image(np.full((8, 8), 1.2), PET), image(np.full((8, 8), 1.4), PET)
    head = np.zeros((2, 8, 8), bool)
    head[:, :, :7] = True
    return truth, made, head


def test_errors_are_those_in_physical_units_and_the_air_does_not_count(heads):
    truth, made, head = heads
    table = (
        physical_table(truth, made, head, np.array(["a", "b"]), SPEC).set_index(["subject", "modality", "metric"]).value
    )
    assert table["a", "CT", "mae_hu_soft"] == pytest.approx(10) == table["b", "CT", "bias_hu_soft"]
    assert table["a", "CT", "mae_hu_bone"] == pytest.approx(300) == -table["a", "CT", "bias_hu_bone"]
    assert table["a", "CT", "mae_hu"] == pytest.approx((4 * 10 + 3 * 300) / 7)
    assert table["a", "PET", "mae_suvr"] == pytest.approx(0.2)
    assert set(table.index.get_level_values("modality")) == {"CT", "PET"}


def test_of_hardly_any_bone_nothing_is_said(heads):
    truth, made, head = heads
    head[0, :, 6:] = False
    head[0, 3:, 5:] = False
    table = physical_table(truth, made, head, np.array(["a", "b"]), SPEC)
    assert set(table[table.metric == "mae_hu_bone"].subject) == {"b"}
