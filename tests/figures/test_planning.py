"""Predicted and measured worth of scans: every mark in its place."""

import pandas as pd
import pytest

from a2a.common.errors import InputError
from a2a.figures import scan_forecasts

TABLE = pd.DataFrame(
    [
        ("T1", "PET", "CT", 0.1, 0.0, 0.2, 0.05, -0.1, 0.2),
        ("T1", "PET", "y(T2star)", 0.3, 0.2, 0.4, 0.4, 0.3, 0.5),
        ("nothing", "CT", "T1", 0.8, 0.7, 0.9, 0.7, 0.6, 0.8),
    ],
    columns=["given", "target", "scan", "predicted", "low", "high", "measured", "measured_low", "measured_high"],
)


def test_the_scan_that_helps_most_stands_first_below_its_case():
    figure = scan_forecasts(TABLE)
    axis = figure.layout.yaxis
    assert list(axis.ticktext) == ["<b>PET</b> given T1", "y(T2*)", "CT", "<b>CT</b> given nothing", "T1"]
    predicted, measured = figure.data
    assert list(predicted.x) == [0.3, 0.1, 0.8] and list(measured.x) == [0.4, 0.05, 0.7]
    assert list(measured.error_x.array) == pytest.approx([0.1, 0.15, 0.1])
    assert list(measured.error_x.arrayminus) == pytest.approx([0.1, 0.15, 0.1])
    marked = [axis.tickvals[i] for i in (1, 2, 4)]
    assert list(predicted.y) == pytest.approx([v - 0.17 for v in marked])


def test_a_table_without_a_column_is_refused():
    with pytest.raises(InputError, match="The table of scans has no column 'measured_low'"):
        scan_forecasts(TABLE.drop(columns="measured_low"))
