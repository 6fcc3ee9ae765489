"""From the stores of several data sets to one store of the collection, in which what is missing stays missing."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from a2a.common.errors import InputError
from a2a.data.cards.card import DataCard, content_hash, load_card
from a2a.data.cards.collection import CollectionCard, Member, people
from a2a.data.cards.profiles import SPLITS
from a2a.data.prepare.prepare import prepare
from a2a.data.store.read import SliceStore, read_manifest
from a2a.data.store.write import StoreWriter, is_store

VERSION = 2
"""Of the joined store's form."""


def collect(
    card: CollectionCard, out: Path | str, profile: str = "ci", workers: int = 1, overwrite: bool = False
) -> SliceStore:
    """Prepare the phantoms of a collection beside `out`, each in a store of its own, and join them.

    Where subjects of a data set lack modalities there is a further store, ``OUT-ID-complete``, of those who do not: all
    that a method can learn from which needs complete stacks of one data set.

    Parameters
    ----------
    card
        The collection; all its data sets come from the generator.
    out
        Folder of the joined store; that of a data set is named after it and the identifier.
    profile
        Of every data card.
    workers
        Processes.
    overwrite
        Replace stores that differ.

    Raises
    ------
    InputError
        If a card or a place cannot be used, see `a2a.data.prepare.prepare.prepare` and `join`.
    """
    out, stores = Path(out), {}
    for member in card.members:
        stores[member.id] = out.with_name(f"{out.name}-{member.id}")
        prepare(member.card, stores[member.id], profile=profile, workers=workers, overwrite=overwrite)
        if member.at_least is not None:
            complete_subjects(card, member, SliceStore.open(stores[member.id]), out, overwrite)
    return join(card, {name: SliceStore.open(path) for name, path in stores.items()}, out, overwrite)


def join(
    card: CollectionCard, stores: Mapping[str, SliceStore], out: Path | str, overwrite: bool = False
) -> SliceStore:
    """Join the stores of a collection's data sets; a modality that a subject lacks is NaN, which no sum survives.

    Label maps of one name are one; a data set without it has 0 there.

    Parameters
    ----------
    card
        The collection.
    stores
        A store of each member's card by identifier.
    out
        Folder of the joined store.
    overwrite
        Replace a store that is there.

    Raises
    ------
    InputError
        If a store is missing, unknown or of another card or size, modalities do not fit (see
        `a2a.data.cards.collection.CollectionCard.places`), or somebody is in the training of one data set and the test
        of another.
    """
    cards = {member.id: load_card(member.card) for member in card.members}
    _check(card, cards, stores)
    places, sizes, maps = card.places(cards), {store.size for store in stores.values()}, _label_maps(card, stores)
    datasets: dict[str, list[str]] = {member.id: [] for member in card.members}
    if kept := _there(Path(out), _manifest(card, stores, datasets)["fingerprint"]):
        return kept
    with StoreWriter(out, card.spec, sizes.pop(), overwrite, list(maps.values()), incomplete=True) as writer:
        for member in card.members:
            for split in SPLITS:
                part = stores[member.id].split(split)
                for subject in dict.fromkeys(part.subjects.tolist()):
                    rows, name = part.rows(subject), f"{member.id}-{subject}"
                    images = np.full((len(rows), len(card.modalities), writer.size, writer.size), np.nan, np.float16)
                    has = sorted(places[member.id])
                    for place in has if split == "test" else card.kept(member, subject, has):
                        images[:, place] = part.images[rows, places[member.id][place]]
                    labels = np.zeros((len(rows), len(maps), writer.size, writer.size), np.uint8)
                    for channel, found in enumerate(stores[member.id].label_maps):
                        labels[:, list(maps).index(found["name"])] = part.labels[rows, channel]
                    planes, z_mm = part.planes[rows].tolist(), part.z_mm[rows].tolist()
                    writer.add(split, name, planes, z_mm, images, labels if maps else None)
                    datasets[member.id] += [name] if name not in datasets[member.id] else []
        writer.finish(_manifest(card, stores, datasets))
    return SliceStore.open(out)


