"""``a2a phantom``: synthetic subjects as NIfTI files."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from a2a.cli import given
from a2a.common.errors import InputError

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def phantom(
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    preset: Annotated[
        Literal["any2all", "brats", "adni", "isles", "ttg", "tti"],
        typer.Option(help="Modalities and lesions, see the book."),
    ] = "any2all",
    subject: Annotated[str, typer.Option(metavar="N or N..M", help="Number of the subject, or several.")] = "0",
    size: Annotated[int, typer.Option(help="Pixels per side over 224 mm: 64, 128, 192 or 256.")] = 128,
    dz: Annotated[float, typer.Option(help="Distance of the planes in mm.")] = 2.0,
    seed: Annotated[int, typer.Option(help="Seed of the data set; data cards use 0.")] = 0,
    lesions: Annotated[bool, typer.Option(help="Put lesions in.")] = True,
    pet: Annotated[Literal["late", "early"], typer.Option(help="Amyloid-like or perfusion-like PET.")] = "late",
    misregistered: Annotated[bool, typer.Option("--misregistered", help="Leave a residual misregistration.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace volumes in --out.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one per core by default.")] = None,
) -> None:
    """Write synthetic subjects as NIfTI: modalities, tissue, lesions, brain mask, and the truth beside them."""
    subjects, out = parse_subjects(subject), given.place(out)
    from a2a.data.phantom import PhantomConfig
    from a2a.data.phantom.volumes import write_volumes

    settings = {"preset": preset, "size": size, "dz": dz, "dataset_seed": seed, "lesions": lesions}
    config = PhantomConfig(**settings, pet_phase=pet, misregistration=misregistered)
    folders = write_volumes(config, subjects, out, overwrite, workers or os.cpu_count() or 1)
    files = ", ".join(config.names)
    typer.echo(f"{out}: {len(folders)} subjects of preset {preset} with {files}, tissue, lesion and brain.")


def parse_subjects(text: str) -> range:
    """Return the numbers that ``3`` or ``0..11`` names.

    Raises
    ------
    InputError
        If it is neither.
    """
    first, dots, last = text.partition("..")
    last = last if dots else first
    if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
        raise InputError(f"--subject must be a number such as 3 or a range such as 0..11, not {text!r}.")
    return range(int(first), int(last) + 1)
