"""A patient's own files, brought to the grid of a prior.

Explained in the chapter "Your own NIfTI files".
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from a2a.common.errors import InputError
from a2a.common.rng import spawn
from a2a.data.kspace.check import require_same_head
from a2a.data.kspace.file import is_kspace, read_kspace
from a2a.data.kspace.frame import Grid
from a2a.data.kspace.npz import KSpaceFile
from a2a.data.volumes.foreground import find_head, known_background
from a2a.data.volumes.nifti import Volume, read_volume, require_same_grid, require_upright, to_ras
from a2a.data.volumes.normalisation import Normalisation, require_plausible, statistic
from a2a.data.volumes.slices import SliceGeometry
from a2a.forward.adjacent import Adjacent
from a2a.forward.measured import AnyKSpace, KSpace
from a2a.forward.observation import Observation
from a2a.forward.scenario import Scenario
from a2a.forward.stack import Modality, StackSpec
from a2a.forward.undersampling import Undersampling
from a2a.methods.interface import Weights
from a2a.patient.statement import resolution

UNCONDITIONAL_SLICES = 8
SAME_DISTANCE = 0.25  # relative difference of the distances of planes at which those above and below are alike
STRIPPED = ("nonzero", "file")
"""Foregrounds of cards whose training images show the brain alone."""


@dataclass(frozen=True, eq=False)
class Acquisition:
    """What was acquired of one patient, on the prior's grid, and the way back.

    Parameters
    ----------
    observation
        The data of N slices of H x W.
    geometry
        Where the slices lie in the volume.
    scales
        Physical values of the image units 0 and 1, for each given modality where they are known.
    originals
        The given images as they were read, in stack order; empty if none was given: then the slices lie where the
        first k-space lies, or, where nothing states a position, on a grid of their own.
    simulated
        k-space that was simulated from images, of all planes of the volume.
    files
        Where each given modality came from.
    located
        Whether the slices lie where the patient lay: as images or the header of a scan say.
    background
        Where all given images are exactly 0, as skull stripping leaves them, ``bool (X, Y, Z)`` on the RAS grid: there
        the completion is 0, as the observation says. None for weights of whole heads.
    """

    observation: Observation
    geometry: SliceGeometry
    scales: Mapping[str, Normalisation]
    originals: Mapping[str, Volume]
    simulated: Mapping[str, KSpaceFile]
    files: Mapping[str, Path]
    located: bool = True
    background: np.ndarray | None = None

    def between(self, first: int, last: int) -> "Acquisition":
        """Keep only the planes `first` to `last` (counted upwards from 0, both included), for a quick trial.

        Raises
        ------
        InputError
            If no plane of the acquisition is among them.
        """
        kept = [i for i, plane in enumerate(self.geometry.planes) if first <= plane <= last]
        if not kept:
            low, high = self.geometry.planes[0], self.geometry.planes[-1]
            raise InputError(f"There are no planes {first}-{last} to complete; there are {low}-{high}.")
        part = slice(kept[0], kept[-1] + 1)
        geometry = replace(self.geometry, planes=self.geometry.planes[part])
        return replace(self, observation=self.observation[part], geometry=geometry)


def read_patient(
    given: str,
    files: Mapping[str, Path | str],
    weights: Weights,
    undersampling: Undersampling | None = None,
    seed: int = 0,
    *,
    maps: Mapping[str, Path | str] | None = None,
    axes: str | None = None,
) -> Acquisition:
    """Read what a person has of one patient.

    Images are oriented, scaled and cut to slices as the training data of the prior were, by the ``preprocessing`` of
    its model card. The planes and the window are fitted to the clean images, or, if there is none, to those from which
    k-space is simulated.

    Parameters
    ----------
    given
        The scenario, such as ``"T1 + y(FLAIR)"``; ``"nothing"`` asks for samples of the prior.
    files
        One file for each given modality, by name or alias. A measured modality comes as k-space (``.npz``, or HDF5 of
        fastMRI or ISMRMRD, see `a2a.data.kspace.file`), or as a NIfTI image from which the acquisition is simulated.
    weights
        Of a prior or of another method: its modalities, grid and preprocessing decide.
    undersampling
        How k-space is simulated from images.
    seed
        Of the simulated noise.
    maps
        Files of coil maps for k-space of a scanner, by modality (`a2a.data.kspace.coil_maps`); estimated where none is
        named.
    axes
        Towards where readout, phase encoding and slices of k-space run, such as ``"PLS"``, where its file does not say.

    Raises
    ------
    InputError
        If files and scenario do not match, a file cannot be used, the images lie on different grids, or the weights
        do not say how their training data were prepared.
    """
    scenario, how = Scenario.parse(given, weights.spec), _preprocessing(weights)
    named, size = _match(scenario, files, weights.spec), weights.size
    originals = {name: read_volume(path) for name, path in named.items() if not is_kspace(path)}
    geometry, scales, slices = _cut(originals, scenario, weights, how) if originals else (None, {}, {})
    coil_maps = _maps(maps or {}, {name: path for name, path in named.items() if name not in originals}, weights.spec)
    brought: dict[str, KSpaceFile] = {}
    located = bool(originals)
    for name, path in coil_maps.items():
        brought[name] = read_kspace(named[name], name, _grid(geometry, located, size, how, name), path, axes)
        if geometry is None:
            count, affine = len(brought[name].kspace.data), brought[name].affine
            geometry, located = _own_grid(size, how["field_of_view_mm"], count, affine), affine is not None
    geometry = geometry or _own_grid(size, how["field_of_view_mm"], UNCONDITIONAL_SLICES)
    simulated = {
        name: KSpaceFile(
            simulate_kspace(slices.pop(name), undersampling or Undersampling(), seed),
            scales[name],
            geometry.pixel_affine,
            geometry.planes,
        )
        for name in _names(scenario, "measured")
        if name in originals
    }
    scales |= {name: file.scale for name, file in brought.items() if file.scale}
    for name, file in brought.items():
        _require_same_head(named[name], file.kspace, slices, how["field_of_view_mm"] / size, name)
    kspace = {name: file.kspace for name, file in (brought | simulated).items()}
    observation = Observation.build(weights.spec, slices, kspace, (len(geometry.planes), size, size))
    if located:
        observation = replace(observation, adjacent=_adjacent(observation, geometry, weights.card))
    background = _background(originals, how)
    if background is not None:
        observation = replace(observation, support=_support(observation, geometry, background, list(brought)))
    return Acquisition(observation, geometry, scales, originals, simulated, named, located, background)


def _background(originals: Mapping[str, Volume], how: Mapping) -> np.ndarray | None:
    """What skull stripping left out of the given images, where weights were trained on stripped ones; else None."""
    if not originals or how.get("foreground") not in STRIPPED:
        return None
    return known_background([to_ras(volume) for volume in originals.values()])


def _adjacent(observation: Observation, geometry: SliceGeometry, card: Mapping) -> Adjacent | None:
    """What lies below and above each slice, where weights look there and planes lie as far apart as theirs did."""
    planes, trained = geometry.planes, card.get("adjacent_mm")
    apart = resolution(geometry)[2]
    if trained is None or abs(apart / trained - 1) > SAME_DISTANCE or planes[-1] - planes[0] != len(planes) - 1:
        return None
    clean = torch.tensor([kind == "clean" for kind in observation.kinds])[:, None, None]
    return Adjacent.of_volume(torch.where(clean, observation.adjoint, torch.nan))


def _support(
    observation: Observation, geometry: SliceGeometry, background: np.ndarray, scanned: list[str]
) -> torch.Tensor:
    """Where each modality may be other than 0, `(N, n, H, W)`: a clean one is known, a scanner has seen the skull."""
    inside = torch.from_numpy(geometry.to_slices((~background).astype(np.float32)) > 0)[:, None]
    known = zip(observation.spec.names, observation.kinds, strict=True)
    free = torch.tensor([kind == "clean" or name in scanned for name, kind in known])
    return inside | free[:, None, None]


def simulate_kspace(image: torch.Tensor, undersampling: Undersampling, seed: int = 0) -> KSpace:
    """Undersample an image `(N, H, W)` in [0, 1] as `undersampling` says, with noise from `seed`.

    Parameters
    ----------
    image
        ``(N, H, W)`` in [0, 1].
    undersampling
        How k-space is acquired.
    seed
        Of the noise.
    """
    alone = StackSpec.of("image")
    observed = Observation.simulate(image[:, None], "y(image)", alone, undersampling, spawn(seed, len(image)))
    block = observed.operator.blocks[0]
    return KSpace(observed.data[0], block.mask, block.maps, undersampling.noise_std)


def _cut(
    originals: Mapping[str, Volume], scenario: Scenario, weights: Weights, how: Mapping
) -> tuple[SliceGeometry, dict[str, Normalisation], dict[str, torch.Tensor]]:
    """Orient, scale and slice images on one grid: where the slices lie, their scales, and slices `(N, H, W)`."""
    volumes = {name: to_ras(volume) for name, volume in originals.items()}
    require_same_grid(volumes.values())
    require_upright(next(iter(volumes.values())))
    clean = [volume for name, volume in volumes.items() if name in _names(scenario, "clean")]
    seen = clean or list(volumes.values())
    head = find_head(seen[0]) if how.get("foreground") == "head" else None
    geometry = SliceGeometry.fit(seen, weights.size, how["field_of_view_mm"], how["brain_fraction"], head)
    scales = {name: _scale(weights.spec[name], v.data, how, head) for name, v in volumes.items()}
    for name, volume in volumes.items():
        require_plausible(volume, weights.spec[name], scales[name])
    slices = {name: torch.from_numpy(geometry.to_slices(scales[name].forward(v.data))) for name, v in volumes.items()}
    return geometry, scales, slices


def _scale(modality: Modality, data: np.ndarray, how: Mapping, head: np.ndarray | None) -> Normalisation:
    """Scale an image as the training data were: by a percentile of all of it, or by the median of the head."""
    median = modality.name in (how.get("medians") or {})
    seen = data[head] if median and head is not None else data
    return Normalisation.fit(modality, seen, *statistic(how, modality.name))


def _require_same_head(
    path: Path, kspace: AnyKSpace, slices: Mapping[str, torch.Tensor], pixel_mm: float, name: str
) -> None:
    """Refuse k-space that shows another place or direction than the clean images."""
    try:
        require_same_head(kspace, [image.numpy() for image in slices.values()], pixel_mm, name)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _names(scenario: Scenario, kind: str) -> list[str]:
    return [name for name, found in zip(scenario.names, scenario.kinds, strict=True) if found == kind]


def _match(scenario: Scenario, files: Mapping[str, Path | str], spec: StackSpec) -> dict[str, Path]:
    """Canonical name to file, in stack order, exactly for the modalities that the scenario gives."""
    named: dict[str, Path] = {}
    for key, path in files.items():
        name = spec.names[spec.index(key)]
        if name in named:
            raise InputError(f"Two files were named for {name}: {named[name]} and {path}.")
        named[name] = Path(path)
    kinds = {name: kind for name, kind in zip(spec.names, scenario.kinds, strict=True) if kind != "missing"}
    if lacking := [name for name in kinds if name not in named]:
        raise InputError(f"The scenario {scenario!s} gives {', '.join(lacking)}, but no file was named for it.")
    if surplus := [name for name in named if name not in kinds]:
        raise InputError(f"A file was named for {', '.join(surplus)}, but the scenario {scenario!s} does not give it.")
    for name, path in named.items():
        if is_kspace(path) and kinds[name] == "clean":
            raise InputError(f"{path}: the scenario gives {name} as a clean image; write y({name}) for k-space.")
    return {name: named[name] for name in kinds}


def _maps(maps: Mapping[str, Path | str], kspace: Mapping[str, Path], spec: StackSpec) -> dict[str, Path | None]:
    """File of coil maps for each modality that comes as k-space, None where none was named."""
    found = {spec.names[spec.index(key)]: Path(path) for key, path in maps.items()}
    if surplus := [name for name in found if name not in kspace]:
        raise InputError(f"Coil maps were named for {', '.join(surplus)}, which does not come as k-space.")
    return {name: found.get(name) for name in kspace}


def _preprocessing(weights: Weights) -> Mapping:
    how = getattr(weights, "card", {}).get("data", {}).get("preprocessing", {})
    if lacking := {"field_of_view_mm", "brain_fraction", "percentile"} - set(how):
        raise InputError(
            f"The model card of these weights does not say {', '.join(sorted(lacking))} under data.preprocessing, so "
            "files cannot be prepared alike; train on a store made by `a2a prepare`."
        )
    return how


def _grid(geometry: SliceGeometry | None, located: bool, size: int, how: Mapping, name: str) -> Grid:
    """Where k-space of a modality is needed, on slices that lie somewhere, or anywhere, and how it is scaled."""
    percentile, becomes = statistic(how, name)
    if geometry is None or not located:
        count = None if geometry is None else len(geometry.planes)
        return Grid(count, size, how["field_of_view_mm"], percentile, becomes=becomes)
    place = geometry.pixel_affine, geometry.planes, geometry.middle_mm
    return Grid(len(geometry.planes), size, how["field_of_view_mm"], percentile, *place, becomes=becomes)


def _own_grid(size: int, field_of_view_mm: float, slices: int, pixels: np.ndarray | None = None) -> SliceGeometry:
    """Stack slices on a grid of their own: where k-space lies, if it says so (`pixels`), else anywhere."""
    pixel = field_of_view_mm / size
    if pixels is None:
        affine = np.diag([pixel, pixel, pixel, 1.0])
    else:
        flipped = np.array([[0, -1.0, 0, size - 1], [-1.0, 0, 0, size - 1], [0, 0, 1, 0], [0, 0, 0, 1]])
        affine = pixels @ flipped  # the inverse of itself: from (x, y, plane) to (row, column, plane)
    rows = tuple(tuple(map(float, row)) for row in affine)
    whole = (float(size), float(size))
    return SliceGeometry((size, size, slices), rows, tuple(range(slices)), (0.0, 0.0), whole, size)
