"""Figures of results tables: what they draw are the table's means, intervals and paired differences, in order."""

import numpy as np
import pandas as pd
import pytest

from a2a.common.errors import InputError
from a2a.evaluation.estimates import estimates
from a2a.evaluation.metrics import summary
from a2a.figures import method_differences, method_dots, scenario_ladder, sourced, table_source, verdict_table
from a2a.figures.looks import METHODS, looks
from a2a.forward.stack import Modality, StackSpec

SPEC = StackSpec((Modality("T1"), Modality("T2star"), Modality("CT", kind="CT")))
METHOD = ("any2all-mps", "any2all-mds", "mmgan")
SCENARIOS = ("T1", "T1 + T2star")


@pytest.fixture(scope="module")
def results() -> pd.DataFrame:
    """CT from two scenarios by three methods, eight subjects; mmGAN is 3 dB better than MPS in each of them."""
    rng, rows = np.random.default_rng(0), []
    for more, scenario in enumerate(SCENARIOS):
        base = 25 + more + rng.normal(size=8)
        for number, method in enumerate(METHOD):
            noise = rng.normal(size=8) if method == "any2all-mds" else 0
            rows += [(scenario, method, f"{s}", "psnr", v) for s, v in enumerate(base + 1.5 * number + noise)]
            rows += [(scenario, method, "all subjects", "rfd", 10.0 ** (number + 1))]
            rows += [(scenario, method, f"half {h}", "rfd_half", 10.0 ** (number + 1) * (1 + h)) for h in range(4)]
    table = pd.DataFrame(rows, columns=["scenario", "method", "subject", "metric", "value"])
    return table.assign(modality="CT", estimate="single sample")


def test_estimates_are_the_summary_of_subjects_and_positive_intervals_of_distances(results):
    found = estimates(results, ["psnr", "rfd"])
    groups = ["scenario", "modality", "method", "metric", "subject", "value"]
    expected = summary(results.loc[results.metric == "psnr", groups])
    np.testing.assert_allclose(
        found[found.metric == "psnr"][["mean", "low", "high"]], expected[["mean", "low", "high"]]
    )
    sets = found[found.metric == "rfd"]
    spread = np.exp(1.96 * np.log([1, 2, 3, 4]).std(ddof=1))
    np.testing.assert_allclose(sets["low"] * spread, sets["mean"])
    np.testing.assert_allclose(sets["high"] / spread, sets["mean"])
    means = results.assign(estimate="mean of 4", value=results["value"] ** 2)
    pd.testing.assert_frame_equal(estimates(pd.concat([results, means]), ["psnr", "rfd"]), found)
    with pytest.raises(InputError, match="no metric 'ssim'"):
        estimates(results, ["ssim"])
    with pytest.raises(InputError, match="no column 'subject'"):
        estimates(results.drop(columns="subject"), ["psnr"])


def traces(figure, method: str) -> list:
    return [trace for trace in figure.data if trace.name == METHODS[method].label]


def test_dots_stand_in_rows_sorted_within_each_scenario(results):
    figure = method_dots(results, ("psnr", "rfd"))
    labels = list(figure.layout.yaxis.ticktext)
    order = dict(zip(figure.layout.yaxis.tickvals, labels, strict=True))
    names = [order[y] for y in sorted(order)]
    best = ["mmGAN", "Any2all MDS", "MPS, moment-matched"]
    assert names == ["<b>T1</b>", *best, "<b>T1 + T2*</b>", *best]
    (psnr, rfd) = traces(figure, "mmgan")
    mine = results[(results.method == "mmgan") & (results.metric == "psnr")]
    np.testing.assert_allclose(psnr.x, mine.groupby("scenario").value.mean())
    assert list(rfd.x) == [1000.0, 1000.0] and figure.layout.xaxis2.type == "log"
    assert {t.marker.color for t in traces(figure, "mmgan")} == {METHODS["mmgan"].colour}
    assert "T1: mmGAN" in figure.layout.meta["description"]


def test_titles_and_ticks_of_five_columns_do_not_run_into_each_other(results):
    psnr, few = results[results.metric == "psnr"], ("psnr", "mae", "hfr", "crps")
    names = (*few, "ssim_head")
    wide = pd.concat([psnr.assign(metric=name, value=psnr.value / 30) for name in names])
    axes = list(method_dots(wide, names).select_xaxes())
    assert axes[-1].title.text == "SSIM of the<br>head →"
    assert all(len(axis.tickvals) == 2 for axis in axes if axis.type != "log")
    four = method_dots(wide[wide.metric != "ssim_head"], few)
    assert not any("<br>" in axis.title.text for axis in four.select_xaxes())
    assert method_dots(wide, names).layout.margin.b > four.layout.margin.b


def test_methods_without_a_look_are_refused(results):
    with pytest.raises(InputError, match="No look for the method 'other'"):
        method_dots(results.assign(method="other").drop_duplicates(["subject", "scenario", "metric"]), ("psnr",))