def complete_subjects(
    card: CollectionCard, member: Member, store: SliceStore, out: Path, overwrite: bool = False
) -> SliceStore:
    """Write the store of a data set's subjects that keep all its modalities, see `collect`.

    Parameters
    ----------
    card, member, store
        The collection, one of its data sets and the store of that.
    out
        Folder of the collection; that of the subjects is named after it.
    overwrite
        Replace a store that is there.
    """
    path = out.with_name(f"{out.name}-{member.id}-complete")
    places = sorted(card.places({each.id: load_card(each.card) for each in card.members})[member.id])
    own = {key: store.said(key) for key in ("card", "profile", "preprocessing", "fingerprint")}
    own["fingerprint"] = content_hash([own["fingerprint"], card.name, member.model_dump(mode="json")])
    if kept := _there(path, own["fingerprint"]):
        return kept
    with StoreWriter(path, store.spec, store.size, overwrite, store.label_maps) as writer:
        for split in SPLITS:
            part = store.split(split)
            for subject in dict.fromkeys(part.subjects.tolist()):
                if split != "test" and card.kept(member, subject, places) != places:
                    continue
                rows = part.rows(subject)
                labels = part.labels[rows] if store.label_maps else None
                planes, z_mm = part.planes[rows].tolist(), part.z_mm[rows].tolist()
                writer.add(split, subject, planes, z_mm, part.images[rows], labels)
        writer.finish(own | {"skipped": []})
    return SliceStore.open(path)


def _there(path: Path, fingerprint: str) -> SliceStore | None:
    """The store that is already there, if it was made from the same stores by the same card."""
    if not is_store(path) or read_manifest(path).get("fingerprint") != fingerprint:
        return None
    return SliceStore.open(path, verify=True)


def _label_maps(card: CollectionCard, stores: Mapping[str, SliceStore]) -> dict[str, dict]:
    """All label maps by name; one that means two things is refused."""
    maps: dict[str, dict] = {}
    for name, store in stores.items():
        for found in store.label_maps:
            known = maps.setdefault(found["name"], {key: found[key] for key in ("name", "values")})
            if known["values"] != found["values"]:
                raise InputError(
                    f"{card.name}: the label map {found['name']} of data set {name} means {found['values']}, but that "
                    f"of another {known['values']}; name them differently."
                )
    return maps


def _manifest(card: CollectionCard, stores: Mapping[str, SliceStore], datasets: dict[str, list[str]]) -> dict:
    """Where the joined store comes from."""
    made_of = {name: {key: store.said(key) for key in ("card", "fingerprint")} for name, store in stores.items()}
    first = stores[card.members[0].id]
    return {
        "card": card.name,
        "profile": first.said("profile"),
        "preprocessing": first.said("preprocessing"),
        "fingerprint": content_hash(
            {"collection": card.model_dump(mode="json"), "stores": made_of, "version": VERSION}
        ),
        "made_of": made_of,
        "datasets": datasets,
        "subjects": {},
        "skipped": [],
    }


def _check(card: CollectionCard, cards: dict[str, DataCard], stores: Mapping[str, SliceStore]) -> None:
    """Refuse stores that are not those of the collection, and people on both sides of the split."""
    if unknown := sorted(set(stores) - set(cards)):
        raise InputError(f"{card.name} has no data set {unknown[0]}; it has {', '.join(cards)}.")
    if missing := [name for name in cards if name not in stores]:
        raise InputError(f"{card.name}: there is no store of data set {missing[0]}; prepare {cards[missing[0]].name}.")
    for name, store in stores.items():
        if store.said("card") != cards[name].name:
            raise InputError(f"{store.path} was made from {store.said('card')}, but {name} is {cards[name].name}.")
    sizes = {name: store.size for name, store in stores.items()}
    if len(set(sizes.values())) > 1:
        said = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise InputError(f"{card.name}: the data sets must have slices of one size, but have {said}.")
    learned: dict[tuple[str, str], str] = {}
    for member in card.members:
        for subject in set(stores[member.id].split("train").subjects.tolist()):
            learned[people(member, cards[member.id]), subject] = member.id
    for member in card.members:
        for split in ("val", "test"):
            for subject in sorted(set(stores[member.id].split(split).subjects.tolist())):
                if where := learned.get((people(member, cards[member.id]), subject)):
                    raise InputError(
                        f"{card.name}: subject {subject} is in the {split} split of {member.id} and in the training of "
                        f"{where}; nobody may be in both."
                    )
