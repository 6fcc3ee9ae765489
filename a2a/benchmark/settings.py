"""Every combination of what can be given of each modality, as the settings of an experiment."""

from itertools import product
from math import prod

MOST = 10_000
"""Jobs of an experiment."""


def statuses(each: object) -> dict[str, list[str]]:
    """Refuse anything but lists of words for each modality, or more combinations than an experiment can have.

    Raises
    ------
    ValueError
        For pydantic.
    """
    if not isinstance(each, dict) or not all(isinstance(kinds, list) for kinds in each.values()):
        raise ValueError("each must map modalities to lists of clean, measured and missing")
    if not all(isinstance(kind, str) for kinds in each.values() for kind in kinds):
        raise ValueError("each must map modalities to lists of clean, measured and missing")
    if prod(len(kinds) for kinds in each.values()) > MOST:
        raise ValueError(f"each makes more than {MOST} settings")
    return each


def combinations(each: dict[str, list[str]]) -> list[dict[str, object]]:
    """Every combination of what can be given of each modality.

    Parameters
    ----------
    each
        For each modality some of ``"clean"``, ``"measured"`` and ``"missing"``.

    Returns
    -------
    list of dict
        ``given`` and ``targets`` of each combination; its targets are the modalities that are not clean, or all of them
        where all are.

    Raises
    ------
    ValueError
        If a status is none of the three.
    """
    terms = {"clean": "{}", "measured": "y({})", "missing": ""}
    if unknown := {status for statuses in each.values() for status in statuses} - set(terms):
        raise ValueError(f"each: {unknown.pop()!r} is none of {', '.join(terms)}")
    found = []
    for statuses in product(*each.values()):
        given = [terms[status].format(name) for name, status in zip(each, statuses, strict=True) if status != "missing"]
        targets = [name for name, status in zip(each, statuses, strict=True) if status != "clean"]
        found.append({"given": " + ".join(given) or "nothing", "targets": targets or list(each)})
    return found
