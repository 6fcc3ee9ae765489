"""Means of a results table with 95 % intervals: of subjects, and for Fréchet distances of halves of them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from a2a.errors import InputError
from a2a.evaluation.metrics import summary

GROUP = ["scenario", "modality", "method", "metric"]
OF_SETS = ("rfd",)
"""Metrics with one value for all subjects together."""


def singles(results: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Return the subjects' values of single completions: ``scenario, modality, method, metric, subject, value``.

    Parameters
    ----------
    results
        Long table of `a2a.benchmark.run`, or a part of it.
    metrics
        Which metrics; a Fréchet distance has one value, of all subjects.

    Raises
    ------
    InputError
        If a column or a metric is missing.
    """
    if missing := [column for column in (*GROUP, "subject", "value") if column not in results]:
        raise InputError(f"The results table has no column {missing[0]!r}.")
    single = results["estimate"].isin(["single sample"]) if "estimate" in results else True
    chosen = results.loc[single & results["metric"].isin(metrics), [*GROUP, "subject", "value"]]
    if absent := [metric for metric in metrics if metric not in set(chosen["metric"])]:
        raise InputError(f"The results table has no metric {absent[0]!r} of single samples.")
    return chosen


def estimates(results: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Estimate each metric of each scenario, modality and method, with a 95 % interval.

    The interval is a BCa bootstrap of the mean over subjects. That of ``rfd`` is 1.96 standard deviations of its
    logarithm over halves of the subjects (`a2a.benchmark.measures.measured`) to both sides: distances are positive and
    of all magnitudes.

    Parameters
    ----------
    results, metrics
        As in `singles`.

    Returns
    -------
    pandas.DataFrame
        ``scenario, modality, method, metric, mean, low, high, subjects``; NaN where there is no interval.

    Raises
    ------
    InputError
        If a column or a metric is missing, a value is NaN, or a subject occurs twice in a group.
    """
    values = singles(results, metrics)
    whole = values["metric"].isin(OF_SETS)
    found = []
    if not whole.all():
        found.append(summary(values[~whole])[[*GROUP, "mean", "low", "high", "subjects"]])
    if whole.any():
        halves = results[results["metric"] == "rfd_half"].assign(metric="rfd")
        spread = np.exp(1.96 * np.log(halves.set_index(GROUP)["value"]).groupby(GROUP).std()).rename("spread")
        sets = values[whole].join(spread, on=GROUP).rename(columns={"value": "mean"})
        sets = sets.assign(low=sets["mean"] / sets["spread"], high=sets["mean"] * sets["spread"], subjects=np.nan)
        found.append(sets[[*GROUP, "mean", "low", "high", "subjects"]])
    return pd.concat(found, ignore_index=True)
