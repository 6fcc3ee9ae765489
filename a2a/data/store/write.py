"""Writing a slice store: all of it or nothing. See `a2a.data.store.read` for what is in it."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from a2a.common.documents import stated_format
from a2a.common.errors import InputError
from a2a.common.files import temporary, write_json
from a2a.common.outputs import OutputFolder, remove
from a2a.data.cards.profiles import SPLITS
from a2a.data.store.read import COLUMNS, FORMAT, INDEX, LABELS, MANIFEST, files_of, in_image_units, sha256
from a2a.forward.stack import StackSpec


class StoreWriter:
    """Writes a store in a temporary folder beside its place and renames it when it is complete.

    Used as a context: leaving it by an exception removes the temporary folder and touches nothing else.
    Rows are appended to the arrays on disk, so memory does not grow with the set.

    Parameters
    ----------
    path
        Where the store will be.
    spec
        Modalities of the stack.
    size
        Pixels along each side.
    overwrite
        Replace a slice store that is there.
    label_maps
        Those that come with every slice, each with its name and the meaning of its values (JSON).
    incomplete
        Whether subjects may lack modalities, as in a collection: what is missing is NaN at every pixel.

    Raises
    ------
    InputError
        If the place cannot be used, see `a2a.common.outputs.OutputFolder`.
    """

    def __init__(
        self,
        path: Path | str,
        spec: StackSpec,
        size: int,
        overwrite: bool = False,
        label_maps: Sequence[dict] = (),
        incomplete: bool = False,
    ) -> None:
        self.path, self.incomplete = Path(path), incomplete
        self.spec, self.size, self.label_maps = spec, size, label_maps
        self._kinds = {"": ("<f2", (len(spec), size, size))}
        if label_maps:
            self._kinds[LABELS] = ("|u1", (len(label_maps), size, size))
        self._rows: list[tuple] = []
        self._counts = dict.fromkeys(SPLITS, 0)
        self._files: dict = {}
        self._place = output_folder(self.path, overwrite)
        self._real = self._place.check()
        self.folder = temporary(self._real)

    def __enter__(self) -> "StoreWriter":
        (self.folder / "sheets").mkdir(parents=True)
        names = [(split, kind) for split in SPLITS for kind in self._kinds]
        self._files = {(s, kind): open(self.folder / f"{s}{kind}.npy", "w+b") for s, kind in names}
        for split, kind in names:
            self._header(split, kind)
        return self

    def _header(self, split: str, kind: str) -> None:
        """Write the header for the rows so far; NumPy leaves room in it for the number to grow in place."""
        file, (dtype, shape) = self._files[split, kind], self._kinds[kind]
        file.seek(0)
        header = {"descr": dtype, "fortran_order": False, "shape": (self._counts[split], *shape)}
        np.lib.format.write_array_header_1_0(file, header)

    def add(
        self,
        split: str,
        subject: str,
        planes: list[int],
        z_mm: list[float],
        images: np.ndarray,
        labels: np.ndarray | None = None,
    ) -> None:
        """Append the slices ``(N, n, H, W)`` in [0, 1] of one subject, and its labels ``uint8 (N, maps, H, W)``.

        Parameters
        ----------
        split
            ``"train"``, ``"val"`` or ``"test"``.
        subject
            Its name.
        planes, z_mm
            Number and height, mm, of each slice.
        images
            ``(N, n, H, W)`` in [0, 1].
        labels
            ``uint8 (N, maps, H, W)``; None where the store has no label maps.

        Raises
        ------
        InputError
            If their shape does not fit the store, values leave [0, 1], a slice has no modality at all, or labels are
            missing or too many.
        """
        arrays = {"": images} | ({} if labels is None else {LABELS: labels})
        wanted = {kind: (len(planes), *shape) for kind, (_, shape) in self._kinds.items()}
        found = {kind: array.shape for kind, array in arrays.items()}
        if found != wanted:
            shapes, expected = (", ".join(map(str, s.values())) for s in (found, wanted))
            raise InputError(f"Slices (and labels) of {subject} have shape {shapes}; the store needs {expected}.")
        if self.incomplete and np.isnan(images).all(axis=(1, 2, 3)).any():
            raise InputError(f"{subject} has slices without any modality; leave them out.")
        if not in_image_units(images, self.incomplete):
            raise InputError(f"Slices of {subject} leave [0, 1].")
        for kind, array in arrays.items():
            self._files[split, kind].write(np.ascontiguousarray(array, dtype=self._kinds[kind][0]).tobytes())
        start = self._counts[split]
        rows = enumerate(zip(planes, z_mm, strict=True), start)
        self._rows += [(split, row, subject, plane, f"{z:.4f}") for row, (plane, z) in rows]
        self._counts[split] += len(planes)

    def finish(self, manifest: dict) -> None:
        """Write index and manifest (checksums, spec and size are added) and move the store into place."""
        for (split, kind), file in self._files.items():
            self._header(split, kind)
            file.close()
        with open(self.folder / INDEX, "w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([COLUMNS, *self._rows])
        own = {"format": FORMAT, "spec": self.spec.to_list(), "size": self.size, "rows": self._counts}
        if self.label_maps:
            own["labels"] = list(self.label_maps)
        own["sha256"] = {name: sha256(self.folder / name) for name in files_of(self.label_maps)}
        write_json(self.folder / MANIFEST, manifest | own)
        self._place.settle(self.folder, self._real)

    def __exit__(self, *error: object) -> None:
        for file in self._files.values():
            file.close()
        remove(self.folder)


def output_folder(path: Path, overwrite: bool) -> OutputFolder:
    """Return the place of a slice store, to be checked before any work."""
    return OutputFolder(path, "slice store", is_store, overwrite)


def is_store(path: Path) -> bool:
    """Whether the folder was written by this module, in this or an earlier format."""
    return stated_format(path / MANIFEST).startswith("a2a slice store")
