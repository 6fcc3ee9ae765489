"""Figures about samples carry the numbers given, and wrong tables are refused."""

import numpy as np
import pandas as pd
import pytest

from a2a.common.errors import InputError
from a2a.figures import coverage_curves, draw_strips


@pytest.fixture
def table() -> pd.DataFrame:
    rows = [(m, v, v, v**2) for m in ("CT", "PET") for v in (0.9, 0.5)]
    return pd.DataFrame(rows, columns=["modality", "level", "nominal", "covered"])


def test_coverage_curves_have_a_panel_for_each_modality_and_a_diagonal(table):
    figure = coverage_curves({"raw": table, "mended": table.assign(covered=table.nominal)})
    raw = [t for t in figure.data if t.name == "raw"]
    assert len(raw) == 2 and [t for t in figure.data if t.name == "calibrated"][0].x == (0, 1)
    np.testing.assert_allclose(raw[1].x, [0.5, 0.9])
    np.testing.assert_allclose(raw[1].y, [0.25, 0.81])
    assert "CT, PET" in figure.layout.meta["description"]


def test_coverage_curves_refuse(table):
    for bad in ({}, {"a": table, "b": table[table.modality == "CT"]}):
        with pytest.raises(InputError, match="same modalities"):
            coverage_curves(bad)


def test_draw_strips_keep_every_value_in_its_row():
    rows = {"patient 1": {"truth": [1.0], "samples": [1.1, 0.9]}, "patient 2": {"truth": [2.0], "samples": [2.2]}}
    figure = draw_strips(rows, "uptake (SUVR)")
    truth, samples = figure.data
    np.testing.assert_allclose(truth.x, [1.0, 2.0])
    np.testing.assert_allclose(np.round(samples.y), [1, 1, 0])
    assert figure.layout.yaxis.ticktext == ("patient 1", "patient 2") and figure.layout.yaxis.tickvals == (1, 0)


def test_draw_strips_refuse():
    for bad in ({}, {"a": {"x": [1]}, "b": {"y": [1]}}, {"a": {}}):
        with pytest.raises(InputError, match="draw_strips needs"):
            draw_strips(bad, "x")
