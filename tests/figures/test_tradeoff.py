"""Quality over evaluations carries the means of the subjects, in order."""

import numpy as np
import pandas as pd
import pytest

from a2a.errors import InputError
from a2a.figures import quality_curves


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


def test_wrong_tables_are_refused(table):
    with pytest.raises(InputError, match="column 'evaluations'"):
        quality_curves(table.drop(columns="evaluations"))
    with pytest.raises(InputError, match="no metric 'ssim'"):
        quality_curves(table, "ssim")
