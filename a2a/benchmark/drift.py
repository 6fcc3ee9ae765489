"""Whether results are still what they were: a small experiment, run again and compared with its committed table.

Explained in the page "Status" of the book.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from pydantic import PositiveFloat

from a2a.benchmark.experiment import Experiment, Strict
from a2a.benchmark.run import run
from a2a.benchmark.table import tables
from a2a.common.documents import read_yaml
from a2a.common.errors import InputError
from a2a.common.escaping import shown
from a2a.common.files import write_text
from a2a.common.outputs import check_file, hold
from a2a.data.store.read import SliceStore
from a2a.prior.prior import Prior

JOB = ["dataset", "scenario", "method", "settings", "slices", "evaluations"]
KEY = [*JOB, "estimate", "subject", "modality", "metric"]


class Drift(Strict):
    """What ``experiments/drift.yaml`` says.

    Parameters
    ----------
    experiment
        Small enough to be run with every change.
    tolerances
        By metric, how far a subject's value may be from the reference; other metrics are not compared.
    """

    experiment: Experiment
    tolerances: dict[str, PositiveFloat]

    @classmethod
    def load(cls, path: Path) -> "Drift":
        """Read and validate the YAML.

        Raises
        ------
        InputError
            If the file is missing or no YAML, or a field is wrong (the field is named).
        """
        return read_yaml(path, cls, "the plan is experiments/drift.yaml")


def measure(plan: Drift, prior: Prior, store: SliceStore) -> pd.DataFrame:
    """Run the experiment anew and return its rows of the metrics that have a tolerance.

    Parameters
    ----------
    plan
        Experiment and tolerances.
    prior
        The trained prior.
    store
        Its test split is completed.
    """
    with TemporaryDirectory() as folder:
        run(plan.experiment, prior, store, Path(folder) / "drift.parquet")
        table = tables([Path(folder) / "drift.parquet"])
    return table.loc[table["metric"].isin(plan.tolerances), [*KEY, "value"]].reset_index(drop=True)


def compare_with(reference: Path, found: pd.DataFrame, plan: Drift) -> pd.DataFrame:
    """Set new values beside those of the committed table.

    Parameters
    ----------
    reference
        The committed table.
    found
        What `measure` returned.
    plan
        Experiment and tolerances.

    Returns
    -------
    pandas.DataFrame
        One row for each value: `KEY`, ``reference``, ``value``, ``difference``, ``tolerance`` and ``drifted``.

    Raises
    ------
    InputError
        If the reference is missing, or holds other rows than the plan asks for.
    """
    if not Path(reference).is_file():
        raise InputError(f"{reference}: no such file; write it with --update.")
    try:
        former = pd.read_csv(reference, dtype={"subject": str}, keep_default_na=False, na_values={"value": [""]})
        former = former.astype({"value": float})[[*KEY, "value"]]
    except (ValueError, LookupError, OSError) as error:
        raise InputError(f"{reference}: no table of drift ({shown(str(error))}); write it with --update.") from None
    text = [name for name in KEY if name not in ("slices", "evaluations")]
    both = [table.astype(dict.fromkeys(text, str)) for table in (former, found)]
    joined = both[0].merge(both[1], on=KEY, how="outer", suffixes=("_former", ""), indicator=True)
    if strange := int((joined["_merge"] != "both").sum()):
        raise InputError(f"{reference}: {strange} rows are not those of the plan; write it anew with --update.")
    table = joined.rename(columns={"value_former": "reference"}).drop(columns="_merge")
    table["difference"] = table["value"] - table["reference"]
    table["tolerance"] = table["metric"].map(plan.tolerances)
    table["drifted"] = ~(table["difference"].abs() <= table["tolerance"])
    return table[[*KEY, "reference", "value", "difference", "tolerance", "drifted"]]


def write_reference(path: Path, found: pd.DataFrame) -> None:
    """Write the committed table: text, so that a reviewer sees in the difference of a commit which values moved."""
    real = check_file(path)
    with hold(real):
        write_text(real, found.to_csv(index=False, float_format="%.6g"))
