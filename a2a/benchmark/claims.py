"""Statements of a paper, set against a results table: supported, contradicted or undecided, with the numbers.

A statement is a set of comparisons; each has a difference with an interval over subjects, in the direction in which
more is better. The intervals of a statement hold together at 95 %: with k comparisons each has 1 - 0.05 / k
(Bonferroni). Explained in the page "Does it hold?".
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise, product

import numpy as np
import pandas as pd

from a2a.benchmark.differences import Place, Table
from a2a.benchmark.settings import combinations
from a2a.benchmark.statements import Acceptance, AllOf, Claims, FirstStep, Order, Rank, Trend
from a2a.evaluation.statistics import verdict

UNMEASURED = "not measured"
VERDICTS = ("supported", "contradicted", "undecided", UNMEASURED)


def evaluate(claims: Claims, results: pd.DataFrame, refused: Mapping[str, str]) -> pd.DataFrame:
    """Make the comparisons of every claim.

    Parameters
    ----------
    claims
        The statements.
    results
        Long table of one data set, as `a2a.benchmark.run` writes it.
    refused
        Which scenarios a method refused, by ``"METHOD: SCENARIO"``.

    Returns
    -------
    pandas.DataFrame
        One row for each comparison: ``claim, part`` (which of the claim's tests), ``setting, modality, metric, what,
        difference, low, high, verdict``; NaN and ``"not measured"`` where the table lacks a number. Claims made of
        others have no rows, see `conclusions`.
    """
    table, rows = Table(results, refused), []
    for claim in claims.claims:
        first = [row for test in claim.tests for row in _comparisons(test, claims, table)]
        measured = sum(row["verdict"] != UNMEASURED for row in first)
        together = table.at(1 - 0.05 / max(measured, 1))
        for part, test in enumerate(claim.tests):
            rows += [{"claim": claim.id, "part": part} | row for row in _comparisons(test, claims, together)]
    return pd.DataFrame(rows)


def conclusions(claims: Claims, comparisons: pd.DataFrame) -> pd.DataFrame:
    """Sum up the comparisons of each claim.

    ``all``: supported if every comparison is, contradicted if one is, else undecided. ``most``: so in more than half of
    the cases, a case being all comparisons of one setting, modality and metric. Comparisons that were not measured
    leave a claim undecided, or not measured if none was. A claim of several tests holds if all of them do.

    Returns
    -------
    pandas.DataFrame
        One row for each claim: ``claim, where, says, verdict``, how many comparisons had which verdict, the verdict
        ``before``, and, where a reason for this verdict is known, what ``decides`` it and ``because`` of what.
    """
    found: dict[str, str] = {}
    rows = []
    for claim in claims.claims:
        mine = comparisons[comparisons["claim"] == claim.id]
        tests = [_of_test(test, mine[mine["part"] == part], found) for part, test in enumerate(claim.tests)]
        judged = found[claim.id] = _all(pd.Series([verdict for verdict, _ in tests]))
        parts = pd.concat([counted for _, counted in tests])
        why = claim.because if claim.because and claim.because.verdict == judged else None
        rows.append(
            {"claim": claim.id, "where": claim.where, "says": claim.says, "verdict": judged}
            | {name: int((parts == name).sum()) for name in VERDICTS}
            | {"before": claim.before, "decides": why.decides if why else "", "because": why.says if why else ""}
        )
    return pd.DataFrame(rows)


def _of_test(test: object, rows: pd.DataFrame, found: Mapping[str, str]) -> tuple[str, pd.Series]:
    """The verdict over one test, and those that are counted for it."""
    if isinstance(test, AllOf):
        counted = pd.Series([found[name] for name in test.claims])
        return _all(counted), counted
    if getattr(test, "strength", "all") == "most":
        return _mostly(rows.groupby(["setting", "modality", "metric"])["verdict"].agg(_all)), rows["verdict"]
    return _all(rows["verdict"]), rows["verdict"]


def _all(parts: pd.Series) -> str:
    """The verdict over comparisons that must all hold."""
    if parts.empty or (parts == UNMEASURED).all():
        return UNMEASURED
    if "contradicted" in set(parts):
        return "contradicted"
    return "supported" if set(parts) == {"supported"} else "undecided"


def _mostly(cases: pd.Series) -> str:
    """The verdict over cases of which more than half must hold."""
    if cases.empty or (cases == UNMEASURED).all():
        return UNMEASURED
    return next((name for name in ("supported", "contradicted") if (cases == name).mean() > 0.5), "undecided")


def _comparisons(test: object, claims: Claims, table: Table) -> Iterator[dict]:
    """The rows of one claim."""
    if isinstance(test, AllOf):
        return
    settings = {key: claims.settings[key] for key in test.settings}
    if isinstance(test, Acceptance):
        scenarios = {key: setting.given for key, setting in settings.items()}
        scenarios |= {one["given"]: one["given"] for one in combinations(test.each)} if test.each else {}
        for (key, given), method in product(scenarios.items(), test.methods):
            said = table.accepted(claims.methods[method], given)
            yield _fact(key, f"{method}: {test.kind}", None if said is None else said == (test.kind == "acceptance"))
    elif isinstance(test, Order | Rank):
        for metric, (key, setting) in product(test.metrics, settings.items()):
            for modality in setting.targets:
                yield from _ordered(
                    test, claims.methods, table, key, Place(setting.given, modality, setting.dataset), metric
                )
    else:
        places = [Place(one.given, one.targets[0], one.dataset) for one in settings.values()]
        for metric, method in product(test.metrics, test.methods):
            yield from _stepwise(test, table, places, claims.methods[method], metric, method)


def _ordered(test: Order | Rank, names: Mapping, table: Table, key: str, place: Place, metric: str) -> Iterator[dict]:
    """Comparisons of methods in one place."""
    if isinstance(test, Rank):
        others = sorted(test.among, key=lambda m: -table.mean(place, names[m], metric))
        rival = others[test.at_most - 1]
        pairs = [(test.method, rival, f"{test.method} not behind rank {test.at_most} ({rival})")]
    else:
        best = max(test.better, key=lambda m: np.nan_to_num(table.mean(place, names[m], metric), nan=-np.inf))
        better = test.better if test.each else (test.chosen.get(key, best),)
        pairs = [(b, w, f"{b} over {w}") for b in better for w in test.worse]
    for b, w, what in pairs:
        value, low, high = table.between(place, names[b], names[w], metric)
        yield _row(key, place.modality, metric, what, value, low, high)
        if isinstance(test, Order) and metric in test.slightly:
            bound = test.slightly[metric]
            yield _row(
                key, place.modality, metric, f"{what} by at most {bound:g}", bound - value, bound - high, bound - low
            )


def _stepwise(
    test: Trend | FirstStep, table: Table, places: list[Place], method: str, metric: str, name: str
) -> Iterator[dict]:
    """Comparisons of one method along settings."""
    steps = list(pairwise(zip(test.settings, places, strict=True)))
    for number, ((former, a), (latter, b)) in enumerate(steps):
        if isinstance(test, Trend):
            what, interval = f"{name}: {latter} over {former}", table.step(a, b, method, metric)
        elif number == 0:
            continue
        else:
            what = f"{name}: first step over {former} to {latter}"
            interval = table.step_difference((places[0], places[1]), (a, b), method, metric)
        yield _row(latter, b.modality, metric, what, *interval)


def _row(setting: str, modality: str, metric: str, what: str, value: float, low: float, high: float) -> dict:
    found = UNMEASURED if np.isnan(value) else "undecided" if np.isnan(low) else verdict(low, high)
    numbers = {"difference": value, "low": low, "high": high}
    return {"setting": setting, "modality": modality, "metric": metric, "what": what} | numbers | {"verdict": found}


def _fact(setting: str, what: str, holds: bool | None) -> dict:
    found = UNMEASURED if holds is None else "supported" if holds else "contradicted"
    nothing = {"difference": np.nan, "low": np.nan, "high": np.nan}
    return {"setting": setting, "modality": "", "metric": "", "what": what} | nothing | {"verdict": found}
