"""Tables that can be sorted name methods as figures do."""

import pandas as pd

from a2a.figures import sortable_table


def test_methods_are_called_what_figures_call_them():
    rows = pd.DataFrame({"method": ["mmgan", "apt"], "estimate": ["single sample", "mean of 4"], "PSNR": ["1", "2"]})
    page = sortable_table(rows, "CT from T1").to_html()
    assert 'class="sortable"' in page and "<caption>CT from T1</caption>" in page
    assert ">mmGAN<" in page and ">APT, mean of 4<" in page and "estimate" not in page


def test_other_tables_stay_as_they_are():
    assert ">T1<" in sortable_table(pd.DataFrame({"given": ["T1"]}), "all").to_html()
