"""All methods side by side: quality with intervals over subjects, and what quality costs.

Explained in the chapter "All methods side by side".
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from a2a.common.errors import InputError
from a2a.evaluation.estimates import distances
from a2a.evaluation.metrics import summary
from a2a.prior.weights import trainings

GROUP = ["dataset", "scenario", "modality", "slices", "method"]


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
        psnr_high, ssim, ssim_low, ssim_high`` (mean over subjects with 95 % interval), ``rfd, rfd_low, rfd_high``
        (radiomic Fréchet distance of all slices together, see `distances`; NaN where not measured), ``seconds`` for
        each slice, ``evaluations`` of a network and ``rank``.

    Raises
    ------
    InputError
        If a column is missing, or a method occurs with several settings in one group.
    """
    if missing := {*GROUP, "subject", "metric", "value"} - set(table):
        raise InputError(f"leaderboard needs the columns {', '.join(sorted(missing))} too.")
    single = _single(table) if "estimate" in table else table
    chosen = single[single["metric"].isin(["psnr", "ssim"])]
    means = summary(chosen[[*GROUP, "subject", "metric", "value"]])
    wide = means.pivot(index=GROUP, columns="metric", values=["mean", "low", "high"])
    board = pd.DataFrame(
        {
            f"{metric}{suffix}": wide[(statistic, metric)]
            for metric in ("psnr", "ssim")
            for statistic, suffix in (("mean", ""), ("low", "_low"), ("high", "_high"))
        }
    )
    distance = distances(single, GROUP)
    board["rfd"], board["rfd_low"], board["rfd_high"] = distance["mean"], distance["low"], distance["high"]
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
    """PSNR, SSIM and rFD of each group of a results table, with 95 % intervals.

    Parameters
    ----------
    table
        As `a2a.benchmark.table.tables` returns it.

    Returns
    -------
    pandas.DataFrame
        One row for each method with its settings, estimate, scenario, modality and metric: ``mean, low, high`` and
        ``subjects``. Of the distance rFD, which subjects have none of, ``mean`` is that of all slices together.
    """
    groups = ["scenario", "method", "settings", "evaluations", "estimate", "modality", "metric"]
    means = summary(table.loc[table["metric"].isin(["psnr", "ssim"]), [*groups, "subject", "value"]])
    distance = distances(table, groups[:-1]).reset_index().assign(metric="rfd")
    together = pd.concat([part for part in (means, distance) if len(part)], ignore_index=True)
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
