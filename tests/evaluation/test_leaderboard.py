"""The leaderboard is the mean over subjects, ordered, with costs for each slice."""

import numpy as np
import pandas as pd
import pytest

from a2a.common.errors import InputError
from a2a.evaluation.leaderboard import Column, beside_print, intervals, leaderboard, training_costs

LABELS = {"dataset": "d", "scenario": "T1", "modality": "CT", "slices": 4}


def rows(method: str, psnr: list[float], **more: object) -> list[dict]:
    values = [("psnr", str(i), value) for i, value in enumerate(psnr)]
    values += [("ssim", str(i), value / 100) for i, value in enumerate(psnr)] + [("rfd", "all subjects", psnr[0])]
    return [LABELS | {"method": method, "metric": m, "subject": s, "value": v} | more for m, s, v in values]


@pytest.fixture
def table() -> pd.DataFrame:
    worse = rows("worse", [20.0, 22.0, 24.0], seconds=8.0, evaluations=1, estimate="single sample")
    better = rows("better", [30.0, 31.0, 35.0], seconds=2.0, evaluations=50, estimate="single sample")
    mean = rows("better", [60.0, 60.0, 60.0], seconds=2.0, evaluations=50, estimate="mean of 4")
    return pd.DataFrame(worse + better + mean + rows("reference", [10.0, 11.0, 12.0]))


def test_methods_are_ordered_by_the_mean_over_subjects_of_single_samples(table):
    board = leaderboard(table)
    assert board.method.tolist() == ["better", "worse", "reference"] and board["rank"].tolist() == [1, 2, 3]
    np.testing.assert_allclose(board.psnr, [32, 22, 11])
    assert ((board.psnr_low < board.psnr) & (board.psnr < board.psnr_high)).all()
    np.testing.assert_allclose(board.ssim, board.psnr / 100)
    np.testing.assert_allclose(board.rfd, [30, 20, 10])
    np.testing.assert_allclose(board.seconds, [0.5, 2, np.nan])


def test_no_number_stands_without_an_interval(table):
    halves = [rows("better", [value], evaluations=50, estimate="single sample")[-1] for value in (20.0, 30.0, 40.0)]
    half = pd.DataFrame(halves).assign(metric="rfd_half", subject=["half 1", "half 2", "half 3"])
    table = pd.concat([table, half], ignore_index=True).assign(settings="")
    shown = intervals(table)
    assert shown.groupby(["method", "estimate"], dropna=False).metric.apply(list).map(sorted).map(tuple).nunique() == 1
    single = shown[(shown.method == "better") & (shown.estimate == "single sample")]
    (distance,) = single[single.metric == "rfd"].itertuples()
    reach = np.exp(1.96 * np.log([20, 30, 40]).std(ddof=1))
    assert (distance.mean, distance.low, distance.high) == pytest.approx((30, 30 / reach, 30 * reach))
    assert (distance.subjects, (shown.low.isna() == (shown.metric == "rfd")).sum()) == (3, len(shown) - 1)
    board = leaderboard(table).set_index("method")
    assert board.loc["better", ["rfd_low", "rfd_high"]].tolist() == pytest.approx([30 / reach, 30 * reach])


def test_two_settings_of_one_method_cannot_share_a_row(table):
    with pytest.raises(InputError, match="a subject occurs twice"):
        leaderboard(pd.concat([table, table]))


def test_a_missing_column_is_named(table):
    with pytest.raises(InputError, match="slices"):
        leaderboard(table.drop(columns="slices"))


def test_costs_come_from_model_cards():
    last = {"config": {"name": "mine", "data": "discs"}, "images_seen": 12, "seconds": 90}
    before = [{"name": "first", "data": "discs", "images_seen": 30, "seconds": 60}]
    found = training_costs({"mine": last | {"parameters": 7, "device": "a processor", "before": before}})
    assert found.loc["mine"].to_dict() == {"parameters": 7, "images": 42, "minutes": 2.5, "device": "a processor"}


def test_what_a_paper_printed_stands_beside_single_samples_only(table):
    printed = pd.DataFrame({"method": ["better", "absent"], "metric": ["ssim", "ssim"], "mean": [98.7, 1.0]})
    printed["std"] = [0.4, np.nan]
    found = beside_print(table, printed, {"psnr": Column("PSNR"), "ssim": Column("SSIM (%)", 100, 1)})
    assert [*zip(found.method, found.estimate, strict=True)] == [
        ("better", "mean of 4"), ("better", "single sample"), ("worse", "single sample"), ("reference", "single sample")
    ]  # fmt: skip
    assert found["PSNR"][2] == "22.00 ± 2.00 (17.03 to 26.97)"  # Student: 4.303 * 2 / sqrt(3)
    assert found["SSIM (%)"][2] == "22.0 ± 2.0 (17.0 to 27.0)"
    assert found["printed SSIM (%)"].tolist() == ["", "98.7 ± 0.4", "", ""] and "printed PSNR" not in found
