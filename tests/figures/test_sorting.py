"""Tables that can be sorted name methods as figures do."""

import pandas as pd

from a2a.figures import samples_table, sortable_table


def test_methods_are_called_what_figures_call_them():
    rows = pd.DataFrame({"method": ["mmgan", "apt"], "estimate": ["single sample", "mean of 4"], "PSNR": ["1", "2"]})
    page = sortable_table(rows, "CT from T1").to_html()
    assert 'class="sortable"' in page and "<caption>CT from T1</caption>" in page
    assert ">mmGAN<" in page and ">APT, mean of 4<" in page and "estimate" not in page


def test_other_tables_stay_as_they_are():
    assert ">T1<" in sortable_table(pd.DataFrame({"given": ["T1"]}), "all").to_html()


def test_several_samples_stand_beside_single_ones():
    rows = [
        ("psnr", "single sample", 30.0), ("psnr", "single sample", 31.0), ("psnr", "mean of 9", 33.0),
        ("crps", "9 samples", 0.0123), ("covered_80", "9 samples", 0.72), ("ssim", "single sample", 0.9),
    ]  # fmt: skip
    told = {"method": "any2all-mds", "settings": "", "scenario": "T1 + T2star", "modality": "CT", "evaluations": 10}
    table = samples_table(
        pd.DataFrame([told | dict(zip(("metric", "estimate", "value"), row, strict=True)) for row in rows]), "one"
    )
    line = table.data.iloc[0].to_dict()
    assert list(line) == ["made", "evaluations", "sampler", "PSNR (dB)", "PSNR (dB), mean of 9", "CRPS", "in 80 %"]
    assert list(line.values())[3:] == ["30.5", "33.0", "0.0123", "0.72"] and line["made"] == "CT from T1 + T2*"
