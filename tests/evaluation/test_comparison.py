"""Paired comparisons of a results table."""

import numpy as np
import pandas as pd
import pytest

from a2a.common.errors import InputError
from a2a.evaluation.comparison import compare
from a2a.evaluation.metrics import subject_table
from a2a.evaluation.statistics import holm, mean_interval, signed_rank
from a2a.forward.stack import StackSpec


def results(subjects: int = 12) -> pd.DataFrame:
    """PSNR and SSIM of three methods in two scenarios; mds beats mps, and tree is somewhere else."""
    rng = np.random.default_rng(0)
    rows = []
    for scenario in ("T1", "T1 + T2"):
        for metric, scale in (("psnr", 1.0), ("ssim", 0.02)):
            base = rng.standard_normal(subjects)
            for method, gain in (("mps", 0.0), ("mds", 0.8), ("tree", -0.1)):
                values = scale * (base + gain + 0.3 * rng.standard_normal(subjects))
                rows += [(f"s{i}", scenario, method, "CT", metric, v) for i, v in enumerate(values)]
    return pd.DataFrame(rows, columns=["subject", "scenario", "method", "modality", "metric", "value"])


def test_each_row_is_the_paired_comparison_of_its_group():
    table = results()
    found = compare(table, "mps")
    assert list(found["method"]) == ["mds", "tree"] * 4 and set(found["subjects"]) == {12}
    part = table[(table["scenario"] == "T1") & (table["metric"] == "psnr")].pivot(
        index="subject", columns="method", values="value"
    )
    d = (part["mds"] - part["mps"]).to_numpy()
    row = found[(found["scenario"] == "T1") & (found["metric"] == "psnr") & (found["method"] == "mds")].iloc[0]
    assert row["difference"] == pytest.approx(d.mean())
    assert (row["low"], row["high"]) == mean_interval(d)
    assert (row["statistic"], row["p"]) == pytest.approx(signed_rank(d))
    assert row["low"] > 0 and row["rank_biserial"] > 0.9 and row["against"] == "mps"


def test_the_family_of_the_correction_is_the_metric():
    found = compare(results(), "mps")
    for _, family in found.groupby("metric"):
        assert len(family) == 4
        np.testing.assert_allclose(family["p_holm"], holm(family["p"]))
    assert (found["p_holm"] >= found["p"]).all()


def test_the_order_of_rows_does_not_matter_and_the_sign_turns():
    table = results()
    first = compare(table, "mps")
    shuffled = compare(table.sample(frac=1, random_state=1), "mps")
    keys = ["scenario", "metric", "method"]
    pd.testing.assert_frame_equal(first.set_index(keys).sort_index(), shuffled.set_index(keys).sort_index())
    turned = compare(table, "mds")
    there = first[first["method"] == "mds"]["difference"].to_numpy()
    np.testing.assert_allclose(turned[turned["method"] == "mps"]["difference"], -there)


def test_few_subjects_get_an_interval_and_no_test():
    found = compare(results(7), "mps")
    assert found[["statistic", "p", "p_holm"]].isna().all(axis=None)
    assert found[["difference", "low", "high", "hodges_lehmann"]].notna().all(axis=None)


def test_scenarios_can_be_compared_too():
    found = compare(results(), "T1", column="scenario")
    assert set(found["scenario"]) == {"T1 + T2"} and set(found["method"]) == {"mps", "mds", "tree"}


def test_a_group_without_the_reference_has_no_row():
    table = results()
    table = table[~((table["scenario"] == "T1") & (table["method"] == "mps"))]
    assert set(compare(table, "mps")["scenario"]) == {"T1 + T2"}


def test_takes_what_subject_table_gives():
    rng = np.random.default_rng(0)
    target = rng.uniform(0.2, 0.8, size=(9, 1, 16, 16))
    ids, spec = np.repeat(list("abc"), 3), StackSpec.of("T1")
    tables = [
        subject_table(target, target + sd * rng.standard_normal(target.shape), ids, spec).assign(method=name)
        for name, sd in (("good", 0.02), ("bad", 0.1))
    ]
    found = compare(pd.concat(tables), "bad").set_index("metric")
    assert found.loc["psnr", "difference"] == pytest.approx(20 * np.log10(5), abs=1.0)
    assert found.loc["mae", "high"] < 0 < found.loc["ssim", "low"]


@pytest.mark.parametrize(
    "change, says",
    [
        (lambda t: t.drop(columns="value"), "column 'value'"),
        (lambda t: t.drop(columns="method"), "column 'method'"),
        (lambda t: t.assign(value=t["value"].where(t["subject"] != "s3")), "NaN"),
        (lambda t: t[t["method"] != "mps"], "no method is 'mps'; there are mds, tree"),
        (lambda t: pd.concat([t, t[:1]]), "subject occurs twice"),
        (lambda t: t.drop(index=3), "'mps' has no value for the subject 's3'"),
        (lambda t: t.drop(index=14), "'mds' has no value for the subject 's2'"),
        (lambda t: t[t["method"] == "mps"], "nothing shares a group"),
    ],
)
def test_bad_tables(change, says):
    with pytest.raises(InputError, match=says):
        compare(change(results()), "mps")
