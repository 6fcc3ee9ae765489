"""From the stores of several data sets to one store of the collection, in which what is missing stays missing."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from a2a.common.errors import InputError
from a2a.data.cards.card import DataCard, content_hash, load_card
from a2a.data.cards.collection import CollectionCard, people
from a2a.data.cards.profiles import SPLITS
from a2a.data.prepare.prepare import prepare
from a2a.data.store.read import SliceStore
from a2a.data.store.write import StoreWriter


def collect(
    card: CollectionCard, out: Path | str, profile: str = "ci", workers: int = 1, overwrite: bool = False
) -> SliceStore:
    """Prepare the phantoms of a collection beside `out`, each in a store of its own, and join them.

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
    return join(card, {name: SliceStore.open(path) for name, path in stores.items()}, out, overwrite)


def join(
    card: CollectionCard, stores: Mapping[str, SliceStore], out: Path | str, overwrite: bool = False
) -> SliceStore:
    """Join the stores of a collection's data sets; a modality that a subject lacks is NaN, which no sum survives.

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
    places, sizes = card.places(cards), {store.size for store in stores.values()}
    datasets: dict[str, list[str]] = {member.id: [] for member in card.members}
    with StoreWriter(out, card.spec, sizes.pop(), overwrite, incomplete=True) as writer:
        for member in card.members:
            for split in SPLITS:
                part = stores[member.id].split(split)
                for subject in dict.fromkeys(part.subjects.tolist()):
                    rows, name = part.rows(subject), f"{member.id}-{subject}"
                    images = np.full((len(rows), len(card.modalities), writer.size, writer.size), np.nan, np.float16)
                    for place in card.kept(member, subject, sorted(places[member.id])):
                        images[:, place] = part.images[rows, places[member.id][place]]
                    writer.add(split, name, part.planes[rows].tolist(), part.z_mm[rows].tolist(), images)
                    datasets[member.id] += [name] if name not in datasets[member.id] else []
        writer.finish(_manifest(card, stores, datasets))
    return SliceStore.open(out)


def _manifest(card: CollectionCard, stores: Mapping[str, SliceStore], datasets: dict[str, list[str]]) -> dict:
    """Where the joined store comes from."""
    made_of = {name: {key: store.said(key) for key in ("card", "fingerprint")} for name, store in stores.items()}
    first = stores[card.members[0].id]
    return {
        "card": card.name,
        "profile": first.said("profile"),
        "preprocessing": first.said("preprocessing"),
        "fingerprint": content_hash({"collection": card.model_dump(mode="json"), "stores": made_of}),
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