def test_no_two_methods_look_alike():
    assert (
        len({look.colour for look in METHODS.values()})
        == len({look.symbol for look in METHODS.values()})
        == len(METHODS)
    )


def test_differences_are_paired_and_filled_only_where_zero_is_left_out(results):
    figure = method_differences(results, metrics=("psnr",))
    for trace in traces(figure, "mmgan"):
        assert trace.x[0] == pytest.approx(3.0) and trace.marker.symbol == "square"
        assert trace.error_x.array[0] == pytest.approx(0) == pytest.approx(trace.error_x.arrayminus[0])
    equal = results.assign(value=results.value.where(results.method != "mmgan", 25.0 + results.index % 2))
    shifted = equal.assign(value=equal.value.where(equal.method != "any2all-mps", 25.0 + (equal.index // 2) % 2))
    assert {t.marker.symbol for t in traces(method_differences(shifted, metrics=("psnr",)), "mmgan")} == {"square-open"}
    with pytest.raises(InputError, match="m2dn"):
        method_differences(results, "m2dn", ("psnr",))


def test_a_ladder_goes_from_scenario_to_scenario_above_what_was_given(results):
    figure = scenario_ladder(results, SPEC, ["T1", "T2* + T1"], "CT", ("psnr", "rfd"))
    mine = results[(results.method == "any2all-mds") & (results.metric == "psnr")].groupby("scenario").value.mean()
    np.testing.assert_allclose(traces(figure, "any2all-mds")[0].y, mine[list(SCENARIOS)])
    glyphs = [t for t in figure.data if t.mode == "text"]
    assert list(glyphs[0].text) == ["●", "○", "○", "●", "●", "○"] and len(glyphs) == 2
    labelled = [axis for axis in figure.select_yaxes() if axis.ticktext == ("T1", "T2*", "<b>CT</b>")]
    assert [axis.showticklabels for axis in labelled] == [True, False]
    with pytest.raises(InputError, match="no CT from T2star"):
        scenario_ladder(results, SPEC, ["T1", "T2star"], "CT", ("psnr",))


def test_the_source_stands_below_the_figure(results):
    origin = {"dataset": "phantom/ci", "slices": 24, "weights": "0123456789", "commit": "abc", "device": "CPU X"}
    origin |= {"evaluations": 25}
    rows = results.assign(**origin, finished=pd.Timestamp("2026-01-02"))
    text = table_source(rows)
    parts = "phantom/ci, 24 slices, 25 evaluations of Any2all", "weights 01234567", "commit abc", "CPU X", "2026-01-02"
    assert text == "Measured: " + " · ".join(parts)
    figure = method_dots(results, ("psnr",))
    before = figure.layout.height, figure.layout.margin.b
    sourced(figure, text)
    assert figure.layout.title.text == text and figure.layout.title.y < 0.1
    assert figure.layout.height - before[0] == figure.layout.margin.b - before[1] > 0
    with pytest.raises(InputError, match="column 'weights'"):
        table_source(rows.drop(columns="weights"))
    with pytest.raises(InputError, match="no rows"):
        table_source(rows[:0])


def test_a_verdict_is_told_by_sign_and_word():
    counts = {"supported": 1, "contradicted": 2, "undecided": 0}
    rows = [
        {"claim": c, "says": "So.", "verdict": v} | counts for c, v in (("R1", "contradicted"), ("R2", "supported"))
    ]
    lines = verdict_table(pd.DataFrame(rows)).splitlines()
    assert lines[2:] == ["| R1 | So. | ✗ contradicted | 1 / 2 / 0 |", "| R2 | So. | ✓ supported | 1 / 2 / 0 |"]


def test_names_that_are_no_methods_take_the_looks_that_are_left():
    found = looks(["linear", "any2all-mds", "trees"])
    assert found["any2all-mds"] is METHODS["any2all-mds"] and found["linear"].label == "linear"
    assert len({style.colour for style in found.values()}) == 3


@pytest.mark.parametrize("low, high", [(0.03, 1.4), (0.72, 1.1), (6, 330), (40, 2e6), (120, 9000), (0.4, 1.2)])
def test_logarithmic_columns_have_two_to_five_ticks_in_reach(results, low, high):
    odd = results[results.metric == "psnr"].assign(metric="hfr")
    odd["value"] = np.geomspace(low, high, len(odd))
    (axis,) = method_dots(odd, ("hfr",)).select_xaxes()
    assert 2 <= len(axis.tickvals) <= 5 and len(axis.ticktext) == len(axis.tickvals)
    assert all(low <= tick <= high for tick in axis.tickvals)
    read = [10 ** int(t[7:-6]) if t.startswith("10<sup>") else float(t) for t in axis.ticktext]
    np.testing.assert_allclose(read, axis.tickvals)
