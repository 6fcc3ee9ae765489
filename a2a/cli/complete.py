"""``a2a complete``: a patient's own files in, maps of all modalities out."""

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from a2a.common.errors import InputError

if TYPE_CHECKING:
    from a2a.forward.stack import StackSpec
    from a2a.methods.interface import Method

KSPACE, MAPS = "-kspace", "-maps"
ANY_MODALITY = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Typer's settings for this command: its options for files are named after the modalities of the weights."""


def complete(
    context: typer.Context,
    given: Annotated[str, typer.Option(help='What is given, such as "T1 + y(FLAIR)"; y(...) is undersampled k-space.')],
    out: Annotated[Path, typer.Option(help="Folder for maps, contact sheet and report.")],
    prior: Annotated[
        Path | None, typer.Option(help="Weights of a prior: a .safetensors file with its .json beside it.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(help="Instead of a prior, a compared method: its name, such as mmgan, or its .safetensors file."),
    ] = None,
    sampler: Annotated[Literal["mds", "mps"], typer.Option(help="MDS or MPS, see the book.")] = "mps",
    errors: Annotated[
        Literal["independent", "coupled"], typer.Option(help="What MDS takes errors of the modalities for.")
    ] = "independent",
    levels: Annotated[
        Literal["shared", "own"],
        typer.Option(help="own: MDS shows the network clean images without noise, which some weights have learned."),
    ] = "shared",
    steps: Annotated[int | None, typer.Option(min=1, help="Network evaluations; by default MDS 150, MPS 100.")] = None,
    samples: Annotated[
        int | None,
        typer.Option(min=1, help="Completions for mean and deviation; by default 4, or 1 where all are equal."),
    ] = None,
    planes: Annotated[
        str | None, typer.Option(metavar="FIRST-LAST", help="Only these planes, counted upwards from 0, to try it out.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Slices computed together.")] = 16,
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
    image is undersampled first, to try the method out.
    """
    from a2a.forward.undersampling import Sampling
    from a2a.patient.read import read_patient
    from a2a.patient.write import complete_patient, require_free

    require_free(out, overwrite)
    chosen = None if planes is None else parse_planes(planes)
    weights = find_method(prior, method, sampler, errors, levels, steps, batch, checkpointing)
    files, maps = parse_files(context.args, weights.spec)
    sampling = Sampling(acceleration=acceleration, acs=acs, noise_std=noise_std)
    acquisition = read_patient(given, files, weights, sampling, seed, maps=maps, axes=kspace_axes)
    if chosen:
        acquisition = acquisition.between(*chosen)
    if not files:
        typer.echo("Nothing is given, so the prior is sampled unconditionally.", err=True)
    elif not acquisition.originals:
        typer.echo("No image is given, so the maps lie on a grid of their own.", err=True)
    count = samples or (1 if weights.deterministic(acquisition.observation) else 4)
    complete_patient(out, acquisition, weights, samples=count, seed=seed, overwrite=overwrite)
    typer.echo(f"Maps, report and pictures are in {out}; look at {out / 'contact_sheet.png'}.")


def find_method(
    prior: Path | None,
    method: str | None,
    sampler: Literal["mds", "mps"] = "mps",
    errors: Literal["independent", "coupled"] = "independent",
    levels: Literal["shared", "own"] = "shared",
    steps: int | None = None,
    batch: int = 16,
    checkpointing: bool = False,
) -> "Method":
    """Load what the options name, onto a GPU where there is one.

    Raises
    ------
    InputError
        If neither or both of --prior and --method are given, or the weights cannot be used.
    """
    import torch

    from a2a.methods.baselines import load_baseline
    from a2a.methods.interface import Any2all
    from a2a.prior.prior import Prior

    if (prior is None) == (method is None):
        raise InputError("Give either --prior with the weights of a prior, or --method with a compared method.")
    for option, unusual in (("--errors coupled", errors == "coupled"), ("--levels own", levels == "own")):
        if unusual and (method is not None or sampler != "mds"):
            raise InputError(f"{option} is for --prior with --sampler mds.")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if method is None:
        weights = Prior.load(prior)
        weights.network.to(device)
        weights.network.checkpointing = checkpointing
        return Any2all(weights, sampler, steps, batch, errors, levels)
    if steps is not None or checkpointing:
        raise InputError(f"--steps and --checkpointing are for --prior, not for {method}.")
    weights = load_baseline(method)
    weights.network.to(device)
    return replace(weights, batch=batch)


def parse_files(words: list[str], spec: "StackSpec") -> tuple[dict[str, Path], dict[str, Path]]:
    """Read ``--t1 a.nii.gz --flair-kspace=y.h5 --flair-maps=s.npy``.

    Parameters
    ----------
    words
        What is left of the command line.
    spec
        The modalities after which options may be named.

    Returns
    -------
    tuple of dict
        Images and k-space, {"T1": ..., "T2FLAIR": ...}, and coil maps, {"T2FLAIR": ...}.

    Raises
    ------
    InputError
        If a word is no such option, a file is missing after it or of the wrong kind, or a modality is named twice.
    """
    from a2a.data.kspace.file import SUFFIXES, is_kspace

    files: dict[str, Path] = {}
    maps: dict[str, Path] = {}
    rest = list(words)
    while rest:
        option, equals, value = rest.pop(0).partition("=")
        name = _modality(option, spec)
        if not equals:
            if not rest or rest[0].startswith("--"):
                raise InputError(f"{option}: a file is missing after it.")
            value = rest.pop(0)
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
        if not option.startswith("--"):
            raise InputError(f"Unexpected {option!r}.")
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
