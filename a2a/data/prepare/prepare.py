"""From a data card to a slice store."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import scipy

import a2a
from a2a.common.errors import InputError
from a2a.common.files import say_if_full
from a2a.data.cards.card import DataCard, content_hash, load_card
from a2a.data.cards.profiles import Profile
from a2a.data.prepare.assembly import Plan, assemble
from a2a.data.prepare.doubtful import Doubt, doubts
from a2a.data.prepare.nifti_subjects import UNREADABLE, NiftiSubjects
from a2a.data.prepare.phantom_subjects import PhantomSubjects
from a2a.data.prepare.subjects_at_work import Job, Skipped, finish_all
from a2a.data.prepare.workplace import Workplace
from a2a.data.store.read import SliceStore, read_manifest
from a2a.data.store.write import StoreWriter, is_store, output_folder
from a2a.data.volumes.registration import antspy_version

DATA_VERSION = 1  # raised whenever the same card and files would give other slices
_PLANES = 180  # of a head, where the card does not limit them


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
    doubtful
        Series in it that hardly resemble their subject's reference.
    """

    path: Path
    rows: dict[str, int]
    subjects: int
    skipped: tuple[Skipped, ...]
    reused: bool
    seconds: float
    doubtful: tuple[Doubt, ...] = ()


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
    not at all, and its bytes depend neither on the number of workers nor on the order of their work. A run that was
    killed goes on where it was, with the same result: finished subjects wait in a hidden folder beside `out`. A store
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
        Replace another or a damaged slice store at `out`; one that would come out the same stays.
    workers
        Processes that share the subjects.

    Raises
    ------
    InputError
        If the card, the profile, the size, the root or `out` cannot be used, or every subject was skipped.
    Failure
        If the disk is full, another process prepares the same store, or a worker died.
    """
    began = time.monotonic()
    card = card if isinstance(card, DataCard) else load_card(card)
    chosen = card.profile(profile)
    out, size = Path(out), _checked_size(card, size)
    if workers < 1:
        raise InputError(f"There must be at least 1 worker, not {workers}.")
    if not is_store(out):  # which may come out the same, and then it is only read
        output_folder(out, overwrite).check()
    plan = _plan(card, chosen, profile, root, size)
    inputs = plan.source.inputs([name for name, _ in plan.listing])
    _require_apart(plan.listing, inputs)
    provenance = _provenance(card, profile, size, inputs)
    if store := _reusable(out, provenance, overwrite):
        Workplace(out).sweep()
        return _report(store, True, began)
    output_folder(out, overwrite).check()
    with say_if_full(out, _needed(plan, size)), Workplace(out) as place:
        if store := _reusable(out, provenance, overwrite):  # another run was faster
            place.clear()
            return _report(store, True, began)
        output_folder(out, overwrite).check()
        jobs = _jobs(plan, place, size, inputs)
        skipped = finish_all(plan.source, jobs, workers)
        writer = StoreWriter(out, plan.spec, size, overwrite=True, label_maps=plan.source.label_maps)
        assemble(plan, jobs, skipped, writer, provenance)
        place.clear()
    return _report(SliceStore.open(out), False, began)


def _require_apart(listing: Sequence[tuple[str, str]], inputs: Mapping[str, Mapping[str, object]]) -> None:
    """Refuse one image file in two splits, under whatever names: a test on it would be of what was learnt.

    Parameters
    ----------
    listing
        (subject, split) of all.
    inputs
        Checksums of a subject's files, by kind, name and path.

    Raises
    ------
    InputError
        Naming both subjects.
    """
    owners: dict[object, tuple[str, str]] = {}
    for subject, split in listing:
        for key, checksum in inputs.get(subject, {}).items():
            if not key.startswith("image ") or checksum == UNREADABLE:
                continue
            other, where = owners.setdefault(checksum, (subject, split))
            if where != split:
                path = key.split(" ", 2)[2]
                raise InputError(
                    f"{path} of {subject} ({split}) is the same file as one of {other} ({where}); a scan may be in one "
                    "split only, so remove one of the two."
                )


def _checked_size(card: DataCard, size: int | None) -> int:
    size = card.preprocessing.size if size is None else size
    multiple = card.preprocessing.multiple_of
    if size < multiple or size % multiple:
        raise InputError(f"The size {size} is not a multiple of {multiple}, as acceleration and network need it.")
    return size


def _plan(card: DataCard, profile: Profile, name: str, root: Path | str | None, size: int) -> Plan:
    if card.layouts:
        found = NiftiSubjects.find(card, root, size)
        listing = found.listed(profile)
        source = found.fitted([scan for scan, split in listing if split == "train"])
        return Plan(card, source, profile, listing, source.spec)
    if root is not None:
        raise InputError(f"Card {card.name} is generated, not read; leave out --root.")
    return Plan(card, PhantomSubjects.plan(card, name, size), profile, profile.subjects(), card.spec)


def _needed(plan: Plan, size: int) -> int:
    """About how many bytes the store and, until it is complete, its finished subjects take."""
    planes = len(plan.listing) * (plan.profile.slices or _PLANES)
    return 2 * planes * len(plan.spec) * size**2 * np.dtype(np.float16).itemsize


def _provenance(card: DataCard, profile: str, size: int, inputs: dict) -> dict:
    """Where the store comes from; ``fingerprint`` changes whenever its bytes could."""
    recipe = {"recipe": card.recipe(profile), "size": size, "inputs": inputs} | _made_by(card)
    packages = {made.__name__: made.__version__ for made in (np, scipy, nibabel)} | {"antspyx": antspy_version()}
    return {
        "card": card.name,
        "card_sha256": card.sha256,
        "profile": profile,
        "preprocessing": card.how,
        "fingerprint": content_hash(recipe),
        "versions": {"a2a": a2a.__version__, "data": DATA_VERSION} | packages,
    }


def _made_by(card: DataCard) -> dict:
    """The versions that decide about the slices: of this code, and of the registration where there is one."""
    registered = card.preprocessing.registration != "none"
    return {"data_version": DATA_VERSION} | ({"antspyx": antspy_version()} if registered else {})


def _reusable(out: Path, provenance: dict, overwrite: bool) -> SliceStore | None:
    """The store that is already there, if it was made from the same card, files and versions.

    One that is damaged is an error, unless it may be replaced.
    """
    if not is_store(out):
        return None
    try:
        if read_manifest(out).get("fingerprint") != provenance["fingerprint"]:
            return None
        return SliceStore.open(out, verify=True)
    except InputError:
        if overwrite:
            return None
        raise


def _jobs(plan: Plan, place: Workplace, size: int, inputs: dict) -> list[Job]:
    """One job per scan; its file is named by everything that its slices depend on."""
    recipe = plan.card.recipe_of_a_subject(plan.profile) | {"size": size} | _made_by(plan.card)
    own = {name: inputs.get(name, inputs) for name, _ in plan.listing}
    keys = {name: content_hash(recipe | {"name": name, "inputs": own[name]}) for name in own}
    return [Job(name, split, place.part(name, keys[name])) for name, split in plan.listing]


def _report(store: SliceStore, reused: bool, began: float) -> PrepareReport:
    manifest = store.manifest
    skipped = tuple(Skipped(s["subject"], s["reason"]) for s in manifest["skipped"])
    seconds = time.monotonic() - began
    doubtful = doubts(manifest["subjects"])
    return PrepareReport(store.path, manifest["rows"], len(manifest["subjects"]), skipped, reused, seconds, doubtful)
