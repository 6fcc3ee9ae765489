"""Series that hardly resemble their reference are named."""

import numpy as np
import pytest

from a2a.data.prepare.doubtful import doubts
from a2a.data.volumes.overlays import overlay_png


def store(*information: float) -> dict:
    return {
        f"s{n}": {"quality": {"T1": {"information": 3.0}, "T2": {"information": value}}}
        for n, value in enumerate(information)
    }


def test_a_series_far_below_the_same_series_of_others_is_named():
    found = doubts(store(1.2, 1.1, 0.11, 1.3))
    assert [(doubt.subject, doubt.series, doubt.information) for doubt in found] == [("s2", "T2", 0.11)]
    assert str(found[0]).startswith("s2: T2 shares 0.11 nat of information with its reference (usual are 1.15); is it")


@pytest.mark.parametrize("information", [(0.11,), (0.9, 0.11)])
def test_with_few_subjects_only_what_shares_next_to_nothing_is_named(information):
    assert [doubt.usual for doubt in doubts(store(*information))] == [None]


@pytest.mark.parametrize("information", [(0.3,), (0.4, 0.5, 0.3), ()])
def test_weak_but_usual_information_is_no_doubt(information):
    assert doubts(store(*information) | {"phantom": {}}) == ()


def test_overlays_show_the_patients_right_on_the_left_as_the_sheets_do(monkeypatch):
    from matplotlib.axes import Axes

    drawn = []
    shown = Axes.imshow
    monkeypatch.setattr(Axes, "imshow", lambda self, data, **how: (drawn.append(data), shown(self, data, **how))[1])
    data = np.zeros((40, 50, 3), dtype=np.float32)
    data[5:35, 5:45] = 0.3
    data[26:34, 32:44] = 1.0  # to the right and in front
    overlay_png("a", ("T1", data), {"T2": (np.zeros_like(data), np.zeros_like(data))}, (1.0, 1.0), (0, 1, 2))
    rows, columns = np.where(drawn[0].mean(axis=2) > 0.9)
    height, width = drawn[0].shape[:2]
    assert rows.mean() < height / 2 and columns.mean() < width / 2
