"""``a2a bench``: run experiments on the test split of a slice store."""

from pathlib import Path
from typing import Annotated

import typer

from a2a.cli import given
from a2a.common.errors import InputError

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def bench(
    experiments: Annotated[list[Path], typer.Argument(help="Experiments, e.g. experiments/figures/figure-3.yaml.")],
    profile: Annotated[
        str | None, typer.Option(help="How much is computed, where an experiment has profiles.", show_default="ci")
    ] = None,
    prior: Annotated[
        str | None, typer.Option(help="Prior in place of the experiment's: its .safetensors file, or a shipped name.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Slice store in place of the experiment's.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Parquet table, of one experiment.",
            show_default="results/NAME.parquet in the profile ci, else runs/bench/PROFILE/NAME.parquet",
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Slices computed together.")] = 16,
) -> None:
    """Measure methods: every job of the experiments that their tables lack for these weights and data.

    Prints means with 95 % intervals over subjects.
    """
    if out and len(experiments) > 1:
        raise InputError("--out is the table of one experiment; leave it out to run several.")
    experiments = [given.file(path, "experiments are the YAML files in experiments/") for path in experiments]
    weights, slices = prior and given.weights(prior), data and given.store(data)
    from a2a.benchmark import Experiment, run
    from a2a.data.store.read import SliceStore
    from a2a.evaluation.leaderboard import intervals
    from a2a.prior.prior import Prior

    asked = [Experiment.load(path).at(profile) for path in experiments]
    folder = Path("results") if profile in (None, "ci") else Path("runs", "bench", profile)
    for path, one in zip(experiments, asked, strict=True):
        store = SliceStore.open(slices or one.data, verify=True)
        network = Prior.load(weights or given.weights(one.prior), bf16=one.precision == "bfloat16")
        table = run(one, network, store, out or folder / f"{path.stem}.parquet", batch)
        typer.echo(intervals(table).round(3).to_string(index=False))
