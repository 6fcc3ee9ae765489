"""All methods side by side: quality with intervals over subjects, and what quality costs.

Explained in the chapter "All methods side by side".
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from a2a.common.errors import InputError
from a2a.evaluation.estimates import OF_SETS, distances
from a2a.evaluation.metrics import summary
from a2a.prior.weights import trainings

BOARD = ("psnr", "ssim", "ssim_head")
"""Metrics of subjects that are shown together."""

GROUP = ["dataset", "scenario", "modality", "slices", "method"]


class Column(NamedTuple):
    """How a metric is written in a table for readers."""

    title: str
    factor: float = 1.0
    digits: int = 2

    def written(self, *values: float) -> str:
        """Write a mean, with its standard deviation, or also with the ends of its interval.

        Parameters
        ----------
        values
            The mean, perhaps the standard deviation, and perhaps low and high, in the unit of the results.
        """
        mean, *rest = (f"{self.factor * value:.{self.digits}f}" for value in values)
        spread, ends = rest[:1], rest[1:]
        return " ".join([mean, *(f"± {sd}" for sd in spread), *([f"({' to '.join(ends)})"] if ends else [])])


def beside_print(table: pd.DataFrame, printed: pd.DataFrame, columns: Mapping[str, Column]) -> pd.DataFrame:
    """Write measured means, standard deviations and intervals, and beside them what a paper printed for its own data.

    Parameters
    ----------
    table
        Results of one scenario and modality, as `a2a.benchmark.tables` returns them.
    printed
        ``method, metric, mean`` and perhaps ``std`` of the paper for the same scenario and modality, in the paper's
        units.
    columns
        The metrics to show, in order; the first ranks.

    Returns
    -------
    pandas.DataFrame
        One row for each ``method`` and ``estimate``, best first, as strings; "" where something was not measured or
        not printed. Single samples have the paper's numbers beside them, means of samples have not.
    """
    chosen = table.assign(estimate=table["estimate"].fillna("single sample"))
    groups = ["method", "estimate", "metric"]
    means = summary(chosen.loc[chosen["metric"].isin(columns), [*groups, "subject", "value"]]).set_index(groups)
    said = printed.set_index(["method", "metric"]).filter(["mean", "std"])
    first, rows = next(iter(columns)), []
    for method, estimate in means.xs(first, level="metric")["mean"].sort_values(ascending=False).index:
        row = {"method": method, "estimate": estimate}
        for metric, column in columns.items():
            there = (method, estimate, metric) in means.index
            numbers = means.loc[(method, estimate, metric), ["mean", "sd", "low", "high"]] if there else ()
            row[column.title] = column.written(*numbers) if there else ""
        for metric, column in columns.items():
            if metric in said.index.get_level_values("metric"):
                there = estimate == "single sample" and (method, metric) in said.index
                numbers = said.loc[(method, metric)].dropna() if there else ()
                row[f"printed {column.title}"] = " ± ".join(f"{one:.{column.digits}f}" for one in numbers)
        rows.append(row)
    return pd.DataFrame(rows)


def leaderboard(table: pd.DataFrame) -> pd.DataFrame:
    """Rank methods within each scenario and modality.

    Parameters
    ----------
    table
        Long table of `a2a.benchmark.tables`: columns ``dataset, scenario, modality, slices, method, subject, metric,
        value``, and where known ``estimate`` (single samples are ranked), ``seconds`` and ``evaluations``.

    Returns
    -------
    pandas.DataFrame
        One row for each group of `GROUP`, best PSNR first within a scenario and modality: ``psnr, psnr_low,
        psnr_high``, the same of ``ssim`` and ``ssim_head`` (mean over subjects with 95 % interval), ``rfd, rfd_low,
        rfd_high, dfd, dfd_low, dfd_high`` (Fréchet distances of all slices together, see `distances`; NaN where not
        measured),
        ``seconds`` for each slice, ``evaluations`` of a network and ``rank``.

    Raises
    ------
    InputError
        If a column is missing, or a method occurs with several settings in one group.
    """
    if missing := {*GROUP, "subject", "metric", "value"} - set(table):
        raise InputError(f"leaderboard needs the columns {', '.join(sorted(missing))} too.")
    single = _single(table) if "estimate" in table else table
    chosen = single[single["metric"].isin(BOARD)]
    means = summary(chosen[[*GROUP, "subject", "metric", "value"]])
    wide = means.pivot(index=GROUP, columns="metric", values=["mean", "low", "high"])
    board = pd.DataFrame(
        {
            f"{metric}{suffix}": wide[(statistic, metric)]
            for metric in BOARD
            if ("mean", metric) in wide
            for statistic, suffix in (("mean", ""), ("low", "_low"), ("high", "_high"))
        }
    )
    for metric in OF_SETS:
        distance = distances(single, GROUP, metric)
        for statistic, suffix in (("mean", ""), ("low", "_low"), ("high", "_high")):
            board[f"{metric}{suffix}"] = distance[statistic]
    for name in ("seconds", "evaluations"):
        board[name] = single.groupby(GROUP)[name].first() if name in single else np.nan
    board = board.reset_index()
    board["seconds"] /= board["slices"]
    places = board.groupby(["dataset", "scenario", "modality"], sort=False)["psnr"]
    board["rank"] = places.rank(ascending=False, method="min").astype(int)
    order = {name: place for place, name in enumerate(pd.unique(table["scenario"]))}
    board["_order"] = board["scenario"].map(order)
    return board.sort_values(["dataset", "_order", "modality", "rank"]).drop(columns="_order").reset_index(drop=True)


def intervals(table: pd.DataFrame) -> pd.DataFrame:
    """PSNR, SSIM (of slices and of heads), rFD and dFD of each group of a results table, with 95 % intervals.

    Parameters
    ----------
    table
        As `a2a.benchmark.table.tables` returns it.

    Returns
    -------
    pandas.DataFrame
        One row for each method with its settings, estimate, scenario, modality and metric, and where there are several
        for each data set: ``mean, low, high`` and ``subjects``. Of the distances, which subjects have none of,
        ``mean`` is that of all slices together.
    """
    several = ["dataset"] if table["dataset"].nunique() > 1 else []
    groups = [*several, "scenario", "method", "settings", "evaluations", "estimate", "modality", "metric"]
    means = summary(table.loc[table["metric"].isin(BOARD), [*groups, "subject", "value"]])
    sets = [distances(table, groups[:-1], metric).reset_index().assign(metric=metric) for metric in OF_SETS]
    together = pd.concat([part for part in (means, *sets) if len(part)], ignore_index=True)
    return together[[*groups, "mean", "low", "high", "subjects"]].sort_values(groups[:-1], kind="stable")


def training_costs(cards: Mapping[str, dict]) -> pd.DataFrame:
    """What the methods cost to train, from their model cards.

    Parameters
    ----------
    cards
        Model card by method, of a prior or of a `a2a.methods.baselines.Baseline`.

    Returns
    -------
    pandas.DataFrame
        Indexed by method: ``parameters`` of the network that answers, ``images`` seen and ``minutes`` taken in all its
        trainings, ``device`` of the last one.
    """
    rows = {
        name: {
            "parameters": card["parameters"],
            "images": sum(training["images_seen"] for training in trainings(card)),
            "minutes": round(sum(training["seconds"] for training in trainings(card)) / 60, 1),
            "device": card["device"],
        }
        for name, card in cards.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")


def _single(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of single completions: references have no estimate."""
    return table[table["estimate"].isna() | (table["estimate"] == "single sample")]
