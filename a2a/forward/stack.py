"""The stack: which modalities the virtual ground truth x has, in which order.

A stack tensor is ``float32 (B, n, H, W)`` in image units [0, 1]; a `StackSpec` names its n channels.
Explained in the chapter "The formulation".
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from a2a.common.documents import validated
from a2a.common.errors import InputError
from a2a.common.names import checked_name

LARGEST = 1e30
"""Physical values of any image are smaller; twice as much is still finite in float32."""

KNOWN_ALIASES = {
    "T2FLAIR": ("FLAIR", "T2-FLAIR"),
    "FLAIR": ("T2FLAIR", "T2-FLAIR"),
    "T2star": ("T2*", "T2S"),
    "T1POST": ("T1GD", "T1CE", "T1C"),
}


def _key(name: str) -> str:
    """Spelling without what people vary: case, hyphens, underscores, spaces, and * for 'star'."""
    return name.replace("*", "star").translate(str.maketrans("", "", "-_ ")).casefold()


@dataclass(frozen=True)
class Modality:
    """One channel of the stack.

    Parameters
    ----------
    name
        Canonical name, safe in file names (``"T2star"``).
    kind
        ``"MR"``, ``"CT"`` or ``"PET"``.
    unit
        Unit of the stored files (``"a.u."``, ``"HU"``, ``"SUVR"``).
    window
        Physical values that map to 0 and 1; None where each subject is scaled by itself (MR).
    aliases
        Other accepted spellings; case, ``-``, ``_`` never matter and ``*`` reads as ``star``.
    """

    name: str
    kind: str = "MR"
    unit: str = "a.u."
    window: tuple[float, float] | None = None
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        checked_name(self.name, "the modality")
        if self.window is not None and not (-LARGEST <= self.window[0] < self.window[1] <= LARGEST):
            raise InputError(f"The window of {self.name} must be two finite numbers, the first below the second.")

    def answers_to(self, name: str) -> bool:
        """Whether `name` is this modality's name or one of its aliases."""
        spellings = (self.name, *self.aliases, *KNOWN_ALIASES.get(self.name, ()))
        return _key(name) in {_key(s) for s in spellings}


@dataclass(frozen=True)
class StackSpec:
    """Ordered modalities of a stack, found by name or alias.

    Examples
    --------
    >>> spec = StackSpec.of("T1", "T2FLAIR", "T2star")
    >>> spec.index("T2*"), spec["flair"].name, len(spec)
    (2, 'T2FLAIR', 3)
    """

    modalities: tuple[Modality, ...]

    def __post_init__(self) -> None:
        keys = [_key(m.name) for m in self.modalities]
        if not keys or len(set(keys)) != len(keys):
            raise InputError(f"A stack needs distinct modality names, got: {', '.join(self.names) or 'none'}.")

    @classmethod
    def of(cls, *names: str) -> "StackSpec":
        """Build a spec of MR modalities from names alone."""
        return cls(tuple(Modality(name) for name in names))

    @property
    def names(self) -> tuple[str, ...]:
        """Canonical names in stack order."""
        return tuple(m.name for m in self.modalities)

    def index(self, name: str) -> int:
        """Return the channel of a modality given by name or alias.

        Raises
        ------
        InputError
            If no modality answers to the name; the message lists those that exist.
        """
        exact = [i for i, m in enumerate(self.modalities) if _key(m.name) == _key(name)]
        found = exact or [i for i, m in enumerate(self.modalities) if m.answers_to(name)]
        if not found:
            raise InputError(f"Unknown modality {name!r}; this stack has {', '.join(self.names)}.")
        return found[0]

    def __getitem__(self, name: str) -> Modality:
        return self.modalities[self.index(name)]

    def only(self, channels: Sequence[int]) -> "StackSpec":
        """The stack of some channels."""
        return StackSpec(tuple(self.modalities[i] for i in channels))

    def __iter__(self) -> Iterator[Modality]:
        return iter(self.modalities)

    def __len__(self) -> int:
        return len(self.modalities)

    def to_list(self) -> list[dict[str, Any]]:
        """JSON form, stored beside weights and in store manifests."""
        return [
            {
                "name": m.name,
                "kind": m.kind,
                "unit": m.unit,
                "window": m.window and list(m.window),
                "aliases": list(m.aliases),
            }
            for m in self.modalities
        ]

    @classmethod
    def from_list(cls, items: list[dict[str, Any]]) -> "StackSpec":
        """Inverse of `to_list`."""
        return cls(validated("The list of modalities", items, tuple[Modality, ...]))
