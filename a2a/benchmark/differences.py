"""Differences between methods and between scenarios, with intervals over subjects, more always being better."""

from collections.abc import Mapping
from copy import copy
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import norm

from a2a.benchmark.measures import EVERYBODY
from a2a.common.errors import InputError
from a2a.evaluation.estimates import OF_SETS
from a2a.evaluation.statistics import mean_interval

Interval = tuple[float, float, float]
"""Difference, low, high; NaN where a number is missing."""

_NOTHING: Interval = (np.nan, np.nan, np.nan)
_LESS_IS_BETTER = {"mae", *OF_SETS, "aliasing", "seconds", "evaluations", "crps"}
"""Of metrics with an end, such as ``mae_lesion``, what stands before it."""
_ALIKE = 1e-6
"""Values of one job in two experiments."""
_ONE_IS_BEST = {"hfr", "gradient"}


class Place(NamedTuple):
    """A scenario, the modality that is judged and, of a collection, the data set."""

    scenario: str
    modality: str
    dataset: str = ""


def _identifiers(results: pd.DataFrame) -> pd.Series | str:
    """Of each row the data set of a collection, which ends the column ``dataset``; empty without one."""
    return results["dataset"].str.split("/").str.get(2).fillna("") if "dataset" in results else ""


class Table:
    """Single completions of a results table, looked up by place, method and metric.

    Parameters
    ----------
    results
        As `a2a.benchmark.run` writes it.
    refused
        Reasons by ``"METHOD: SCENARIO"``.
    confidence
        Of the intervals.

    Notes
    -----
    Methods are compared on the same slices: where a table has a method with several numbers of slices, on most slices
    that all of a comparison have; where it has several numbers of evaluations, with most of them. Values are turned so
    that more is better: the negative of errors, distances, aliasing and costs, and for sharpness relative to the truth
    ``-|log value|``. Differences of subjects are paired; the interval of Fréchet distances is that of a normal
    distribution with the deviation over halves of the subjects (1.96 of them for 95 %); costs have none.

    Raises
    ------
    InputError
        If a subject has two different values of a method in one place, as from experiments on different slices.
    """

    def __init__(self, results: pd.DataFrame, refused: Mapping[str, str], confidence: float = 0.95):
        self._confidence = confidence
        single = results[results["estimate"] == "single sample"] if "estimate" in results else results
        single = single.assign(of=_identifiers(single))
        key = ["slices", "scenario", "modality", "of", "method", "metric"]
        taken = single["evaluations"].fillna(0) if "evaluations" in single else pd.Series(0, single.index)
        single = single[taken == taken.groupby([single[name] for name in key]).transform("max")]
        found = single.groupby([*key, "subject"])["value"]
        apart = found.max() - found.min()
        if (apart > _ALIKE).any():
            _, scenario, _, _, method, metric, _ = apart.idxmax()
            raise InputError(f"{method} has two values of {metric} for {scenario}; keep one experiment of the two.")
        single = single.drop_duplicates([*key, "subject"])
        self._values = {name: part.set_index("subject")["value"] for name, part in single.groupby(key)}
        self._costs = single.groupby(key[:5])[["seconds", "evaluations"]].first().to_dict("index")
        self._sizes = sorted({size for size, *_ in self._values}, reverse=True)
        self._tried = set(single[["method", "scenario"]].itertuples(index=False, name=None))
        self._refused = refused

    def at(self, confidence: float) -> "Table":
        """Return the same table with intervals of another confidence."""
        other = copy(self)
        other._confidence = confidence
        return other

    def accepted(self, method: str, scenario: str) -> bool | None:
        """Whether a method took a scenario; None if it was not asked."""
        if (method, scenario) in self._tried:
            return True
        return False if f"{method}: {scenario}" in self._refused else None

    def mean(self, place: Place, method: str, metric: str) -> float:
        """Mean of the turned values; NaN where there are none.

        Parameters
        ----------
        place
            Data set, scenario and modality.
        method, metric
            Their names in the table.
        """
        found = self._combined([(1, place, method)], metric)
        return np.nan if found is None else float(found.mean())

    def between(self, place: Place, a: str, b: str, metric: str) -> Interval:
        """How much better method a is than method b.

        Parameters
        ----------
        place
            Data set, scenario and modality.
        a, b
            Names of the methods.
        metric
            Name of the metric.
        """
        return self._interval([(1, place, a), (-1, place, b)], metric)

    def step(self, former: Place, latter: Place, method: str, metric: str) -> Interval:
        """How much better a method is in the latter place.

        Parameters
        ----------
        former, latter
            The two places.
        method, metric
            Their names in the table.
        """
        return self._interval([(1, latter, method), (-1, former, method)], metric)

    def step_difference(
        self, first: tuple[Place, Place], second: tuple[Place, Place], method: str, metric: str
    ) -> Interval:
        """How much larger the first step is than the second.

        Parameters
        ----------
        first, second
            Two steps, each from a place to a place.
        method, metric
            Their names in the table.
        """
        terms = [(1, first[1], method), (-1, first[0], method), (-1, second[1], method), (1, second[0], method)]
        return self._interval(terms, metric)

    def _interval(self, terms: list[tuple[int, Place, str]], metric: str) -> Interval:
        """A signed sum of places with its interval."""
        whole = self._combined(terms, metric)
        if whole is None:
            return _NOTHING
        value = float(whole.mean())
        if metric in ("seconds", "evaluations"):
            return value, value, value
        if metric in OF_SETS:
            halves = self._combined(terms, f"{metric}_half")
            if halves is None or len(halves) < 2:
                return value, np.nan, np.nan
            reach = float(norm.ppf(0.5 + self._confidence / 2) * halves.std())
            return value, value - reach, value + reach
        return (value, *mean_interval(whole.to_numpy(), self._confidence))

    def _combined(self, terms: list[tuple[int, Place, str]], metric: str) -> pd.Series | None:
        for slices in self._sizes:
            parts = [(sign, self._turned(slices, place, method, metric)) for sign, place, method in terms]
            if all(part is not None for _, part in parts):
                total = sum(sign * part for sign, part in parts).dropna()
                return total if len(total) else None
        return None

    def _turned(self, slices: int, place: Place, method: str, metric: str) -> pd.Series | None:
        """Values by subject, more being better."""
        if metric in ("seconds", "evaluations"):
            cost = self._costs.get((slices, *place, method))
            if cost is None:
                return None
            return pd.Series({EVERYBODY: -cost[metric] / (slices if metric == "seconds" else 1)})
        found = self._values.get((slices, *place, method, metric))
        if found is None:
            return None
        if metric in _ONE_IS_BEST:
            return -np.log(found).abs()
        return -found if metric.split("_")[0] in _LESS_IS_BETTER else found
