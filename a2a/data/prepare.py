"""From a data card to a slice store."""

import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

import a2a
from a2a.data.cards import DataCard, FileSource, content_hash, load_card
from a2a.data.nifti_subjects import NiftiSubjects
from a2a.data.phantom_subjects import PhantomSubjects
from a2a.data.prepared import PreparedSubject, SubjectSource
from a2a.data.profiles import SPLITS, Profile
from a2a.data.store import SliceStore, read_manifest
from a2a.data.store_writer import StoreWriter, is_store, require_free
from a2a.errors import InputError
from a2a.progress import progress

DATA_VERSION = 1  # raised whenever the same card and files would give other slices


@dataclass(frozen=True)
class Skipped:
    """A subject that could not be prepared, and why."""

    subject: str
    reason: str


@dataclass(frozen=True)
class PrepareReport:
    """What `prepare` did.

    Parameters
    ----------
    path
        The store.
    rows
        Slices per split.
    subjects
        Number of subjects in it.
    skipped
        Those that are not in it.
    reused
        Whether the store was there already, made from the same card, files and versions.
    seconds
        Wall-clock time.
    """

    path: Path
    rows: dict[str, int]
    subjects: int
    skipped: tuple[Skipped, ...]
    reused: bool
    seconds: float


def prepare(
    card: DataCard | Path | str,
    out: Path | str,
    root: Path | str | None = None,
    profile: str = "ci",
    size: int | None = None,
    overwrite: bool = False,
    workers: int = 1,
) -> PrepareReport:
    """Make the slice store of a data set.

    A subject that cannot be used is skipped with its reason; the others are prepared. The store appears complete or
    not at all, and its bytes depend neither on the number of workers nor on the order of their work. A store
    that is there already, made from the same card, files and versions, is checked and kept.

    Parameters
    ----------
    card
        A card, its file, or the name of one in ``data_cards/``.
    out
        Folder of the store.
    root
        Folder with the files of the set (not for the phantom).
    profile
        Which of the card's profiles: its subjects and splits.
    size
        Pixels of the training grid; the card's by default.
    overwrite
        Replace another slice store at `out`.
    workers
        Processes that share the subjects.

    Raises
    ------
    InputError
        If the card, the profile, the size, the root or `out` cannot be used, or every subject was skipped.
    """
    began = time.monotonic()
    card = card if isinstance(card, DataCard) else load_card(card)
    out, plan, size = Path(out), card.profile(profile), _checked_size(card, size)
    if workers < 1:
        raise InputError(f"There must be at least 1 worker, not {workers}.")
    source = _source(card, profile, root, size)
    subjects = [name for name, _ in plan.subjects()]
    provenance = _provenance(card, profile, size, source.inputs(subjects))
    if not overwrite and _same(out, provenance):
        return _report(SliceStore.open(out, verify=True), True, began)
    require_free(out, overwrite)
    with StoreWriter(out, card.spec, size, overwrite) as writer:
        records, skipped = _write_subjects(writer, source, plan, workers)
        writer.finish(provenance | {"subjects": records, "skipped": skipped})
    return _report(SliceStore.open(out), False, began)


def _checked_size(card: DataCard, size: int | None) -> int:
    size = card.preprocessing.size if size is None else size
    multiple = card.preprocessing.multiple_of
    if size < multiple or size % multiple:
        raise InputError(f"The size {size} is not a multiple of {multiple}, as acceleration and network need it.")
    return size


def _source(card: DataCard, profile: str, root: Path | str | None, size: int) -> SubjectSource:
    if isinstance(card.source, FileSource):
        return NiftiSubjects.find(card, root, size)
    if root is not None:
        raise InputError(f"Card {card.name} is generated, not read; leave out --root.")
    return PhantomSubjects.plan(card, profile, size)


def _provenance(card: DataCard, profile: str, size: int, inputs: dict) -> dict:
    """Where the store comes from; ``fingerprint`` changes whenever its bytes could."""
    recipe = {"recipe": card.recipe(profile), "size": size, "inputs": inputs, "data_version": DATA_VERSION}
    packages = ("numpy", "scipy", "nibabel")
    return {
        "card": card.name,
        "card_sha256": card.sha256,
        "profile": profile,
        "preprocessing": card.preprocessing.model_dump(mode="json"),
        "fingerprint": content_hash(recipe),
        "versions": {"a2a": a2a.__version__, "data": DATA_VERSION} | {name: version(name) for name in packages},
    }


def _same(out: Path, provenance: dict) -> bool:
    """Whether a store from the same card, files and versions is already there."""
    return is_store(out) and read_manifest(out).get("fingerprint") == provenance["fingerprint"]


def _write_subjects(
    writer: StoreWriter, source: SubjectSource, plan: Profile, workers: int
) -> tuple[dict[str, dict], list[dict]]:
    """Prepare all subjects and add them in the order of the card; return their records and who was skipped."""
    records, skipped = {}, []
    names = [name for name, _ in plan.subjects()]
    with _results(source, names, workers) as results:
        for (_, split), result in zip(plan.subjects(), progress(results, "preparing", len(names)), strict=True):
            if isinstance(result, Skipped):
                skipped.append({"subject": result.subject, "reason": result.reason})
                continue
            _add(writer, result, _splits(plan, split, len(result.planes)))
            records[result.subject] = {"split": split} | result.record
    if not records:
        raise InputError(f"No subject could be prepared; the first, {skipped[0]['subject']}: {skipped[0]['reason']}")
    return records, skipped


@contextmanager
def _results(source: SubjectSource, names: list[str], workers: int) -> Iterator[Iterator[PreparedSubject | Skipped]]:
    """Results in the order of `names`, from this process or from several fresh ones."""
    work = partial(_prepare_one, source)
    if workers == 1 or len(names) == 1:
        yield map(work, names)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(names)), mp_context=context)
    try:
        yield pool.map(work, names)
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare_one(source: SubjectSource, subject: str) -> PreparedSubject | Skipped:
    """One subject; only what its files are to blame for is a reason to skip it."""
    try:
        return source.prepare(subject)
    except InputError as error:
        return Skipped(subject, str(error))


def _splits(plan: Profile, split: str, count: int) -> np.ndarray:
    """The split of each plane of a subject."""
    blocks = plan.validation_blocks
    held_out = np.zeros(count, dtype=bool)
    if blocks is not None and split == "train":
        held_out = np.arange(count) // blocks.planes % blocks.every == blocks.every // 2
    return np.where(held_out, "val", split)


def _add(writer: StoreWriter, result: PreparedSubject, splits: np.ndarray) -> None:
    """Give a subject's slices and its sheet to the writer."""
    for split in SPLITS:
        rows = np.flatnonzero(splits == split)
        if rows.size:
            planes, z_mm = ([values[i] for i in rows] for values in (result.planes, result.z_mm))
            writer.add(split, result.subject, planes, z_mm, result.images[rows])
    (writer.folder / "sheets" / f"{result.subject}.png").write_bytes(result.sheet)


def _report(store: SliceStore, reused: bool, began: float) -> PrepareReport:
    manifest = store.manifest
    skipped = tuple(Skipped(s["subject"], s["reason"]) for s in manifest["skipped"])
    seconds = time.monotonic() - began
    return PrepareReport(store.path, manifest["rows"], len(manifest["subjects"]), skipped, reused, seconds)
