"""Complete a patient: from acquired files to NIfTI maps of all modalities, pictures and a report.

Explained in the chapter "Your own NIfTI files".
"""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from a2a.common.documents import stated_format
from a2a.common.files import write_json
from a2a.common.outputs import OutputFolder
from a2a.common.provenance import machine
from a2a.common.rng import spawn
from a2a.data.kspace.npz import write_kspace
from a2a.data.prepare.contact_sheets import sheet_png
from a2a.data.volumes.nifti import Volume, from_ras, write_volume
from a2a.data.volumes.normalisation import Normalisation
from a2a.figures.stacks import completion_sheet
from a2a.figures.static import contact_sheet
from a2a.figures.views import views_png
from a2a.forward.completion import Completion
from a2a.forward.stack import Modality
from a2a.methods.datasets import dataset_of
from a2a.methods.interface import Any2all, Method
from a2a.patient.read import Acquisition
from a2a.patient.statement import doubts, simulated, statement
from a2a.prior.engine import OnnxPrior
from a2a.prior.prior import Prior

FORMAT = "a2a completion 1"
REPORT = "report.json"


def complete_patient(
    out: Path,
    acquisition: Acquisition,
    method: Method,
    *,
    samples: int = 4,
    seed: int = 0,
    keep_samples: bool = False,
    overwrite: bool = False,
) -> Completion:
    """Complete every slice and write the results, all of them or nothing.

    For each modality that the method gives ``NAME.nii.gz`` (mean over the samples) and ``NAME_std.nii.gz`` (standard
    deviation), on the grid and with the affine of the given images. A clean modality is the given image itself, with
    zero deviation; the others are NaN where nothing was computed, outside the slices, but 0 in image units where the
    given images are skull-stripped. Maps are in physical units where the range is known, else in image units [0, 1];
    ``report.json`` says which, and what was computed how. ``contact_sheet.png`` shows the middle slice,
    ``overview.png`` twelve, ``views.png`` three planes through the middle, and ``kspace/NAME.npz`` is k-space that was
    simulated, in the form in which it can be given again.

    Parameters
    ----------
    out
        Folder; made if needed.
    acquisition
        From `a2a.patient.read.read_patient`.
    method
        Any2all or a compared method, made for the same weights as `acquisition`.
    samples
        Completions of each slice.
    seed
        Of the samples.
    keep_samples
        Also write ``NAME_samples.nii.gz``, all samples of each modality that was not given, with these as fourth axis.
    overwrite
        Replace an earlier completion at `out`.

    Raises
    ------
    InputError
        If `out` cannot be used (see `a2a.common.outputs.OutputFolder`), or the method cannot use the observation.
    Failure
        If another process writes `out`, or there is no room for the maps.
    """
    observation = acquisition.observation
    with output_folder(out, overwrite).make(_room(acquisition, samples * keep_samples)) as folder:
        generators = spawn(seed, observation.shape[0], samples)
        done = method.complete(observation, samples, generators)
        units = _write_maps(folder, acquisition, done, keep_samples, simulated(method.card))
        for name, file in acquisition.simulated.items():
            write_kspace(folder / "kspace" / f"{name}.npz", file)
        _write_pictures(folder, acquisition, done)
        how = {"method": method.name, "weights": method.card.get("config", {}).get("name", "unnamed")}
        sampling = {"evaluations": done.evaluations, "samples": samples, "seed": seed} | _options(method)
        cost = {"seconds": round(done.seconds, 1), "machine": machine()}
        said = statement(method.card, acquisition.geometry) | {
            "doubts": doubts(method.card, acquisition.observation, acquisition.background)
        }
        write_json(folder / REPORT, _report(acquisition, units) | said | how | sampling | cost)
    return done


def _options(method: Method) -> dict:
    """How a prior was sampled, and which data set was told, as JSON values; nothing of most other methods."""
    told = {"dataset": dataset} if (dataset := dataset_of(method)) else {}
    if not isinstance(method, Any2all):
        return told
    engine = "onnx" if isinstance(method.prior, OnnxPrior) else "torch"
    half = isinstance(method.prior, Prior) and method.prior.bf16
    return told | {"options": dict(method.options), "precision": "bf16" if half else "float32", "engine": engine}


def output_folder(out: Path, overwrite: bool) -> OutputFolder:
    """Return the place of a completion, to be checked before any work."""
    return OutputFolder(Path(out), "completion", _is_completion, overwrite)


def _room(acquisition: Acquisition, samples: int) -> int:
    """Bytes of the maps before they are packed, which shrinks them: mean, deviation and samples of each modality."""
    return (2 + samples) * 4 * len(acquisition.observation.spec) * math.prod(acquisition.geometry.shape)


def _is_completion(folder: Path) -> bool:
    return stated_format(folder / REPORT).startswith("a2a completion")


