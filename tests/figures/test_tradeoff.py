"""Quality over evaluations carries the means of the subjects, in order."""

import numpy as np
import pandas as pd
import pytest

from a2a.common.errors import InputError
from a2a.figures import cost_ratios, quality_curves


@pytest.fixture
def table() -> pd.DataFrame:
    rows = [
        (subject, modality, method, steps, "psnr", steps / 10 + subject + 5 * (method == "MPS"))
        for method in ("MDS", "MPS")
        for steps in (50, 5, 150)
        for modality in ("CT", "PET")
        for subject in range(4)
    ]
    return pd.DataFrame(rows, columns=["subject", "modality", "method", "evaluations", "metric", "value"])


def test_a_line_for_each_method_and_a_panel_for_each_modality(table):
    figure = quality_curves(table)
    assert len(figure.data) == 4 and [a.text for a in figure.layout.annotations] == ["CT", "PET"]
    line = next(trace for trace in figure.data if trace.name == "MPS")
    np.testing.assert_allclose(line.x, [5, 50, 150])
    np.testing.assert_allclose(line.y, np.array([0.5, 5, 15]) + 6.5)

    over = quality_curves(table.rename(columns={"evaluations": "start"}), over="start", title="start M")
    assert over.layout.xaxis.title.text == "start M" and all(
        (a.x == b.x).all() and (a.y == b.y).all() for a, b in zip(over.data, figure.data, strict=True)
    )


def test_small_numbers_have_ticks_too(table):
    even = quality_curves(table.assign(rho=table.evaluations - table.evaluations.min()), over="rho", logarithmic=False)
    assert even.layout.xaxis.type != "log" and 0 in even.data[0].x
    small = quality_curves(table.assign(scale=table.evaluations / 1000), over="scale", title="scale")
    assert {0.05, 0.25} <= {float(text) for text in small.layout.xaxis.ticktext}
    assert [float(text) for text in small.layout.xaxis.ticktext] == pytest.approx(list(small.layout.xaxis.tickvals))


def test_wrong_tables_are_refused(table):
    with pytest.raises(InputError, match="column 'evaluations'"):
        quality_curves(table.drop(columns="evaluations"))
    with pytest.raises(InputError, match="no metric 'ssim'"):
        quality_curves(table, "ssim")


@pytest.fixture
def costs() -> pd.DataFrame:
    rows = [
        ("MDS", "F", 1.02, 1.0, 1.04, "<= 1.03"),
        ("MPS", "G", 1.01, 1.0, 1.02, np.nan),
        ("CG", "F", 1.4, 1.3, 1.5, "<= 1.25"),
    ]
    return pd.DataFrame(rows, columns=["what", "floor", "ratio", "ratio_low", "ratio_high", "goal"])


def test_ratios_have_a_colour_for_each_floor_and_a_tick_for_each_aim(costs):
    figure = cost_ratios(costs, {"F": "a forward pass"})
    assert [trace.name for trace in figure.data] == ["times a forward pass", "times G", "aim"]
    np.testing.assert_allclose(figure.data[0].x, [1.02, 1.4])
    np.testing.assert_allclose(figure.data[0].error_x.array, [0.02, 0.1])
    np.testing.assert_allclose(figure.data[2].x, [1.03, 1.25])
    assert list(figure.layout.yaxis.categoryarray) == ["CG", "MPS", "MDS"]


def test_ratios_that_cannot_be_drawn_are_refused(costs):
    with pytest.raises(InputError, match="column 'goal'"):
        cost_ratios(costs.drop(columns="goal"), {})
    with pytest.raises(InputError, match="above 0"):
        cost_ratios(costs.assign(ratio=0.0), {}, logarithmic=True)
