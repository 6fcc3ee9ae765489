"""``a2a plan``: which scan to acquire next."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from a2a.cli import given as paths
from a2a.cli.complete import ANY_MODALITY, pairs, parse_files, require_files
from a2a.cli.completer import load_completer
from a2a.common.errors import InputError
from a2a.prior.shipped import located

if TYPE_CHECKING:
    from a2a.evaluation.next_scan import ScanValues
    from a2a.forward.observation import Observation
    from a2a.forward.undersampling import Undersampling
    from a2a.methods.interface import Method

app = typer.Typer(add_completion=False, rich_markup_mode=None)

DATA = Path("runs", "data", "phantom-any2all-64-ci")
SPACING = 1.25
"""Of the times of MDS, as in the comparison of predictions with measurements, ``benchmarks/next_scan.py``."""


@app.command(context_settings=ANY_MODALITY)
def plan(
    context: typer.Context,
    given: Annotated[str, typer.Option(help='What is given, such as "T1 + y(FLAIR)"; y(...) is undersampled k-space.')],
    target: Annotated[str, typer.Option(help="The modality that matters.")],
    prior: Annotated[
        str, typer.Option(help="A prior: the name of shipped weights, or a .safetensors file with its .json.")
    ] = "phantom-any2all-64",
    data: Annotated[
        Path | None,
        typer.Option(help="Slice store; slices of its test split are looked at.", show_default=str(DATA)),
    ] = None,
    subject: Annotated[str | None, typer.Option(help="Of the test split, only this subject.")] = None,
    scan: Annotated[
        list[str] | None,
        typer.Option(help='Only this scan, such as CT or "y(T1)"; may be repeated.', show_default="all that is left"),
    ] = None,
    slices: Annotated[int, typer.Option(min=1, help="Slices that are looked at, evenly spread.")] = 8,
    samples: Annotated[int, typer.Option(min=2, help="Posterior samples of each slice.")] = 8,
    steps: Annotated[int, typer.Option(min=1, help="Network evaluations of each sample.")] = 10,
    acceleration: Annotated[int, typer.Option(help="R of k-space.")] = 4,
    acs: Annotated[int, typer.Option(help="Fully sampled central lines of k-space.")] = 0,
    noise_std: Annotated[float, typer.Option(help="Noise of k-space, in image units.")] = 0.01,
    seed: Annotated[int, typer.Option(min=0, help="Seed of samples and simulated noise.")] = 0,
) -> None:
    """Rank what could be acquired next by how much of a target's uncertainty it would take away.

    Looks at test slices of a slice store, or at a patient: name one file for each given modality, as for a2a complete.
    Each posterior sample is taken for the truth in turn, each scan is acquired from it, and the target is drawn again.
    """
    words = pairs(context.args)
    require_files(words)
    if words and (data or subject):
        raise InputError(f"{'--data' if data else '--subject'} is for slices of a store, {words[0][0]} for a patient.")
    weights, store = located(prior), None if words else paths.store(data or DATA)
    from a2a.common.progress import format_seconds, remark
    from a2a.evaluation.next_scan import scans_left, value_of_scans
    from a2a.forward.scenario import Scenario
    from a2a.forward.undersampling import Undersampling
    from a2a.methods.quality import estimated_seconds

    undersampling = Undersampling(acceleration=acceleration, acs=acs, noise_std=noise_std)
    method = load_completer(weights, None, None, "mds", {"steps": steps, "spacing": SPACING}, None, False)
    method = replace(method, options={**method.options, "noise_levels": method.prior.noise_levels})
    scans = scan or scans_left(Scenario.parse(given, method.spec), target, method.spec)
    if store is None:
        observation = _patient(words, given, method, undersampling, seed, slices)
    else:
        observation = _of_store(store, subject, given, undersampling, seed, slices)
    takes = estimated_seconds(method, observation, samples) * (2 + len(scans))
    remark(f"{observation.shape[0]} slices, {samples} samples, {len(scans)} scans: about {format_seconds(takes)}")
    values = value_of_scans(method.complete, observation, target, scans, undersampling, samples, seed)
    for line in report(values, observation):
        typer.echo(line)


def _of_store(
    store: Path, subject: str | None, given: str, undersampling: "Undersampling", seed: int, slices: int
) -> "Observation":
    """Observe some slices of the test split."""
    import numpy as np
    import torch

    from a2a.common.rng import spawn
    from a2a.data.store.read import SliceStore
    from a2a.forward.observation import Observation

    opened = SliceStore.open(store)
    split = opened.split("test")
    rows = np.arange(len(split)) if subject is None else split.rows(subject)
    if not len(rows):
        raise InputError(f"{store}: its test split is empty.")
    every = -(-len(rows) // slices)
    rows = rows[every // 2 :: every]
    truth = torch.from_numpy(np.float32(split.images[rows]))
    return Observation.simulate(truth, given, opened.spec, undersampling, spawn(seed, rows.tolist()))


def _patient(
    words: list[tuple[str, str]],
    given: str,
    method: "Method",
    undersampling: "Undersampling",
    seed: int,
    slices: int,
) -> "Observation":
    """Observe some slices of a patient, and say what is doubtful of it."""
    from a2a.patient.read import read_patient
    from a2a.patient.statement import doubts

    files, maps = parse_files(words, method.spec)
    acquisition = read_patient(given, files, method, undersampling, seed, maps=maps)
    for doubt in doubts(method.card, acquisition.observation, acquisition.background):
        typer.echo(doubt, err=True)
    every = -(-acquisition.observation.shape[0] // slices)
    return acquisition.observation[every // 2 :: every]


def report(values: "ScanValues", observation: "Observation") -> list[str]:
    """Say how uncertain the target is, what each scan would do about it, and which helps most.

    Parameters
    ----------
    values
        Of the scans.
    observation
        What is given.
    """
    table, (_, samples, slices) = values.table(), values.left.shape
    now = values.now.mean() ** 0.5
    first, rest = table.iloc[0], table.iloc[1:]
    close = [first["scan"], *rest.loc[~(rest["behind_low"] > 0), "scan"]]
    said = f"{first['scan']} would help most."
    if not first["low"] > 0:
        said = "No scan is sure to help."
    elif len(close) > 1:
        said = f"{', '.join(close)}: which of them helps most is not decided; take more --samples or --slices."
    width = max(map(len, table["scan"]))
    return [
        f"{values.target} given {observation.scenario}: samples differ by {now:.4f} of its range (root mean variance; "
        f"{samples} samples of {slices} slices).",
        f"{'next scan':{max(width, 9)}}  leaves  takes away  95 % over samples",
        *(
            f"{r.scan:{max(width, 9)}}  {r.left:.4f}  {r.removed:9.0%}   {r.low:.0%} to {r.high:.0%}"
            for r in table.itertuples()
        ),
        said,
    ]
