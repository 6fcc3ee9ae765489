"""The table of paired comparisons: every method against one, for each scenario, modality and metric."""

import numpy as np
import pandas as pd

from a2a.common.errors import InputError
from a2a.evaluation.statistics import (
    FEWEST_FOR_A_TEST,
    hodges_lehmann,
    holm,
    mean_interval,
    rank_biserial,
    signed_rank,
)


def compare(table: pd.DataFrame, against: str, column: str = "method") -> pd.DataFrame:
    """Compare every method with one of them, paired over subjects.

    Parameters
    ----------
    table
        Long table as from `a2a.evaluation.metrics.subject_table` with a column that names the methods, one value for
        each subject in a group (`a2a.evaluation.statistics.per_subject`); every column but ``subject``, ``value`` and
        `column` makes groups.
    against
        The method that the others are compared with.
    column
        What is compared: ``"method"``, ``"scenario"``, ...

    Returns
    -------
    pandas.DataFrame
        One row for each group and other method: the group's labels, `column`, ``against``, ``difference`` (mean of
        method - against), ``low, high`` (95 %, see `a2a.evaluation.statistics.mean_interval`), ``hodges_lehmann``,
        ``rank_biserial``, ``statistic``, ``p``, ``p_holm`` and ``subjects``. With fewer than 8 subjects the test is
        left out (NaN). The family of Holm's correction is all rows of one metric.

    Raises
    ------
    InputError
        If a column or the method is missing, a value is not finite, a subject occurs twice in a group, or two methods
        of a group have other subjects.
    """
    for name in ("subject", "metric", "value", column):
        if name not in table:
            raise InputError(f"compare needs a table with the column {name!r}; it has {', '.join(map(str, table))}.")
    if not np.isfinite(table["value"]).all():
        raise InputError("compare: the table has NaN or infinite values; a failed completion must be handled first.")
    if against not in set(table[column]):
        found = ", ".join(map(str, table[column].unique()))
        raise InputError(f"compare: no {column} is {against!r}; there are {found}.")
    groups = [name for name in table if name not in ("subject", "value", column)]
    if table.duplicated([*groups, column, "subject"]).any():
        raise InputError(f"compare: a subject occurs twice for one {column}; average over its repeats first.")
    rows = []
    for key, group in table.groupby(groups, sort=False, dropna=False):
        labels = dict(zip(groups, key, strict=True))
        values = group.pivot(index="subject", columns=column, values="value")
        for name in pd.unique(group[column]):
            if against in values and name != against:
                rows.append(labels | {column: name, "against": against} | _pair(values, name, against))
    if not rows:
        raise InputError(f"compare: nothing shares a group with the {column} {against!r}.")
    found = pd.DataFrame(rows)
    found["p_holm"] = found.groupby("metric", sort=False)["p"].transform(lambda p: holm(p))
    return found[[*(name for name in found if name != "subjects"), "subjects"]]


def _pair(values: pd.DataFrame, name: str, against: str) -> dict[str, float]:
    """One comparison; `values` has a row for each subject and a column for each method."""
    pair = values[[name, against]]
    for method in pair:
        if pair[method].isna().any():
            subject = pair.index[pair[method].isna()][0]
            raise InputError(
                f"compare: {method!r} has no value for the subject {subject!r}; both methods need the same subjects."
            )
    d = (pair[name] - pair[against]).to_numpy()
    tested = len(d) >= FEWEST_FOR_A_TEST
    statistic, p = signed_rank(d) if tested else (np.nan, np.nan)
    low, high = mean_interval(d)
    return {
        "difference": float(d.mean()),
        "low": low,
        "high": high,
        "hodges_lehmann": hodges_lehmann(d),
        "rank_biserial": rank_biserial(d),
        "statistic": statistic,
        "p": p,
        "subjects": len(d),
    }
