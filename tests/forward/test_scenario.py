"""The notation of the paper, read and written."""

from itertools import product

import pytest

from a2a.common.errors import InputError
from a2a.forward.scenario import Scenario
from a2a.forward.stack import StackSpec

SPEC = StackSpec.of("T1", "T2FLAIR", "T2star", "CT", "PET")
EVERY = [Scenario(SPEC.names, kinds) for kinds in product(("clean", "measured", "missing"), repeat=5)]


def test_every_scenario_is_read_as_it_was_written():
    assert len({str(s) for s in EVERY}) == 3**5
    assert all(Scenario.parse(str(s), SPEC) == s for s in EVERY)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("T1 + y(T2FLAIR)", "T1 + y(T2FLAIR)"),
        ("y(flair)&t1", "T1 + y(T2FLAIR)"),
        ("  T2* +CT& y( PET )", "T2star + CT + y(PET)"),
        ("Y(T2S)", "y(T2star)"),
        ("", "nothing"),
        ("  ", "nothing"),
        ("Nothing", "nothing"),
    ],
)
def test_spellings(text, printed):
    assert str(Scenario.parse(text, SPEC)) == printed


def test_a_modality_may_be_called_y():
    spec = StackSpec.of("y", "T1")
    assert Scenario.parse("y + y(T1)", spec).kinds == ("clean", "measured")
    assert Scenario.parse("y(y)", spec).kinds == ("measured", "missing")


def test_channels_of_a_kind():
    scenario = Scenario.parse("y(T1) + CT", SPEC)
    assert [scenario.indices(kind) for kind in ("clean", "measured", "missing")] == [(3,), (0,), (1, 2, 4)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("T1 +", r"character 5: expected a modality or y\(modality\), found the end"),
        ("+ T1", r"character 1: expected a modality or y\(modality\), found '\+'"),
        ("T1 && CT", r"character 5: expected a modality or y\(modality\), found '&'"),
        ("T1 CT", r"character 4: expected '\+', '&' or the end, found 'CT'"),
        ("y()", r"character 3: expected a modality, found '\)'"),
        ("T1 + y(CT", r"character 10: expected '\)', found the end"),
        ("y(T1 + CT)", r"character 6: expected '\)', found '\+'"),
        ("y(T1))", r"character 6: expected '\+', '&' or the end, found '\)'"),
        ("(T1)", r"character 1: expected a modality"),
        ("x(T1)", r"character 2: expected '\+', '&' or the end, found '\('"),
        ("y(y(T1))", r"character 4: expected '\)', found '\('"),
        ("T1 + nothing", r"character 6: Unknown modality 'nothing'"),
        ("T1 + y(T3)", r"character 8: Unknown modality 'T3'; this stack has T1, T2FLAIR, T2star, CT, PET"),
        ("T1 + t1", r"character 6: T1 is given twice"),
        ("y(FLAIR) + T2FLAIR", r"character 12: T2FLAIR is given twice"),
    ],
)
def test_errors_say_where_and_what(text, message):
    with pytest.raises(InputError, match=message):
        Scenario.parse(text, SPEC)


@pytest.mark.parametrize("kinds", [("clean",), ("clean", "noisy")])
def test_kinds_must_fit_the_names(kinds):
    with pytest.raises(InputError, match="Kinds"):
        Scenario(("T1", "CT"), kinds)
