"""The slice store: what training and evaluation read, whatever the slices came from.

A folder with ``train.npy``, ``val.npy``, ``test.npy`` (``float16 (N, n, H, W)`` in [0, 1], memory-mapped when read),
``index.csv`` (which subject and plane each row is), ``manifest.json`` (how it was made, how to go back, checksums) and
``sheets/`` (a picture per subject). Half precision keeps 11 bits near 1, finer than the noise of any modality. Slices
may come with label maps, ``train-labels.npy`` and so on (``uint8 (N, maps, H, W)``); the manifest explains the values.
"""

import hashlib
import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field

from a2a.common.documents import read_json, validated
from a2a.common.errors import InputError
from a2a.common.escaping import shown
from a2a.common.names import Name
from a2a.data.cards.profiles import SPLITS
from a2a.forward.adjacent import NONE
from a2a.forward.stack import Modality, StackSpec

FORMAT = "a2a slice store 1"
MANIFEST = "manifest.json"
INDEX = "index.csv"
LABELS = "-labels"
PIECE = 256
"""Slices that are checked at a time."""
COLUMNS = ("split", "row", "subject", "plane", "z_mm")


def files_of(label_maps: Sequence) -> list[str]:
    """Names of the files of a store whose checksums the manifest holds."""
    arrays = [*SPLITS, *(s + LABELS for s in SPLITS)] if label_maps else SPLITS
    return [*(f"{name}.npy" for name in arrays), INDEX]


