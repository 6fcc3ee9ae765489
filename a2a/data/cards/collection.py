"""Collection cards: several data sets under one roof, whose modalities, diseases and scanners do not match.

Zhang et al. 2026 train one model on four such sets. A collection says which modalities there are in all, and which data
cards belong to it; a modality that a set does not have is missing for all its subjects.
"""

from pathlib import Path

from pydantic import Field, model_validator

from a2a.common.documents import read_yaml
from a2a.common.errors import InputError
from a2a.common.names import Name
from a2a.common.paths import repository
from a2a.data.cards.card import DataCard
from a2a.data.cards.parts import PhantomSource
from a2a.data.cards.profiles import Strict, hash_place
from a2a.forward.stack import Modality, StackSpec


class UnionModality(Strict):
    """A modality of the collection: its name, unit and window, and under which other names the data cards know it."""

    name: Name
    unit: str = "a.u."
    window: tuple[float, float] | None = None
    aliases: tuple[str, ...] = ()

    @property
    def modality(self) -> Modality:
        """As a channel of the stack."""
        return Modality(self.name, "MR", self.unit, self.window, self.aliases)


class Member(Strict):
    """A data set of the collection.

    Parameters
    ----------
    id
        Its identifier, which the models are told.
    card
        Name or path of its data card.
    people
        Who its subjects are: sets with the same word share their names. By default those of one generator's seed are
        the same people, and those of other cards its own.
    at_least
        Keep only a random subset of its modalities for each subject of training and validation, of at least so many;
        None keeps all. Test subjects keep all: a scenario says what of them is given.
    """

    id: Name
    card: str
    people: str | None = None
    at_least: int | None = Field(None, ge=1)


class CollectionCard(Strict):
    """Which data sets belong together, and under which names they meet."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str
    description: str
    modalities: tuple[UnionModality, ...] = Field(min_length=2)
    members: tuple[Member, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _distinct(self) -> "CollectionCard":
        for one in self.modalities:
            for other in self.modalities:
                if one is not other and (shared := _shared(one.modality, other.modality)):
                    raise ValueError(
                        f"modalities {one.name} and {other.name} both answer to {shared}; keep one of them"
                    )
        ids = [member.id for member in self.members]
        if twice := {name for name in ids if ids.count(name) > 1}:
            raise ValueError(f"members: the identifier {min(twice)} stands for two data sets")
        return self

    @property
    def spec(self) -> StackSpec:
        """All modalities in their order."""
        return StackSpec(tuple(each.modality for each in self.modalities))

    def places(self, cards: dict[str, DataCard]) -> dict[str, dict[int, int]]:
        """Where the modalities of each data set stand in the collection: channel there by channel here.

        Parameters
        ----------
        cards
            The data card of each member by identifier.

        Raises
        ------
        InputError
            If a modality is not in the collection, has another unit or comes under two names, or if a data set shares
            none with the others.
        """
        found = {member.id: self._places(member.id, cards[member.id]) for member in self.members}
        for name, here in found.items():
            others = {channel for other, there in found.items() if other != name for channel in there}
            if not others & set(here):
                raise InputError(
                    f"{self.name}: data set {name} shares no modality with the others, so nothing learned there is of "
                    "use for it; leave it out."
                )
        return found

    def _places(self, member: str, card: DataCard) -> dict[int, int]:
        places: dict[int, int] = {}
        for channel, own in enumerate(card.spec.modalities):
            matches = [i for i, each in enumerate(self.spec.modalities) if _shared(each, own)]
            if not matches:
                known = ", ".join(self.spec.names)
                raise InputError(f"{self.name}: {own.name} of data set {member} is none of {known}; add it there.")
            place = matches[0]
            if place in places:
                first = card.spec.names[places[place]]
                raise InputError(
                    f"{self.name}: {first} and {own.name} of data set {member} are both {self.spec.names[place]}; "
                    "one modality cannot come under two names."
                )
            here = self.modalities[place]
            if (own.unit, own.window) != (here.unit, here.window):
                theirs, ours = (f"{each.unit}, window {each.window}" for each in (own, here))
                raise InputError(
                    f"{self.name}: {own.name} of data set {member} is in {theirs}, but {here.name} of the collection "
                    f"in {ours}; they must agree."
                )
            places[place] = channel
        return places

    def kept(self, member: Member, subject: str, channels: list[int]) -> list[int]:
        """Which channels of the collection a subject of training keeps: all of its data set, or some by its name.

        Parameters
        ----------
        member
            The data set.
        subject
            Its name.
        channels
            Those that the data set has.
        """
        if member.at_least is None or member.at_least >= len(channels):
            return channels
        order = sorted(channels, key=lambda channel: hash_place(f"{self.name} {member.id} {subject} {channel}"))
        place = hash_place(f"{self.name} {member.id} {subject}")
        count = member.at_least + int(place * (len(channels) - member.at_least + 1))
        return sorted(order[:count])


def people(member: Member, card: DataCard) -> str:
    """Whose names the subjects of a data set bear, see `Member`."""
    if member.people is not None:
        return member.people
    return f"phantom {card.source.dataset_seed}" if isinstance(card.source, PhantomSource) else card.name


def find_collection(card: str | Path) -> Path | None:
    """Return the file of a collection given by path or by the name of a card in ``data_cards/collections/``.

    None if it is no collection: one names its members.
    """
    named = repository("data_cards", "collections", f"{card}.yaml")
    path = Path(card) if Path(card).is_file() else named
    if not path.is_file():
        return None
    content = read_yaml(path, object)
    return path if isinstance(content, dict) and "members" in content else None


def load_collection(card: str | Path) -> CollectionCard:
    """Read and validate a collection card, given by path or name.

    Raises
    ------
    InputError
        If it is missing, no YAML, or breaks the schema; the message names the file and each field.
    """
    path = find_collection(card)
    if path is None:
        known = ", ".join(sorted(p.stem for p in repository("data_cards", "collections").glob("*.yaml")))
        raise InputError(f"There is no collection {str(card)!r}; give a YAML file with members or one of: {known}.")
    return read_yaml(path, CollectionCard)


def _shared(one: Modality, other: Modality) -> str | None:
    """A name that both modalities answer to, or None."""
    spellings = (other.name, *other.aliases)
    return next((name for name in spellings if one.answers_to(name)), None) or next(
        (name for name in (one.name, *one.aliases) if other.answers_to(name)), None
    )
