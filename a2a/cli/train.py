"""``a2a train``: train a prior or a compared method from a YAML configuration and a slice store."""

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from a2a.cli import given

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="Configuration, e.g. experiments/priors/phantom-any2all-64.yaml.")],
    data: Annotated[Path, typer.Option(help="Slice store made by `a2a prepare`.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run; by default runs/priors/NAME or runs/baselines/NAME.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the checkpoint in --out.")] = False,
    devices: Annotated[int, typer.Option(min=1, help="GPUs, or processes without one.")] = 1,
    workers: Annotated[int, typer.Option(min=0, help="Processes for each device that read ahead.")] = 0,
    stop_after: Annotated[int | None, typer.Option(min=1, help="Stop with a checkpoint after this step.")] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=2**31 - 1, help="Instead of the configuration's; the name then ends in -seed-SEED."),
    ] = None,
) -> None:
    """Train a prior or a method; writes checkpoint, log.csv and finally the weights with their model card.

    Start it again with --resume after an interruption: the weights come out the same.
    """
    config = given.file(config, "see experiments/priors/ and experiments/baselines/")
    given.store(data)
    given.place(out or Path())
    from a2a.data.store.read import SliceStore
    from a2a.methods.recipes import load_config, objective
    from a2a.training import PriorConfig
    from a2a.training import train as run
    from a2a.training.checkpoint import CHECKPOINT

    settings = load_config(config)
    if seed is not None:
        settings = settings.model_copy(update={"seed": seed, "name": f"{settings.name}-seed-{seed}"})
    kind = "priors" if isinstance(settings, PriorConfig) else "baselines"
    folder = out or Path("runs") / kind / settings.name
    words = ["a2a", "train", str(config), "--data", str(data), "--out", str(folder)]
    words += ["--devices", str(devices)] if devices > 1 else []
    words += ["--workers", str(workers)] if workers else []
    words += [] if seed is None else ["--seed", str(seed)]
    again = f"continue with: {shlex.join([*words, '--resume'])}"
    try:
        store = SliceStore.open(data, verify=True)
        learned = objective(settings, store)
        weights = run(learned, folder, resume=resume, devices=devices, stop_after=stop_after, workers=workers)
    except KeyboardInterrupt:
        begun = (folder / CHECKPOINT).is_file()
        _say(f"Interrupted; {again if begun else 'there is no checkpoint yet, start the run again.'}", error=True)
        raise typer.Exit(130) from None
    _say(f"Weights: {weights}" if weights else f"Stopped early; {again}")


def _say(text: str, error: bool = False) -> None:
    """Print once, although with several devices each process comes here."""
    if os.environ.get("LOCAL_RANK", "0") == "0":
        typer.echo(text, err=error)
