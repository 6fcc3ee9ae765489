"""``a2a bench``: run an experiment on the test split of a slice store."""

from pathlib import Path
from typing import Annotated

import typer


def bench(
    experiment: Annotated[Path, typer.Argument(help="Experiment, e.g. experiments/phantom-any2all-64.yaml.")],
    prior: Annotated[Path, typer.Option(help="Weights: a .safetensors file with its .json beside it.")],
    data: Annotated[Path, typer.Option(help="Slice store made by `a2a prepare`.")],
    out: Annotated[Path, typer.Option(help="Parquet table of results.")],
    batch: Annotated[int, typer.Option(min=1, help="Slices computed together.")] = 16,
    every: Annotated[
        int | None, typer.Option(min=1, help="Use every so-manyth slice of each subject, whatever the jobs say.")
    ] = None,
    bf16: Annotated[bool, typer.Option("--bf16", help="Evaluate the network in bf16.")] = False,
) -> None:
    """Measure methods: every job of the experiment that the table does not hold yet for these weights and data.

    Prints mean, standard deviation and bootstrap interval over subjects.
    """
    from a2a.benchmark import Experiment, run
    from a2a.data.store import SliceStore
    from a2a.evaluation.metrics import summary
    from a2a.prior import Prior

    store = SliceStore.open(data, verify=True)
    asked = Experiment.load(experiment)
    if every:
        asked = asked.model_copy(update={"jobs": tuple(job.model_copy(update={"every": every}) for job in asked.jobs)})
    table = run(asked, Prior.load(prior, bf16=bf16), store, out, batch)
    shown = table[table.metric.isin(["psnr", "ssim", "rfd"])].drop(columns=["slices", "seconds"])
    typer.echo(summary(shown).drop(columns="identical").round(3).to_string(index=False))
