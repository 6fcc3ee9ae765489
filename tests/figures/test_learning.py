"""Figures of learning: the traces carry the logs and errors given, the diagram the sizes of the network."""

import numpy as np
import pandas as pd
import pytest

from a2a.common.errors import InputError
from a2a.figures import error_curves, linear_ratios, training_curves, unet_diagram
from a2a.forward.stack import StackSpec
from a2a.networks.unet import UNetConfig

SPEC = StackSpec.of("T1", "CT")


@pytest.fixture
def log() -> pd.DataFrame:
    """A training log as it is read from its CSV file."""
    check = [np.nan] * 9 + [0.06]
    return pd.DataFrame({"step": range(10, 110, 10), "loss": np.geomspace(1, 0.05, 10), "validation_loss": check})


def test_training_curves_draw_means_and_validation(log):
    figure = training_curves({"mine": log, "theirs": log.assign(loss=2 * log["loss"])}, smooth=3)
    mine, check, theirs, _ = figure.data
    assert mine.y[4] == pytest.approx(log["loss"][3:6].mean()) and theirs.y[4] == pytest.approx(2 * mine.y[4])
    assert list(check.x) == [100] and list(check.y) == [0.06]
    assert figure.layout.yaxis.type == "log" and {0.1, 0.2, 0.5, 1.0} <= set(np.round(figure.layout.yaxis.tickvals, 9))


def test_training_curves_are_titled_after_what_the_losses_are(log):
    assert training_curves({"mine": log}, quantity="absolute error").layout.yaxis.title.text == "absolute error"


def test_training_curves_without_validation_and_bad_logs(log):
    assert len(training_curves({"mine": log.drop(columns="validation_loss")}).data) == 1
    for bad in ({}, {"mine": log.drop(columns="loss")}, {"mine": log[:0]}):
        with pytest.raises(InputError, match="log"):
            training_curves(bad)


def test_error_curves_draw_the_root_of_the_squared_error():
    error = np.array([[1e-4, 4e-4], [9e-4, 0.01], [0.04, 0.09]])
    first, second = error_curves((0, 500, 999), error, SPEC).data
    np.testing.assert_allclose(first.y, [0.01, 0.03, 0.2])
    assert second.name == "CT" and second.line.dash != first.line.dash
    with pytest.raises(InputError, match=r"\(3, 2\)"):
        error_curves((0, 500, 999), error.T, SPEC)


def test_linear_ratios_draw_one_curve_for_each_prior():
    table = pd.DataFrame({"prior": ["b", "b", "a"], "t": [800, 900, 900], "network": [2, 3, 4], "linear": [4, 3, 2]})
    first, second = linear_ratios(table).data
    assert (first.name, list(first.x), list(first.y)) == ("b", [800, 900], [0.5, 1]) and list(second.y) == [2]
    after, before = linear_ratios(table.replace({"a": "b-first"})).data
    assert after.line.color == before.line.color and (after.line.dash, before.line.dash) == ("solid", "dash")
    assert first.line.color != second.line.color
    for bad in (table[:0], table.drop(columns="linear")):
        with pytest.raises(InputError, match="linear_ratios needs rows"):
            linear_ratios(bad)


def test_unet_diagram_names_every_level_twice_and_marks_attention():
    figure = unet_diagram(UNetConfig(5, width=8, multipliers=(1, 2, 4), attention=(4,)), 32)
    labels = [a.text for a in figure.layout.annotations]
    for label in ("32 × 32<br>8 channels", "16 × 16<br>16 channels", "8 × 8<br>32 channels"):
        assert labels.count(label) == 2
    bars = [s for s in figure.layout.shapes if s.type == "rect"]
    assert len(bars) == 6 and [b.fillcolor for b in bars].count(bars[2].fillcolor) == 2
    with pytest.raises(InputError, match="4 must divide"):
        unet_diagram(UNetConfig(5, multipliers=(1, 2, 4)), 30)