def sha256(path: Path) -> str:
    """Checksum of a file, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def release(images: np.ndarray) -> None:
    """Hand the pages of a memory map back, so that memory does not grow with what was read from it.

    The system keeps them in its own cache while there is room. Arrays that are not memory-mapped are left alone.
    """
    owner = images
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)


@dataclass(frozen=True)
class Split:
    """The slices of one split.

    Parameters
    ----------
    images
        ``float16 (N, n, H, W)`` in [0, 1], memory-mapped.
    subjects
        ``str (N,)``, the subject of each row.
    planes
        ``int (N,)``, the plane's index within the subject's RAS volume (files) or series of planes (phantom).
    z_mm
        ``float (N,)``, world z of each plane in mm.
    labels
        ``uint8 (N, maps, H, W)``, memory-mapped; no maps where the card has none.
    """

    images: np.ndarray
    subjects: np.ndarray
    planes: np.ndarray
    z_mm: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    @property
    def available(self) -> np.ndarray:
        """Which modalities each slice has, ``bool (N, n)``; what is missing is NaN in `images`, at every pixel."""
        return ~np.isnan(self.images[:, :, 0, 0])

    def thinned(self, every: int) -> np.ndarray:
        """Row numbers of every n-th slice of each subject, starting in the middle of the first gap."""
        subjects = list(dict.fromkeys(self.subjects.tolist()))
        return np.concatenate([self.rows(subject)[every // 2 :: every] for subject in subjects])

    @cached_property
    def adjacent(self) -> np.ndarray:
        """Rows of the planes below and above each one of the same subject, ``int (N, 2)``; -1 where there is none."""
        where = {key: row for row, key in enumerate(zip(self.subjects.tolist(), self.planes.tolist(), strict=True))}
        return np.array([[where.get((s, p + side), NONE) for side in (-1, 1)] for s, p in where])

    @property
    def apart_mm(self) -> float:
        """Distance of planes that lie next to each other, the median."""
        above = self.adjacent[:, 1]
        return float(np.median((self.z_mm[above] - self.z_mm)[above != NONE]))

    def rows(self, subject: str) -> np.ndarray:
        """Row numbers of one subject, lowest plane first.

        Raises
        ------
        InputError
            If the subject is not in this split; the message lists those that are.
        """
        found = np.flatnonzero(self.subjects == str(subject))
        if found.size == 0:
            known = ", ".join(dict.fromkeys(self.subjects.tolist())) or "none"
            raise InputError(f"There is no subject {subject!r} in this split; it has {known}.")
        return found


class LabelMap(BaseModel):
    """A label map of a store: its name, and the meaning of its values."""

    name: Name
    values: dict[int, str]


class Manifest(BaseModel):
    """Of the manifest those fields that a program reads; others may stand beside them."""

    spec: tuple[Modality, ...] = Field(min_length=1, max_length=64)
    size: int = Field(ge=1, le=4096)
    sha256: dict[str, str]
    labels: tuple[LabelMap, ...] = ()
    card: Name = ""
    profile: Name = ""
    preprocessing: dict[str, Any] = {}
    subjects: dict[str, dict[str, Any]] = {}
    datasets: dict[Name, list[str]] = {}


@dataclass(frozen=True)
class SliceStore:
    """A slice store on disk, opened for reading.

    Examples
    --------
    >>> store = SliceStore.open("runs/data/open-heads")  # doctest: +SKIP
    >>> store.split("train").images.shape  # doctest: +SKIP
    """

    path: Path
    manifest: dict
    spec: StackSpec
    size: int

    @classmethod
    def open(cls, path: Path | str, verify: bool = False) -> "SliceStore":
        """Open a store; with `verify` also read every array and compare it with its checksum.

        Raises
        ------
        InputError
            If the folder is no slice store, or its files are missing, of the wrong size or (with `verify`) changed.
        """
        path = Path(path)
        manifest = read_manifest(path)
        said = validated(path / MANIFEST, manifest, Manifest)
        store = cls(path, manifest, StackSpec(said.spec), said.size)
        for name in files_of(store.label_maps):
            if not (path / name).is_file():
                raise InputError(f"{path} is an incomplete slice store: {name} is missing; prepare it again.")
            if not (path / name).resolve().is_relative_to(path.resolve()):
                raise InputError(f"{path / name} is a symbolic link out of the store; put the file itself there.")
            if verify and sha256(path / name) != manifest["sha256"].get(name):
                raise InputError(f"{path / name} does not match the checksum in {MANIFEST}; prepare the store again.")
        for name in SPLITS:
            images = store.split(name).images
            if verify:
                _require_image_units(images, path / f"{name}.npy", bool(store.datasets))
        return store

    def split(self, name: str) -> Split:
        """Memory-map one split.

        Raises
        ------
        InputError
            If the name is none of train, val, test, or the array is damaged or of another shape than the manifest says.
        """
        if name not in SPLITS:
            raise InputError(f"There is no split {name!r}; a slice store has {', '.join(SPLITS)}.")
        index = self._index(name)
        images = self._array(name, np.float16, (len(index), len(self.spec), self.size, self.size))
        shape = (len(index), len(self.label_maps), self.size, self.size)
        labels = self._array(name + LABELS, np.uint8, shape) if self.label_maps else np.zeros(shape, np.uint8)
        subjects, planes, z_mm = (index[column].to_numpy() for column in ("subject", "plane", "z_mm"))
        return Split(images, subjects.astype(str), planes, z_mm, labels)

    def said(self, key: str) -> Any:
        """Return what the manifest says of the origin of the slices, such as ``card`` or ``profile``.

        Raises
        ------
        InputError
            If it does not say it.
        """
        if key not in self.manifest:
            raise InputError(f"{self.path / MANIFEST} lacks {key}; prepare the store again.")
        return self.manifest[key]

    @property
    def datasets(self) -> dict[str, list[str]]:
        """Subjects of each data set, by its identifier; empty for a store of one card."""
        return self.manifest.get("datasets", {})

    @property
    def label_maps(self) -> list[dict]:
        """Name, and meaning of each value, of every label map: `a2a.data.cards.parts.LabelCard` as JSON."""
        return self.manifest.get("labels", [])

    def _array(self, name: str, dtype: type, expected: tuple[int, ...]) -> np.ndarray:
        file = self.path / f"{name}.npy"
        try:
            array = np.load(file, mmap_mode="r", allow_pickle=False) if expected[0] else np.zeros(expected, dtype)
        except (ValueError, TypeError, OSError, EOFError, OverflowError, SyntaxError, TokenError) as error:
            raise InputError(f"{file} is damaged ({shown(str(error))}); prepare the store again.") from error
        if array.shape != expected or array.dtype != dtype:
            wanted = np.dtype(dtype).name
            raise InputError(f"{file} is {array.dtype} {array.shape}, not {wanted} {expected}; prepare it again.")
        return array

    def _index(self, split: str) -> pd.DataFrame:
        """Rows of the index that belong to a split."""
        file, types = self.path / INDEX, {"split": str, "subject": str, "plane": int, "z_mm": float}
        try:
            index = pd.read_csv(file, usecols=list(types), dtype=types, keep_default_na=False)
        except (ValueError, LookupError, OverflowError, OSError) as error:
            raise InputError(f"{file} is damaged ({shown(str(error))}); prepare the store again.") from error
        return index[index["split"] == split]


def in_image_units(images: np.ndarray, incomplete: bool) -> bool:
    """Whether all values lie in [0, 1].

    Parameters
    ----------
    images
        ``(N, n, H, W)``.
    incomplete
        Whether images that are missing may be NaN, then at every pixel; something must be there.
    """
    missing = np.isnan(images)
    whole = missing.all(axis=(2, 3))
    if not incomplete or (missing.any(axis=(2, 3)) != whole).any() or whole.all(axis=1).any():
        return not missing.any() and bool(images.min() >= 0 and images.max() <= 1)
    return bool(np.nanmin(images) >= 0 and np.nanmax(images) <= 1)


def _require_image_units(images: np.ndarray, file: Path, incomplete: bool) -> None:
    """Refuse values that are NaN, but for missing images of a collection, or leave [0, 1]; read in pieces."""
    for first in range(0, len(images), PIECE):
        if not in_image_units(images[first : first + PIECE], incomplete):
            raise InputError(f"{file} has values that are NaN or leave [0, 1]; prepare the store again.")
    release(images)


def read_manifest(path: Path) -> dict:
    """Read the manifest of a slice store.

    Raises
    ------
    InputError
        If there is none or it is of another format.
    """
    file = Path(path) / MANIFEST
    if not file.is_file():
        raise InputError(f"{path} is no slice store (no {MANIFEST}); make one with a2a prepare.")
    manifest = read_json(file, dict[str, Any])
    if (found := manifest.get("format")) != FORMAT:
        raise InputError(f"{file} is of format {shown(repr(found), 40)}; this version reads {FORMAT!r}.")
    validated(file, manifest, Manifest)
    return manifest
