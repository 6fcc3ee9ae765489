"""``a2a bench``: run experiments on the test split of a slice store."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from a2a.cli import given
from a2a.common.errors import InputError
from a2a.prior.shipped import located

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
            help="Parquet table of one experiment, or a folder for NAME.parquet of each.",
            show_default="runs/bench/PROFILE",
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Slices computed together.")] = 16,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that share the cores.", show_default="one per core, at most 4")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Drop rows of other jobs, weights or data that a table holds.")
    ] = False,
) -> None:
    """Measure methods: every job of the experiments that their tables lack for these weights and data.

    Prints means with 95 % intervals over subjects.
    """
    experiments = [given.file(path, "experiments are the YAML files in experiments/") for path in experiments]
    for path in experiments:
        given.profile(path, profile)
    weights, slices = prior and located(prior), data and given.store(data)
    from a2a.benchmark import Experiment, run
    from a2a.common.outputs import check_file
    from a2a.data.store.read import SliceStore
    from a2a.evaluation.leaderboard import intervals
    from a2a.prior.prior import Prior

    asked = [Experiment.load(path).at(profile) for path in experiments]
    places = tables(experiments, out or Path("runs", "bench", profile or "ci"))
    for place in places:
        check_file(place)
    for place, one in zip(places, asked, strict=True):
        store = SliceStore.open(slices or one.data, verify=True)
        network = Prior.load(weights or located(one.prior), bf16=one.precision == "bfloat16")
        table = run(one, network, store, place, batch, overwrite, workers or min(os.cpu_count() or 1, 4))
        typer.echo(intervals(table).round(3).to_string(index=False))


def tables(experiments: Sequence[Path], out: Path) -> list[Path]:
    """Return the table of each experiment: `out` itself where it ends in ``.parquet``, else in the folder `out`.

    Raises
    ------
    InputError
        If two of them would have the same.
    """
    if out.suffix == ".parquet" and not out.is_dir():
        if len(experiments) > 1:
            raise InputError(f"--out {out} is the table of one experiment; name a folder for several.")
        return [out]
    places = [out / f"{path.stem}.parquet" for path in experiments]
    if twice := [place for place in places if places.count(place) > 1]:
        raise InputError(f"Two experiments would write {twice[0]}; run them one by one with another --out.")
    return places
