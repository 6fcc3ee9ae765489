"""Figures of reconstructions: columns, scores and refusals."""

import numpy as np
import pytest

from a2a.common.errors import InputError
from a2a.figures import answers_grid, methods_grid, reconstruction_grid
from a2a.forward.stack import Modality


def texts(figure) -> list[str]:
    return [annotation.text for annotation in figure.layout.annotations]


def test_columns_are_what_was_given_the_answers_the_truth_and_the_errors():
    truth = np.full((2, 8, 8), 0.5)
    answers = {"good": truth + 0.01, "bad": truth + 0.1}
    figure = reconstruction_grid({"T1": truth}, answers, truth, ["first", "second"])
    shown = texts(figure)
    assert {"T1", "good", "bad", "truth", "error of<br>good", "error of<br>bad", "first", "second"} <= set(shown)
    assert shown.count("40.0 dB") == 2 and shown.count("20.0 dB") == 2


def test_misfits_are_refused_by_name():
    truth = np.full((2, 8, 8), 0.5)
    with pytest.raises(InputError, match="at least one method"):
        reconstruction_grid({"T1": truth}, {}, truth)
    with pytest.raises(InputError, match=r"T1 must have the shape \(2, 8, 8\)"):
        reconstruction_grid({"T1": truth[:1]}, {"good": truth}, truth)


def test_many_methods_stand_side_by_side_with_their_errors_below():
    truth = np.full((8, 8), 0.5)
    shown = texts(methods_grid({"zero-filled": truth}, {"good": truth + 0.01, "bad": truth + 0.1}, truth))
    assert {"zero-filled", "good", "bad", "truth", "answer", "error", "40.0 dB", "20.0 dB"} <= set(shown)
    with pytest.raises(InputError, match="at least one method"):
        methods_grid({}, {}, truth)
    with pytest.raises(InputError, match=r"good must have the shape \(8, 8\)"):
        methods_grid({}, {"good": truth[:4]}, truth)


def test_questions_stand_below_each_other_with_errors_on_one_scale():
    truth = np.full((8, 8), 0.5)
    rows = {"T1": {"MDS": truth + 0.1, "MPS": truth}, "T1 + T2*": {"MDS": truth + 0.01, "MPS": truth}}
    figure = answers_grid(rows, truth, Modality("CT", kind="CT"))
    shown = texts(figure)
    assert {"T1", "T1 + T2*", "MDS", "MPS", "truth", "20.0 dB", "40.0 dB"} <= set(shown) and shown.count("error") == 2
    assert [t.marker.cmax for t in figure.select_traces({"type": "scatter"}) if t.marker.cmax] == pytest.approx([0.1])
    with pytest.raises(InputError, match=r"the row 'T1 \+ T2\*' must have the columns MDS, MPS"):
        answers_grid({"T1": rows["T1"], "T1 + T2*": {"MDS": truth}}, truth, Modality("image"))
    with pytest.raises(InputError, match="at least one answer"):
        answers_grid({}, truth, Modality("image"))
