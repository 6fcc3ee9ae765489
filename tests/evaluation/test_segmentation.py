"""Dice and HD95 of hand-made masks."""

import numpy as np
import pytest

from a2a.common.errors import InputError
from a2a.evaluation.segmentation import REGIONS, dice, hd95, segmentation_table


def box(*corner: int) -> np.ndarray:
    mask = np.zeros((4, 16, 16), bool)
    z, y, x = corner
    mask[z : z + 2, y : y + 4, x : x + 4] = True
    return mask


def test_dice_is_the_overlap_and_says_nothing_of_two_empty_masks():
    one, nothing = box(0, 2, 2), np.zeros((4, 16, 16), bool)
    assert dice(one, one) == 1 and dice(one, box(0, 4, 2)) == 0.5 and dice(one, nothing) == 0
    assert np.isnan(dice(nothing, nothing)) and np.isnan(hd95(nothing, nothing, (4, 1, 1)))
    with pytest.raises(InputError, match="Masks must be of one shape"):
        dice(one, one[0])


def test_hd95_is_in_millimetres_along_each_axis_and_the_diagonal_where_one_is_empty():
    one = box(0, 2, 2)
    assert hd95(one, one, (4, 1, 1)) == 0
    assert hd95(one, box(2, 2, 2), (4, 1, 1)) == pytest.approx(8)
    assert hd95(one, box(0, 2, 8), (4, 1, 3)) == pytest.approx(18)
    assert hd95(one, ~(one | ~one), (4, 1, 1)) == pytest.approx(np.linalg.norm([16, 16, 16]))


def test_a_table_has_the_regions_that_a_subject_or_its_outline_has():
    true = np.zeros((4, 16, 16), np.uint8)
    true[:2, 2:6, 2:6], true[:2, 3:5, 3:5] = 2, 3
    found = segmentation_table(true, true, np.array(list("aabb")), REGIONS["tumour"], 3.5, np.arange(4) * 8.0)
    assert found.set_index(["subject", "metric"]).value.to_dict() == {
        ("a", f"{metric}_{region}"): value
        for region in ("wt", "tc", "et")
        for metric, value in (("dice", 1), ("hd95", 0))
    }
