"""Comparing methods: paired over subjects, with intervals, tests, effect sizes, and a correction for many tests.

The unit is the subject. Slices and posterior samples of one brain are not independent: they are averaged first
(`per_subject`), and every comparison is of the same subjects' values (`a2a.evaluation.comparison`). The chapter of the
benchmark explains why.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from a2a.common.errors import InputError

FEWEST_FOR_A_TEST = 8
"""With fewer subjects `compare` gives intervals only: with 5, no two-sided p can be below 0.0625."""


def per_subject(table: pd.DataFrame, over: Sequence[str]) -> pd.DataFrame:
    """Average each subject's values over repeats (training seeds, posterior samples, slices).

    Parameters
    ----------
    table
        Long table with ``subject`` and ``value``, as from `a2a.evaluation.metrics.subject_table`; every column but
        ``value`` and those of `over` makes groups.
    over
        Columns that number the repeats.

    Returns
    -------
    pandas.DataFrame
        The table with one row a group, ``value`` the mean, without the columns of `over`.

    Raises
    ------
    InputError
        If a column is missing, a value is NaN, or subjects have different numbers of repeats.
    """
    _check(table, ["subject", "value", *over], "per_subject")
    groups = [column for column in table if column not in ("value", *over)]
    means = table.groupby(groups, sort=False, dropna=False)["value"].agg(["mean", "size"]).reset_index()
    if means["size"].nunique() > 1:
        fewest, most = means["size"].min(), means["size"].max()
        raise InputError(f"per_subject: some values have {fewest} repeats and others {most}; all must have as many.")
    return means.rename(columns={"mean": "value"})[[*groups, "value"]]


def between_repeats(table: pd.DataFrame, over: Sequence[str]) -> pd.DataFrame:
    """Standard deviation, between repeats (training seeds), of the mean over subjects.

    Parameters and errors as in `per_subject`, but for the numbers of repeats.

    Returns
    -------
    pandas.DataFrame
        One row for each group (without subjects): ``sd`` (N - 1 denominator; NaN for one) and ``repeats``.
    """
    _check(table, ["subject", "value", *over], "between_repeats")
    groups = [column for column in table if column not in ("subject", "value", *over)]
    means = table.groupby([*groups, *over], sort=False, dropna=False)["value"].mean().reset_index()
    found = means.groupby(groups, sort=False, dropna=False)["value"].agg(sd="std", repeats="size")
    return found.reset_index()


def mean_interval(values: ArrayLike, confidence: float = 0.95) -> tuple[float, float]:
    r"""Student's interval of the mean over subjects, :math:`\bar d \pm t_{n-1} s / \sqrt n`.

    With 8 subjects it covers the mean as often as it says where a bootstrap interval covers it in 89 of 100 cases
    instead of 95 (``python benchmarks/interval_coverage.py``).

    Parameters
    ----------
    values
        One for each subject, shape (n,): values, or differences of paired ones.
    confidence
        Coverage, between 0 and 1.

    Returns
    -------
    low, high : float
        NaN for one subject; the common value where all are equal.

    Raises
    ------
    InputError
        If the confidence is out of range or a value is not finite.

    References
    ----------
    Student, "The probable error of a mean", Biometrika 6, 1908.
    """
    d = _differences(values)
    if not 0 < confidence < 1:
        raise InputError(f"mean_interval: confidence must lie between 0 and 1, got {confidence}.")
    if len(d) < 2:
        return np.nan, np.nan
    if np.ptp(d) == 0:
        return float(d[0]), float(d[0])
    reach = float(stats.t.ppf(0.5 + confidence / 2, len(d) - 1) * d.std(ddof=1) / len(d) ** 0.5)
    return float(d.mean()) - reach, float(d.mean()) + reach


def signed_rank(differences: ArrayLike) -> tuple[float, float]:
    """Wilcoxon signed-rank test, two-sided, zeros as Pratt has them: the statistic W and p.

    The statistic is the smaller of the rank sums of positive and negative differences; p is 1 where all are zero.

    References
    ----------
    Wilcoxon, "Individual comparisons by ranking methods", Biometrics Bulletin 1, 1945.
    """
    d = _differences(differences)
    if not d.any():
        return 0.0, 1.0
    result = stats.wilcoxon(d, zero_method="pratt", method="auto")
    return float(result.statistic), float(result.pvalue)


def rank_biserial(differences: ArrayLike) -> float:
    """Matched-pairs rank-biserial correlation ``(W+ - W-) / (W+ + W-)``: -1 to 1, 0 where all differences are zero."""
    d = _differences(differences)
    ranks = stats.rankdata(np.abs(d))
    positive, negative = ranks[d > 0].sum(), ranks[d < 0].sum()
    return float((positive - negative) / (positive + negative)) if positive + negative else 0.0


def hodges_lehmann(differences: ArrayLike) -> float:
    """Hodges-Lehmann estimate of the shift: median of the means of all pairs, each with itself included."""
    d = _differences(differences)
    return float(np.median(((d[:, None] + d) / 2)[np.triu_indices(len(d))]))


def holm(p: ArrayLike) -> np.ndarray:
    """Holm's adjusted p-values, ``max_{j <= k} min(1, (K - j + 1) p_(j))``; NaN (no test made) stays and counts not.

    Raises
    ------
    InputError
        If a value lies outside of [0, 1].

    References
    ----------
    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
    """
    values = np.atleast_1d(np.asarray(p, np.float64))
    tested = np.flatnonzero(~np.isnan(values))
    if ((values[tested] < 0) | (values[tested] > 1)).any():
        raise InputError("holm: p-values must lie between 0 and 1.")
    order = tested[np.argsort(values[tested], kind="stable")]
    adjusted = np.full(values.shape, np.nan)
    adjusted[order] = np.maximum.accumulate(np.minimum(1, np.arange(len(order), 0, -1) * values[order]))
    return adjusted


def page_trend(values: ArrayLike) -> tuple[float, float]:
    """Page's test that values grow along ordered conditions: L and p.

    Parameters
    ----------
    values
        Shape (subjects, conditions), conditions in the order of the claim; negate where less is better.

    Raises
    ------
    InputError
        If there are fewer than two subjects or three conditions, or a value is not finite.

    References
    ----------
    Page, "Ordered hypotheses for multiple treatments", Journal of the American Statistical Association 58, 1963.
    """
    table = np.asarray(values, np.float64)
    if table.ndim != 2 or table.shape[0] < 2 or table.shape[1] < 3:
        raise InputError(f"page_trend needs 2 or more subjects and 3 or more conditions, got {table.shape}.")
    if not np.isfinite(table).all():
        raise InputError("page_trend: a value is NaN or infinite.")
    result = stats.page_trend_test(table)
    return float(result.statistic), float(result.pvalue)


def verdict(low: float, high: float, margin: float = 0.0) -> str:
    """Whether "A is better than B" (or, with a margin, "A is not worse by more than it") holds.

    Parameters
    ----------
    low, high
        Interval of A - B, in the direction in which more is better.
    margin
        Tolerated loss, not negative, fixed before looking.

    Returns
    -------
    str
        ``"supported"``, ``"contradicted"``, or ``"undecided"`` where the interval holds the margin (or is NaN).

    Raises
    ------
    InputError
        If the margin is negative or the interval is upside down.
    """
    if margin < 0 or low > high:
        raise InputError(f"verdict needs a margin >= 0 and low <= high, got {margin}, {low}, {high}.")
    return "supported" if low > -margin else "contradicted" if high < -margin else "undecided"


def _differences(values: ArrayLike) -> np.ndarray:
    d = np.asarray(values, np.float64)
    if d.ndim != 1 or d.size == 0:
        raise InputError(f"Paired differences must be one number for each subject, got shape {d.shape}.")
    if not np.isfinite(d).all():
        raise InputError("A paired difference is NaN or infinite; a failed completion must be handled first.")
    return d


def _check(table: pd.DataFrame, columns: Sequence[str], caller: str) -> None:
    for column in columns:
        if column not in table:
            raise InputError(f"{caller} needs a table with the column {column!r}; it has {', '.join(map(str, table))}.")
    if table["value"].isna().any():
        raise InputError(f"{caller}: the table has NaN values; a failed completion must be handled before averaging.")
