"""Subjects that are NIfTI files: find them by the card's patterns, read, align, mask, scale, slice."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from a2a.common.errors import InputError
from a2a.common.names import checked_name
from a2a.common.progress import progress
from a2a.data.cards.card import DataCard
from a2a.data.cards.layouts import Layout, Scan
from a2a.data.cards.profiles import Profile
from a2a.data.prepare.contact_sheets import sheet_png
from a2a.data.prepare.prepared import PreparedSubject
from a2a.data.store.read import sha256
from a2a.data.volumes.aligned import AlignedSeries, align_series
from a2a.data.volumes.foreground import drop_unseen_planes, find_head, skull_stripped
from a2a.data.volumes.labels import label_slices, label_volumes, read_label_maps
from a2a.data.volumes.nifti import Volume, read_volume, require_same_grid, require_upright, to_ras
from a2a.data.volumes.normalisation import Normalisation, require_plausible, statistic
from a2a.data.volumes.overlays import overlay_png
from a2a.data.volumes.quality import quality
from a2a.data.volumes.slices import SliceGeometry
from a2a.forward.stack import StackSpec

UNREADABLE = "unreadable"
"""In place of the checksum of a file."""


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
        Where below `root` the files lie.
    layout
        How they are arranged.
    size
        Pixels of the training grid.
    scans
        What was found there, by name.
    constants
        Upper end of the range of each modality that is scaled by the training subjects, see `fitted`.
    """

    card: DataCard
    root: Path
    folder: Path
    layout: Layout
    size: int
    scans: dict[str, Scan]
    constants: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def find(cls, card: DataCard, root: Path | str | None, size: int) -> "NiftiSubjects":
        """Find which of the card's layouts is below `root`, and its scans.

        Parameters
        ----------
        card
            The data card.
        root
            Folder of the files.
        size
            Pixels of the training grid.

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
        places = [(root / below, layout) for layout in card.layouts for below in layout.folders]
        found = [(folder, la, scans) for folder, la in places if folder.is_dir() and (scans := la.scans(folder))]
        if not found:
            tried = "; ".join(_example(layout) for layout in card.layouts)
            raise InputError(f"{root} holds no files of {card.name}; expected are files such as {tried}.")
        if len(found) > 1:
            names = ", ".join(f"{layout.name} in {folder}" for folder, layout, _ in found)
            raise InputError(f"{root} holds more than one layout of {card.name} ({names}); give one of these folders.")
        folder, layout, scans = found[0]
        return cls(card, root, folder, layout, size, scans)

    def listed(self, plan: Profile) -> list[tuple[str, str]]:
        """(scan, split) of all scans of the subjects of a profile; a subject without files stands for itself."""
        by_subject: dict[str, list[str]] = {}
        for name, scan in self.scans.items():
            by_subject.setdefault(scan.subject, []).append(name)
        subjects = plan.subjects(by_subject)
        if not subjects:
            raise InputError(f"{self.folder} holds no subject of the training, validation or test set of the profile.")
        return [(name, split) for subject, split in subjects for name in by_subject.get(subject, [subject])]

    def fitted(self, training: Sequence[str]) -> "NiftiSubjects":
        """The same subjects with the constants of the training split, for modalities that are scaled by it.

        The constant is the median over the training scans of each one's percentile of positive voxels.

        Raises
        ------
        InputError
            If no training scan can be read.
        """
        names = [m.name for m in self.card.modalities if m.normalisation == "training-percentile"]
        constants = {}
        for name in names:
            work = progress(training, f"scaling {name}", len(training))
            ends = [end for scan in work if (end := self._upper_end(scan, name)) is not None]
            if not ends:
                raise InputError(f"No training subject in {self.folder} has a usable {name}, which sets its scale.")
            constants[name] = float(statistics.median(ends))
        return replace(self, constants=constants)

    @property
    def spec(self) -> StackSpec:
        """The card's stack, with the constants of the training split as windows."""
        windows = {name: (0.0, high) for name, high in self.constants.items()}
        return StackSpec(tuple(replace(m, window=windows.get(m.name, m.window)) for m in self.card.spec))

    def inputs(self, subjects: Sequence[str]) -> dict:
        """Checksum of every file that would be read, and the constants of the training split."""
        work = progress(subjects, "checksums", len(subjects))
        return {name: self._checksums(self.scans.get(name, Scan(name))) | dict(self.constants) for name in work}

    def prepare(self, subject: str) -> PreparedSubject:
        """Read one scan and bring it to the training grid.

        Raises
        ------
        InputError
            If a file is missing, ambiguous or unusable, the files cannot be brought on one grid, a label map holds
            unknown labels, or the brain does not fit the window.
        """
        checked_name(subject, "the subject")
        if subject not in self.scans:
            raise InputError(f"there are no files of {subject} in {self.folder}")
        scan, how = self.scans[subject], self.card.preprocessing
        files = {m.name: scan.one("image", m.name, self.layout, self.root) for m in self.card.modalities}
        volumes = {name: to_ras(self._read(path, name)) for name, path in files.items()}
        for name, volume in volumes.items():
            if min(volume.data.shape) < 2:
                raise InputError(f"{files[name]} has a single plane; a volume with several is needed")
        require_upright(volumes[self.card.reference])
        labels = read_label_maps(scan, self.card.labels, self.layout, self.root, volumes[self.card.reference])
        series = align_series(volumes, self.card.reference, how.registration)
        foreground = self._foreground(scan, series)
        geometry = SliceGeometry.fit(
            list(series.volumes.values()), self.size, how.field_of_view_mm, how.brain_fraction, foreground
        )
        return self._result(subject, files, series, foreground, geometry, labels)

    @property
    def label_maps(self) -> list[dict]:
        """The card's label maps that this layout has, as JSON."""
        return [label.model_dump(mode="json") for label in self.card.labels if label.name in self.layout.labels]

    def _foreground(self, scan: Scan, series: AlignedSeries) -> np.ndarray | None:
        """What of the images is the patient; where a mask file says so, everything else is set to zero in place."""
        kind, reference = self.card.preprocessing.foreground, series.volumes[self.card.reference]
        if kind == "none":
            return None
        if kind == "head":
            mask = find_head(reference)
        elif kind == "nonzero":
            mask = skull_stripped(list(series.volumes.values()))
        else:
            file = to_ras(read_volume(scan.one("mask", "brain mask", self.layout, self.root)))
            require_same_grid([reference, file])
            mask = file.data > 0
            for volume in series.volumes.values():
                volume.data[~mask] = 0
        return drop_unseen_planes(mask, list(series.seen.values()))[0]

    def _result(
        self,
        subject: str,
        files: dict[str, Path],
        series: AlignedSeries,
        foreground: np.ndarray | None,
        geometry: SliceGeometry,
        labels: dict[str, Volume | None],
    ) -> PreparedSubject:
        spec, how = self.spec, self.card.how
        seen = {m.name: _within(series.volumes[m.name].data, foreground, m.name in self.card.medians) for m in spec}
        scales = {m.name: Normalisation.fit(m, seen[m.name], *statistic(how, m.name)) for m in spec}
        for m in spec:
            require_plausible(series.volumes[m.name], m, scales[m.name])
        scaled = {name: scale.forward(series.volumes[name].data) for name, scale in scales.items()}
        images = np.stack([geometry.to_slices(data) for data in scaled.values()], axis=1)
        cards = {label.name: label for label in self.card.labels}
        maps = [label_slices(map_, cards[name], geometry) for name, map_ in labels.items()]
        drawn = np.stack(maps, axis=1) if maps else None
        z_mm, title = list(geometry.z_mm), f"{self.card.title}: {subject}"
        record = {
            "subject": self.scans[subject].subject,
            "inputs": {
                name: {"file": path.relative_to(self.root).as_posix(), "sha256": sha256(path)}
                for name, path in files.items()
            },
            "normalisation": {name: asdict(scale) for name, scale in scales.items()},
            "geometry": geometry.to_dict(),
            "transforms": {name: found.to_dict() for name, found in series.alignments.items()},
            "quality": quality(series, scaled, foreground, self.card.reference),
            "labels_ml": {name: label_volumes(map_, cards[name]) for name, map_ in labels.items() if map_ is not None},
        }
        return PreparedSubject(
            subject,
            images.astype(np.float16),
            list(geometry.planes),
            z_mm,
            record,
            sheet_png(title, spec, z_mm, images, drawn),
            self._overlay(title, series, geometry) if series.before else b"",
            drawn,
        )

    def _overlay(self, title: str, series: AlignedSeries, geometry: SliceGeometry) -> bytes:
        reference = series.volumes[self.card.reference]
        pairs = {name: (before, series.volumes[name].data) for name, before in series.before.items()}
        return overlay_png(title, (self.card.reference, reference.data), pairs, reference.spacing[:2], geometry.planes)

    def _upper_end(self, scan: str, name: str) -> float | None:
        """Percentile of the positive voxels of one image; None if it cannot be read (its subject will be skipped)."""
        try:
            path = self.scans.get(scan, Scan(scan)).one("image", name, self.layout, self.root)
            data = self._read(path, name).data
        except (InputError, OSError):
            return None
        positive = data[data > 0].astype(np.float64)
        return float(np.percentile(positive, self.card.preprocessing.percentile)) if positive.size else None

    def _read(self, path: Path, name: str) -> Volume:
        """Read an image, or the part of a 4-D file that is this modality."""
        return read_volume(path, channel=self.layout.channels.get(name))

    def _checksums(self, scan: Scan) -> dict[str, str]:
        return {
            f"{kind} {name} {path.relative_to(self.root).as_posix()}": _checksum(path)
            for (kind, name), paths in scan.files.items()
            for path in paths
        }


def _within(data: np.ndarray, foreground: np.ndarray | None, median: bool) -> np.ndarray:
    """The voxels that set a scale: those of the foreground for a median, all for a percentile."""
    return data[foreground] if median and foreground is not None else data


def _checksum(path: Path) -> str:
    try:
        return sha256(path)
    except OSError:
        return UNREADABLE


def _example(layout: Layout) -> str:
    """The first file of a layout as its pattern says."""
    pattern = next(iter(layout.files.values()))
    return pattern.replace("{subject}", layout.subject).replace("{session}", layout.session or "")
