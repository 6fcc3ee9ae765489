"""Modalities and their order: look-up by name and alias, storage, refusals."""

import pytest

from a2a.common.errors import InputError
from a2a.forward.stack import Modality, StackSpec

SPEC = StackSpec.of("T1", "T2FLAIR", "T2star", "CT", "PET")


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("T1", 0),
        ("t1", 0),
        ("FLAIR", 1),
        ("flair", 1),
        ("T2-FLAIR", 1),
        ("t2_flair", 1),
        ("T2*", 2),
        ("T2S", 2),
        ("t2Star", 2),
        ("pet", 4),
    ],
)
def test_found_by_name_and_alias(name, index):
    assert SPEC.index(name) == index and SPEC[name] is SPEC.modalities[index]


def test_a_canonical_name_wins_over_an_alias():
    spec = StackSpec((Modality("A", aliases=("B",)), Modality("B")))
    assert spec.index("B") == 1


def test_own_aliases():
    spec = StackSpec((Modality("T1", aliases=("MPRAGE",)),))
    assert spec.index("mp-rage") == 0


@pytest.mark.parametrize("name", ["T3", "", "T1 + T2FLAIR"])
def test_an_unknown_name_lists_those_that_exist(name):
    with pytest.raises(InputError, match="T1, T2FLAIR, T2star, CT, PET"):
        SPEC.index(name)


@pytest.mark.parametrize("names", [(), ("T1", "T1"), ("T1", "t-1"), ("T2 star", "T2star")])
def test_names_must_be_there_and_distinct(names):
    with pytest.raises(InputError, match="distinct"):
        StackSpec.of(*names)


def test_stored_and_read_back():
    spec = StackSpec((Modality("CT", "CT", "HU", (-1000.0, 1600.0)), Modality("T1", aliases=("MPRAGE",))))
    assert StackSpec.from_list(spec.to_list()) == spec


def test_order_and_length():
    assert [m.name for m in SPEC] == list(SPEC.names) and len(SPEC) == 5