def _scale(acquisition: Acquisition, modality: Modality) -> tuple[Normalisation, str]:
    """Range of a modality's maps, and its unit in words."""
    scale = acquisition.scales.get(modality.name)
    if scale is None and modality.window is not None:
        scale = Normalisation(*modality.window)
    return (scale, modality.unit) if scale else (Normalisation(0.0, 1.0), "image units, 0 to 1")


def _write_maps(
    folder: Path, acquisition: Acquisition, done: Completion, keep_samples: bool, of_simulated: bool
) -> dict[str, str]:
    """Write mean and deviation of each modality on the grid of the given images; return the units.

    What weights of simulated heads say in HU or SUVR is not of this patient, and the unit says so.
    """
    units, modalities, computed = {}, tuple(done.spec), _computed(acquisition)
    for i in done.channels:
        modality, kind = modalities[i], acquisition.observation.kinds[i]
        scale, unit = _scale(acquisition, modality)
        learnt = of_simulated and modality.window is not None and kind == "missing" and acquisition.originals
        units[modality.name] = f"{unit} of simulated heads, not of a patient" if learnt else unit
        if kind == "clean":
            volume = acquisition.originals[modality.name]
            maps = {"": volume, "_std": Volume(np.zeros_like(volume.data), volume.affine, code=volume.code)}
        else:
            several = done.samples[:, :, i] if keep_samples else done.samples[:0, :, i]
            drawn = [_map(acquisition, computed, one.numpy(), scale.inverse) for one in several]
            spread = (scale.high - scale.low) * done.std[:, i].numpy()
            maps = {
                "": _map(acquisition, computed, done.mean[:, i].numpy(), scale.inverse),
                "_std": _map(acquisition, computed, spread, lambda x: x),
            }
            if drawn:
                stacked = np.stack([volume.data for volume in drawn], axis=-1)
                maps["_samples"] = Volume(stacked, drawn[0].affine, code=drawn[0].code)
        for suffix, volume in maps.items():
            path = folder / f"{modality.name}{suffix}.nii.gz"
            write_volume(path, volume.data, volume.affine, volume.code, volume.stored)
    return units


def _computed(acquisition: Acquisition) -> np.ndarray:
    """Where slices say something of the RAS volume, ``bool (X, Y, Z)``."""
    geometry = acquisition.geometry
    return geometry.to_volume(np.ones((len(geometry.planes), geometry.size, geometry.size), np.float32)) > 0.5


def _map(
    acquisition: Acquisition, computed: np.ndarray, slices: np.ndarray, physical: Callable[[np.ndarray], np.ndarray]
) -> Volume:
    """Bring slices to the grid of the first given image; NaN where nothing was computed and nothing is known."""
    data = acquisition.geometry.to_volume(slices)
    known = computed if acquisition.background is None else computed | acquisition.background
    return _placed(np.where(known, physical(data), np.nan).astype(np.float32), acquisition)


def _placed(data: np.ndarray, acquisition: Acquisition) -> Volume:
    """Bring RAS data to the orientation of the first given image."""
    for original in acquisition.originals.values():
        return from_ras(data, original)
    return Volume(data, np.array(acquisition.geometry.affine))


def _write_pictures(folder: Path, acquisition: Acquisition, done: Completion) -> None:
    """Write the middle slice in detail, an overview of the mean, and three planes of a single sample."""
    observation, geometry, given = acquisition.observation, acquisition.geometry, list(done.channels)
    k, title, spec = observation.shape[0] // 2, str(observation.scenario), done.spec.only(given)
    kinds = [observation.kinds[i] for i in given]
    sheet = completion_sheet(observation.adjoint[k, given], kinds, done.samples[:, k, given], spec)
    contact_sheet(folder / "contact_sheet.png", sheet, title=f"{title}, z = {geometry.z_mm[k]:.0f} mm")
    label = f"{title}: mean of {len(done.samples)} samples"
    (folder / "overview.png").write_bytes(sheet_png(label, spec, list(geometry.z_mm), done.mean[:, given].numpy()))
    volumes = {spec.names[j]: geometry.to_volume(done.samples[0, :, i].numpy()) for j, i in enumerate(given)}
    spacing = np.linalg.norm(np.array(geometry.affine)[:3, :3], axis=0)
    (folder / "views.png").write_bytes(views_png(f"{title}: one sample", volumes, tuple(spacing), geometry.planes))


def _report(acquisition: Acquisition, units: dict[str, str]) -> dict:
    """What was given and where the results lie, as JSON values."""
    observation, geometry = acquisition.observation, acquisition.geometry
    maps = {
        name: {"given": kind, "unit": units[name], "file": str(acquisition.files.get(name, "")) or None}
        for name, kind in zip(observation.spec.names, observation.kinds, strict=True)
        if name in units
    }
    grid = "of its own: position and distance mean nothing"
    if acquisition.located:
        grid = "of the given images" if acquisition.originals else "of the scan of k-space"
    return {
        "format": FORMAT,
        "scenario": str(observation.scenario),
        "maps": maps,
        "grid": grid,
        "planes": list(geometry.planes),
        "z_mm": [round(z, 3) for z in geometry.z_mm],
    }
