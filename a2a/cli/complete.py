"""``a2a complete``: a patient's own files in, maps of all modalities out."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from a2a.cli import given as paths
from a2a.cli.completer import at_quality, check_engine, in_precision, load_completer
from a2a.common.errors import InputError
from a2a.prior.shipped import located

if TYPE_CHECKING:
    from click import HelpFormatter

    from a2a.forward.stack import StackSpec
    from a2a.methods.interface import Method
    from a2a.patient.read import Acquisition

KSPACE, MAPS = "-kspace", "-maps"
ANY_MODALITY = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Typer's settings for this command: files are named after the modalities of the weights, options by their sampler."""


class CompleteCommand(TyperCommand):
    """The command with a help text that ends with the options of each sampler, from their table."""

    def format_epilog(self, ctx: typer.Context, formatter: "HelpFormatter") -> None:
        """List the options of the samplers."""
        from a2a.samplers.table import samplers

        for name, entry in samplers().items():
            with formatter.section(f"Options of --sampler {name}"):
                formatter.write_dl([(f"--{field.replace('_', '-')}", text) for field, text in entry.help().items()])


app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(cls=CompleteCommand, context_settings=ANY_MODALITY)
def complete(
    context: typer.Context,
    given: Annotated[str, typer.Option(help='What is given, such as "T1 + y(FLAIR)"; y(...) is undersampled k-space.')],
    out: Annotated[Path, typer.Option(help="Folder for maps, contact sheet and report.")],
    prior: Annotated[
        str | None, typer.Option(help="A prior: the name of shipped weights, or a .safetensors file with its .json.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(help="Instead of a prior, a compared method: its name, such as mmgan, or its .safetensors file."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="What --method is loaded from, where that is not its shipped weights.")
    ] = None,
    dataset: Annotated[
        str, typer.Option(help="Of weights that learned a collection: from which of its data sets the patient is.")
    ] = "",
    sampler: Annotated[str, typer.Option(help="Sampler of the prior: mds, mps or a relative, see the book.")] = "mds",
    samples: Annotated[
        int | None,
        typer.Option(min=1, help="Completions for mean and deviation; by default 4, or 1 where all are equal."),
    ] = None,
    quality: Annotated[
        str | None,
        typer.Option(help="Of a prior, in one word: fast (MDS, 10 evaluations, 4 samples) or best (16, eta optimal)."),
    ] = None,
    precision: Annotated[
        str, typer.Option(help="In which a prior computes: float32, bf16, or auto: bf16 where it takes half the time.")
    ] = "float32",
    engine: Annotated[
        str,
        typer.Option(
            help="What evaluates a prior: torch, onnx (ONNX Runtime, with --sampler mds), or a file ending in .onnx, "
            "which is written if it is not there."
        ),
    ] = "torch",
    keep_samples: Annotated[bool, typer.Option("--keep-samples", help="Also write all samples, as 4-D NIfTI.")] = False,
    planes: Annotated[
        str | None, typer.Option(metavar="FIRST-LAST", help="Only these planes, counted upwards from 0, to try it out.")
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Slices computed together; by default 16, or 4 above 128 pixels.")
    ] = None,
    checkpointing: Annotated[
        bool, typer.Option("--checkpointing", help="MPS in less memory, at the cost of a third more time.")
    ] = False,
    kspace_axes: Annotated[
        str | None, typer.Option(help="Towards where readout, phase encoding and slices of k-space run, such as PLS.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of sampler and simulated noise.")] = 0,
    acceleration: Annotated[int, typer.Option(help="R of k-space that is simulated from an image.")] = 4,
    acs: Annotated[int, typer.Option(help="Fully sampled central lines of k-space that is simulated.")] = 0,
    noise_std: Annotated[float, typer.Option(help="Noise of k-space that is simulated, in image units.")] = 0.01,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier completion in --out.")] = False,
) -> None:
    """Complete one patient: every modality of the weights, as NIfTI on the grid of the given images.

    Name one file for each given modality: --t1 t1.nii.gz --flair flair.nii.gz, or --flair-kspace y.npz (or .h5 of
    fastMRI or ISMRMRD, with --flair-maps maps.npy where coil maps are known). A measured modality that comes as a NIfTI
    image is undersampled first, to try the method out. Options of the sampler, such as --steps 10, are listed below.
    """
    words = pairs(context.args)
    require_files(words)
    chosen = None if planes is None else parse_planes(planes)
    if (prior is None) == (method is None):
        raise InputError("Give either --prior with the weights of a prior, or --method with a compared method.")
    trained = None if prior is None else located(prior)
    paths.sampler(sampler)
    if method is not None:
        paths.method(method)
    if str(weights).endswith(".safetensors"):
        located(weights)
    paths.place(out)
    check_engine(engine, prior, sampler, precision)
    from a2a.forward.undersampling import Undersampling
    from a2a.methods.datasets import told
    from a2a.patient.read import read_patient
    from a2a.patient.write import complete_patient, output_folder

    output_folder(out, overwrite).check()
    words, options = split_options(words, sampler)
    completes = load_completer(trained, method, weights, sampler, options, batch, checkpointing, engine)
    completes, usual = at_quality(told(completes, dataset), quality)
    files, maps = parse_files(words, completes.spec)
    undersampling = Undersampling(acceleration=acceleration, acs=acs, noise_std=noise_std)
    acquisition = read_patient(given, files, completes, undersampling, seed, maps=maps, axes=kspace_axes)
    if chosen:
        acquisition = acquisition.between(*chosen)
    if not files:
        typer.echo("Nothing is given, so the prior is sampled unconditionally.", err=True)
    elif not acquisition.originals:
        typer.echo("No image is given, so the maps lie on a grid of their own.", err=True)
    count = samples or (1 if completes.deterministic(acquisition.observation) else usual)
    completes = _announced(in_precision(completes, precision, acquisition.observation), acquisition, count)
    complete_patient(
        out, acquisition, completes, samples=count, seed=seed, keep_samples=keep_samples, overwrite=overwrite
    )
    typer.echo(f"Maps, report and pictures are in {out}; look at {out / 'contact_sheet.png'}.")


def _announced(completes: "Method", acquisition: "Acquisition", samples: int) -> "Method":
    """Say what will be computed, by which weights, and how long it will take; return the method.

    Parameters
    ----------
    completes
        What completes.
    acquisition
        Of the patient.
    samples
        Of each slice.
    """
    from a2a.common.progress import format_seconds, remark
    from a2a.methods.interface import Any2all
    from a2a.methods.quality import estimated_seconds
    from a2a.patient.statement import doubts, in_words, statement

    remark(in_words(statement(completes.card, acquisition.geometry)))
    for doubt in doubts(completes.card, acquisition.observation, acquisition.background):
        typer.echo(doubt, err=True)
    if isinstance(completes, Any2all):
        slices = acquisition.observation.shape[0]
        takes = format_seconds(estimated_seconds(completes, acquisition.observation, samples))
        remark(f"{slices} slices, {samples} samples of each: about {takes}")
    return completes


def pairs(words: Sequence[str]) -> list[tuple[str, str]]:
    """Read ``--t1 a.nii.gz --eta=0.85`` as pairs of an option and its value.

    Raises
    ------
    InputError
        If a word is no option, or a value is missing after one.
    """
    found, rest = [], list(words)
    while rest:
        option, equals, value = rest.pop(0).partition("=")
        if not option.startswith("--"):
            raise InputError(f"Unexpected {option!r}; see --help.")
        if not equals:
            if not rest or rest[0].startswith("--"):
                raise InputError(f"{option}: a value is missing after it.")
            value = rest.pop(0)
        found.append((option, value))
    return found


def require_files(words: Sequence[tuple[str, str]]) -> None:
    """Refuse a file that is not there, before anything heavy is imported.

    Raises
    ------
    InputError
        Naming the option and the file.
    """
    for option, value in words:
        if value.endswith((".gz", ".nii", ".npz", ".npy", ".h5", ".mrd")) and not Path(value).exists():
            raise InputError(f"{option} {value}: no such file.")


def split_options(words: Sequence[tuple[str, str]], sampler: str) -> tuple[list[tuple[str, str]], dict[str, Any]]:
    """Take the options of a sampler out of the words.

    Returns
    -------
    tuple
        What is left, and the options with their types.

    Raises
    ------
    InputError
        If there is no such sampler, or a value is of the wrong type or out of its range.
    """
    from a2a.samplers.table import find_sampler, samplers

    entry, left, said = find_sampler(sampler), [], {}
    for option, value in words:
        name = option[2:].replace("-", "_")
        if not any(name in other.model.model_fields for other in samplers().values()):
            left.append((option, value))
        else:
            said[name] = value
    return left, entry.parse(said)


def parse_files(words: Sequence[tuple[str, str]], spec: "StackSpec") -> tuple[dict[str, Path], dict[str, Path]]:
    """Read ``--t1 a.nii.gz --flair-kspace=y.h5 --flair-maps=s.npy``.

    Parameters
    ----------
    words
        Options and their values, see `pairs`.
    spec
        The modalities after which options may be named.

    Returns
    -------
    tuple of dict
        Images and k-space, {"T1": ..., "T2FLAIR": ...}, and coil maps, {"T2FLAIR": ...}.

    Raises
    ------
    InputError
        If an option is of no modality, a file is of the wrong kind, or a modality is named twice.
    """
    from a2a.data.kspace.file import SUFFIXES, is_kspace

    files: dict[str, Path] = {}
    maps: dict[str, Path] = {}
    for option, value in words:
        name = _modality(option, spec)
        wants_kspace, target = option.endswith(KSPACE), maps if option.endswith(MAPS) else files
        if target is files and wants_kspace != is_kspace(value):
            wanted = f"a file ending in {', '.join(SUFFIXES)}"
            wanted = wanted if wants_kspace else f"a NIfTI image; for k-space write {option}{KSPACE}"
            raise InputError(f"{option} {value}: needed is {wanted}.")
        if name in target:
            raise InputError(f"{option} {value}: {name} is named twice, the other file is {target[name]}.")
        target[name] = Path(value)
    return files, maps


def _modality(option: str, spec: "StackSpec") -> str:
    """Return the modality after which an option is named."""
    try:
        return spec.names[spec.index(option[2:].removesuffix(KSPACE).removesuffix(MAPS))]
    except InputError:
        names = ", ".join(spec.names)
        what = f"--NAME image.nii.gz or --NAME{KSPACE} data with NAME one of {names}"
        raise InputError(f"{option}: no such option (see --help); files are given as {what}.") from None


def parse_planes(text: str) -> tuple[int, int]:
    """Read ``10-15``.

    Raises
    ------
    InputError
        If the text is of another form or the first plane lies above the last.
    """
    found = re.fullmatch(r"(\d+)-(\d+)", text.strip())
    first, last = map(int, found.groups()) if found else (1, 0)
    if first > last:
        raise InputError(f"--planes {text}: needed are two numbers upwards, such as 10-15.")
    return first, last
