"""From finished subjects to a slice store."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from a2a.common.errors import InputError
from a2a.common.escaping import shown
from a2a.data.cards.card import DataCard
from a2a.data.cards.profiles import SPLITS, Profile
from a2a.data.prepare.prepared import PreparedSubject, SubjectSource
from a2a.data.prepare.report import report_page
from a2a.data.prepare.subjects_at_work import Job
from a2a.data.prepare.workplace import read_part
from a2a.data.store.write import StoreWriter
from a2a.forward.stack import StackSpec

REASON = 500
"""Characters of the reason why a subject was left out."""


@dataclass(frozen=True)
class Plan:
    """What is to be prepared.

    Parameters
    ----------
    card
        The data card.
    source
        Where subjects come from.
    profile
        The card's profile.
    listing
        (scan, split) in the order of the store.
    spec
        The stack, windows included.
    """

    card: DataCard
    source: SubjectSource
    profile: Profile
    listing: Sequence[tuple[str, str]]
    spec: StackSpec


def assemble(plan: Plan, jobs: Sequence[Job], skipped: dict[str, str], writer: StoreWriter, provenance: dict) -> None:
    """Write the finished subjects into the store, in the order of the card, with their pictures and the report.

    Parameters
    ----------
    plan
        What was to be prepared.
    jobs
        One per scan, with the file of its result.
    skipped
        Reason by scan of those that have none.
    writer
        A new store.
    provenance
        What else goes into the manifest.

    Raises
    ------
    InputError
        If every scan was skipped.
    """
    if len(skipped) == len(jobs):
        first = jobs[0].name
        raise InputError(f"No subject could be prepared; the first, {shown(first)}: {shown(skipped[first], REASON)}")
    records = {}
    with writer:
        for job in jobs:
            if job.name not in skipped:
                done = read_part(job.path, job.name)
                splits = _splits(plan.profile, job.split, len(done.planes))
                _add(writer, done, splits)
                records[job.name] = {"split": job.split} | done.record
        left_out = [{"subject": shown(name), "reason": shown(reason, REASON)} for name, reason in skipped.items()]
        manifest = provenance | {"subjects": records, "skipped": left_out}
        page = report_page(plan.card, manifest)
        (writer.folder / "report.html").write_text(page, encoding="utf-8")
        writer.finish(manifest)


def _splits(plan: Profile, split: str, count: int) -> np.ndarray:
    """The split of each plane of a subject."""
    blocks = plan.validation_blocks
    held_out = np.zeros(count, dtype=bool)
    if blocks is not None and split == "train":
        held_out = np.arange(count) // blocks.planes % blocks.every == blocks.every // 2
    return np.where(held_out, "val", split)


def _add(writer: StoreWriter, done: PreparedSubject, splits: np.ndarray) -> None:
    """Give a subject's slices and its pictures to the writer."""
    for split in SPLITS:
        rows = np.flatnonzero(splits == split)
        if rows.size:
            planes, z_mm = ([values[i] for i in rows] for values in (done.planes, done.z_mm))
            labels = None if done.labels is None else done.labels[rows]
            writer.add(split, done.subject, planes, z_mm, done.images[rows], labels)
    (writer.folder / "sheets" / f"{done.subject}.png").write_bytes(done.sheet)
    if done.overlay:
        (writer.folder / "overlays").mkdir(exist_ok=True)
        (writer.folder / "overlays" / f"{done.subject}.png").write_bytes(done.overlay)
