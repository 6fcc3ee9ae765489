"""All observations in one picture: every cell in its place, gains as put in."""

import numpy as np
import pandas as pd
import pytest

from a2a.common.errors import InputError
from a2a.figures import modality_gains, modality_worth, observation_map
from a2a.figures.observations import statuses
from a2a.forward.scenario import Scenario
from a2a.forward.stack import Modality, StackSpec

SPEC = StackSpec((Modality("T1"), Modality("T2star"), Modality("CT", kind="CT")))
WORTH = {
    "T1": {"missing": 0.0, "measured": 1.0, "clean": 3.0},
    "T2star": {"missing": 0.0, "measured": 2.0, "clean": 2.5},
    "CT": {"missing": 0.0, "clean": 0.5},
}


@pytest.fixture(scope="module")
def results() -> pd.DataFrame:
    """Two MR contrasts and CT; PSNR of a target is 20 dB, the subject's number, and the worth of all that is given."""
    rows = []
    for mr in statuses(SPEC, measured=True):
        for side in statuses(SPEC, measured=False):
            given = mr | side
            scenario = str(Scenario(SPEC.names, tuple(given[name] for name in SPEC.names)))
            value = 20 + sum(WORTH[name][kind] for name, kind in given.items())
            open_ = [name for name, kind in given.items() if kind != "clean"] or list(given)
            rows += [(scenario, name, str(s), value + s) for name in open_ for s in range(4)]
    table = pd.DataFrame(rows, columns=["scenario", "modality", "subject", "value"])
    return table.assign(method="any2all-mds", metric="psnr")


def test_statuses_are_all_ordered_by_how_much_is_given():
    found = statuses(SPEC, measured=True)
    assert len(found) == 9 and found[0] == {"T1": "missing", "T2star": "missing"}
    assert found[-1] == {"T1": "clean", "T2star": "clean"}
    assert statuses(SPEC, measured=False) == [{"CT": "missing"}, {"CT": "clean"}]


def test_every_cell_is_the_mean_over_subjects_and_empty_where_the_target_was_given(results):
    figure = observation_map(results, SPEC)
    panels = [np.array(trace.z, float) for trace in figure.data if trace.type == "heatmap"]
    assert [panel.shape for panel in panels] == [(9, 2), (9, 2), (9, 1)]
    rows = statuses(SPEC, measured=True)
    for name, panel in zip(SPEC.names, panels, strict=True):
        for row, cells in zip(rows, panel, strict=True):
            worth = sum(WORTH[n][kind] for n, kind in row.items())
            expected = np.nan if row.get(name) == "clean" else 21.5 + worth
            np.testing.assert_allclose(cells, [expected, expected + 0.5][: len(cells)])


def test_gains_are_those_of_the_modality_alone(results):
    gains = modality_gains(results, SPEC).set_index(["target", "modality", "kind"])
    assert gains.loc[("CT", "T1", "measured"), "gain"] == pytest.approx(1.0)
    assert gains.loc[("CT", "T2star", "clean"), ["gain", "low", "high"]].tolist() == pytest.approx([2.5] * 3)
    assert gains.loc[("T1", "T1", "measured"), "gain"] == pytest.approx(1.0)
    assert ("T1", "T1", "clean") not in gains.index and ("T1", "CT", "measured") not in gains.index
    figure = modality_worth(gains.reset_index())
    assert list(figure.layout.yaxis.ticktext)[:4] == ["<b>T1</b> from", "T2*", "its own k-space", "CT"]
    assert "CT most from T1 (3.0 dB)" in figure.layout.meta["description"]


def test_tables_that_hold_less_are_refused(results):
    with pytest.raises(InputError, match=r"lacks .* from T1\."):
        modality_gains(results[results.scenario != "T1"], SPEC)
    both = pd.concat([results, results.assign(method="any2all-mps")])
    with pytest.raises(InputError, match="one method, got any2all-mds, any2all-mps"):
        observation_map(both, SPEC)
