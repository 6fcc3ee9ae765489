"""What an experiment costs where it has not been run: its network evaluations times what one was measured to take.

Explained in the chapter "Beyond one machine".
"""

import heapq
from collections.abc import Iterable, Mapping

import pandas as pd

from a2a.benchmark.experiment import Experiment
from a2a.common.errors import InputError
from a2a.data.cards.card import DataCard


def rates(results: pd.DataFrame) -> pd.DataFrame:
    """Return what one network evaluation of one slice takes: the median over the jobs of each method.

    Parameters
    ----------
    results
        A results table, all columns; scenarios that a method refused are left out.

    Returns
    -------
    pandas.DataFrame
        By method: ``evaluations`` of one completion, and ``seconds`` of one evaluation of one slice.
    """
    done = results.dropna(subset="seconds").drop_duplicates("job")
    singles = done[done["estimate"] == "single sample"]
    each = singles.assign(seconds=singles["seconds"] / (singles["slices"] * singles["evaluations"]))
    return each.groupby("method")[["evaluations", "seconds"]].median()


def budget(experiment: Experiment, slices: int, measured: pd.DataFrame) -> pd.DataFrame:
    """Return what the jobs of an experiment cost, by method.

    Parameters
    ----------
    experiment
        In the profile that is asked about, see `a2a.benchmark.Experiment.at`.
    slices
        Of the test split.
    measured
        As from `rates`. A method has as many evaluations as there, Any2all those of the job. Scenarios that a method
        refuses are counted too, which makes the compared methods look dearer than they are.

    Returns
    -------
    pandas.DataFrame
        ``experiment``, ``method``, network ``evaluations`` of all slices, and ``hours``.

    Raises
    ------
    InputError
        If a method of the experiment was not measured.
    """
    rows = []
    for job in experiment.jobs:
        if job.label not in measured.index:
            raise InputError(
                f"There is no measured time of {job.label}, which the experiment {experiment.name} asks for."
            )
        evaluations = job.evaluations or measured.loc[job.label, "evaluations"]
        count = evaluations * job.samples * slices / job.every
        hours = count * measured.loc[job.label, "seconds"] / 3600
        rows.append({"experiment": experiment.name, "method": job.label, "evaluations": count, "hours": hours})
    return pd.DataFrame(rows).groupby(["experiment", "method"], sort=False, as_index=False).sum()


def test_slices(card: DataCard, profile: str) -> int:
    """Return the number of slices in the test split of a phantom."""
    size = card.profile(profile)
    return len(size.test) * size.slices


def makespan(hours: Iterable[float], nodes: int) -> float:
    """Return when the last job ends, if the longest ones begin and each goes to the first node that is free."""
    ends = [0.0] * nodes
    for one in sorted(hours, reverse=True):
        heapq.heapreplace(ends, ends[0] + one)
    return max(ends)


def paper_hours(evaluations: Mapping[str, float], recipe: Mapping[str, float], device: str) -> float:
    """Return the hours that evaluations take with the paper's network, from its operations and the speed of a device.

    A training step is three forward passes: forward, and backward for weights and for inputs. MPS needs two of these.

    Parameters
    ----------
    evaluations
        By method; those of Any2all's samplers count.
    recipe
        A row of ``results/recipe-cost.csv``.
    device
        ``"gpu"``, at the speed that is assumed there, or ``"cpu"``, at the one measured there.
    """
    passes = sum(count for name, count in evaluations.items() if name.startswith("any2all-mds"))
    passes += 2 * sum(count for name, count in evaluations.items() if name.startswith("any2all-mps"))
    speed = recipe["assumed_tflops"] if device == "gpu" else recipe["here_gflops"] / 1000
    return passes * recipe["tflop_per_image"] / 3 / speed / 3600
