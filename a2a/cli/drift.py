"""``a2a drift``: run a small experiment again and compare it with its committed results."""

from pathlib import Path
from typing import Annotated

import typer

from a2a.cli import given
from a2a.common.errors import Failure
from a2a.prior.shipped import located

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def drift(
    prior: Annotated[str, typer.Option(help="Prior: a .safetensors file with its .json beside it, or a shipped name.")],
    data: Annotated[Path, typer.Option(help="Slice store made by `a2a prepare`.")],
    plan: Annotated[Path, typer.Option(help="Experiment and tolerances.")] = Path("experiments/drift.yaml"),
    reference: Annotated[Path, typer.Option(help="Committed results.")] = Path("results/drift.csv"),
    update: Annotated[bool, typer.Option("--update", help="Write the reference anew; say why in the commit.")] = False,
) -> None:
    """Say whether results are still what they were; ends with 1 if a value left its tolerance."""
    weights, slices = located(prior), given.store(data)
    plan = given.file(plan, "the plan is experiments/drift.yaml")
    reference = reference if update else given.file(reference, "write it with --update")
    from a2a.benchmark.drift import Drift, compare_with, measure, write_reference
    from a2a.common.outputs import check_file
    from a2a.data.store.read import SliceStore
    from a2a.prior.prior import Prior

    asked = Drift.load(plan)
    if update:
        check_file(reference)
    found = measure(asked, Prior.load(weights), SliceStore.open(slices, verify=True))
    if update:
        write_reference(reference, found)
        typer.echo(f"Wrote {len(found)} values to {reference}.")
        return
    table = compare_with(reference, found, asked)
    largest = table.assign(share=table["difference"].abs() / table["tolerance"]).sort_values("share", ascending=False)
    columns = ["scenario", "method", "modality", "metric", "subject", "reference", "value", "tolerance"]
    typer.echo(largest.head(8)[columns].to_string(index=False))
    if count := int(table["drifted"].sum()):
        raise Failure(f"{count} of {len(table)} values left their tolerance; if it was meant, run again with --update.")
    typer.echo(f"All {len(table)} values are within their tolerances.")
