"""Subjects that are folders of NIfTI files: find them by the card's patterns, read, orient, scale, slice."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from a2a.data.cards import DataCard, Layout
from a2a.data.nifti import Volume, read_volume, require_same_grid, to_ras
from a2a.data.normalisation import Normalisation
from a2a.data.prepared import PreparedSubject
from a2a.data.sheets import sheet_png
from a2a.data.slices import SliceGeometry
from a2a.data.store import sha256
from a2a.errors import InputError


@dataclass(frozen=True)
class NiftiSubjects:
    """Subjects of a card found below a root folder.

    Parameters
    ----------
    card
        The data card; its source must be of kind ``files``.
    root
        The folder that the user gave.
    folder
        Where below `root` the subjects' folders lie.
    layout
        How they are arranged.
    size
        Pixels of the training grid.
    """

    card: DataCard
    root: Path
    folder: Path
    layout: Layout
    size: int

    @classmethod
    def find(cls, card: DataCard, root: Path | str | None, size: int) -> "NiftiSubjects":
        """Find which of the card's layouts is below `root`.

        Raises
        ------
        InputError
            If `root` is not given or no folder, no layout of the card is there, or more than one is.
        """
        if root is None:
            raise InputError(f"Card {card.name} is made of files; give their folder with --root.")
        root = Path(root)
        if not root.is_dir():
            raise InputError(f"{root} is no folder; --root must be the folder that holds the files of {card.name}.")
        found = [(root / f, la) for la in card.source.layouts for f in la.folders if _any_file(root / f, la)]
        if not found:
            tried = "; ".join(f"{la.subject}/{next(iter(la.files.values()))}" for la in card.source.layouts)
            raise InputError(f"{root} holds no files of {card.name}; expected folders such as {tried}.")
        if len(found) > 1:
            names = ", ".join(f"{la.name} in {folder}" for folder, la in found)
            raise InputError(f"{root} holds more than one layout of {card.name} ({names}); give one of these folders.")
        return cls(card, root, *found[0], size)

    def files(self, subject: str) -> dict[str, Path]:
        """Where each modality of a subject is expected, in stack order."""
        return {m.name: self.folder / subject / self.layout.files[m.name] for m in self.card.modalities}

    def inputs(self, subjects: list[str]) -> dict:
        """Checksum of every file that would be read; None where it is missing."""
        return {
            s: {name: sha256(path) if path.is_file() else None for name, path in self.files(s).items()}
            for s in subjects
        }

    def prepare(self, subject: str) -> PreparedSubject:
        """Read one subject and bring it to the training grid.

        Raises
        ------
        InputError
            If a file is missing or unusable, the files are not on one grid, or the brain does not fit the window.
        """
        files = self.files(subject)
        if not (self.folder / subject).is_dir():
            raise InputError(f"there is no folder {self.folder / subject}")
        missing = [str(path) for path in files.values() if not path.is_file()]
        if missing:
            raise InputError(f"missing {', '.join(missing)}")
        volumes = [to_ras(read_volume(path)) for path in files.values()]
        require_same_grid(volumes)
        return self._slice(subject, files, volumes)

    def _slice(self, subject: str, files: dict[str, Path], volumes: list[Volume]) -> PreparedSubject:
        how = self.card.preprocessing
        geometry = SliceGeometry.fit(volumes, self.size, how.field_of_view_mm, how.brain_fraction)
        scales = [Normalisation.fit(m, v.data, how.percentile) for m, v in zip(self.card.spec, volumes, strict=True)]
        images = np.stack([geometry.to_slices(s.forward(v.data)) for s, v in zip(scales, volumes, strict=True)], axis=1)
        z_mm = list(geometry.z_mm)
        record = {
            "inputs": {
                name: {"file": path.relative_to(self.root).as_posix(), "sha256": sha256(path)}
                for name, path in files.items()
            },
            "normalisation": {name: asdict(s) for name, s in zip(files, scales, strict=True)},
            "geometry": geometry.to_dict(),
        }
        sheet = sheet_png(f"{self.card.title}: {subject}", self.card.spec, z_mm, images)
        return PreparedSubject(subject, images.astype(np.float16), list(geometry.planes), z_mm, record, sheet)


def _any_file(folder: Path, layout: Layout) -> bool:
    """Whether any subject's folder here has any file of the layout."""
    subjects = folder.glob(layout.subject) if folder.is_dir() else ()
    return any((subject / file).is_file() for subject in subjects for file in layout.files.values())
