"""The data sets of a store: one of a collection has several, which do not match."""

import numpy as np

from a2a.data.store.read import SliceStore, Split


def identifiers(store: SliceStore) -> list[str]:
    """Return the data sets of a store in the order of their numbers; a store of one card is that card's."""
    return sorted(store.datasets) or [store.said("card")]


def owner(store: SliceStore, split: Split) -> np.ndarray:
    """Return the number of the data set of each slice, ``int (N,)``."""
    numbers = {subject: n for n, name in enumerate(sorted(store.datasets)) for subject in store.datasets[name]}
    return np.array([numbers.get(subject, 0) for subject in split.subjects.tolist()], dtype=np.int64)


def keys_of(store: SliceStore, split: Split) -> tuple[tuple[int, tuple[bool, ...]], ...]:
    """Return the number of the data set, and which modalities there are, of each slice."""
    available = [tuple(row) for row in split.available.tolist()]
    return tuple(zip(owner(store, split).tolist(), available, strict=True))


def seen_modalities(store: SliceStore) -> dict[str, list[str]]:
    """Return the data sets of a store by identifier, each with the modalities that its training subjects have."""
    train = store.split("train")
    owners, available = owner(store, train), train.available
    names = np.array(store.spec.names)
    return {
        name: names[available[owners == number].any(axis=0)].tolist() for number, name in enumerate(identifiers(store))
    }
