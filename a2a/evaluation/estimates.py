"""Means of a results table with 95 % intervals: of subjects, and for Fréchet distances of halves of them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from a2a.common.errors import InputError
from a2a.evaluation.metrics import summary

GROUP = ["scenario", "modality", "method", "metric"]
OF_SETS = ("rfd", "dfd")
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
    single = _single_samples(results)
    chosen = single.loc[single["metric"].isin(metrics), [*GROUP, "subject", "value"]]
    if absent := [metric for metric in metrics if metric not in set(chosen["metric"])]:
        raise InputError(f"The results table has no metric {absent[0]!r} of single samples.")
    return chosen


def estimates(results: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Estimate each metric of each scenario, modality and method, with a 95 % interval.

    The interval is that of `a2a.evaluation.statistics.mean_interval`; for those of `OF_SETS` see `distances`.

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
    for metric in values.loc[whole, "metric"].unique():
        sets = distances(_single_samples(results), GROUP[:-1], metric).reset_index().assign(metric=metric)
        found.append(sets[[*GROUP, "mean", "low", "high", "subjects"]])
    return pd.concat(found, ignore_index=True)


def distances(table: pd.DataFrame, groups: list[str], metric: str = "rfd") -> pd.DataFrame:
    """A Fréchet distance of each group, with an interval from random halves of the subjects.

    See `a2a.benchmark.measures.measured`. It is 1.96 standard deviations of the logarithm to both sides: distances are
    positive and of all magnitudes.

    Parameters
    ----------
    table
        Results with the columns `groups`, ``metric``, ``value`` and ``subject``.
    groups
        What tells the sets of slices apart.
    metric
        One of `OF_SETS`.

    Returns
    -------
    pandas.DataFrame
        Indexed by `groups`: ``mean`` (of all slices together), ``low, high`` (NaN without halves) and ``subjects``.
    """
    whole = table[table["metric"] == metric].groupby(groups, dropna=False)["value"].first()
    halves = table[table["metric"] == f"{metric}_half"]
    spread = np.log(halves["value"]).groupby([halves[name] for name in groups], dropna=False).std().reindex(whole.index)
    people = table[table["metric"] == "psnr"].groupby(groups, dropna=False)["subject"].nunique().reindex(whole.index)
    reach = np.exp(1.96 * spread)
    return pd.DataFrame({"mean": whole, "low": whole / reach, "high": whole * reach, "subjects": people})


def _single_samples(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of single samples, neither means nor references."""
    return table[table["estimate"] == "single sample"] if "estimate" in table else table
