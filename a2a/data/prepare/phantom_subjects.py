"""Subjects that the phantom generates: their whole volumes, scaled and cut to the slices of a stack."""

from dataclasses import asdict, dataclass

import numpy as np
from pydantic import ValidationError

from a2a.common.errors import InputError
from a2a.data.cards.card import DataCard
from a2a.data.phantom import PHANTOM_VERSION, PhantomConfig, generate_subject, slice_indices
from a2a.data.prepare.contact_sheets import sheet_png
from a2a.data.prepare.prepared import PreparedSubject
from a2a.data.volumes.normalisation import Normalisation


@dataclass(frozen=True)
class PhantomSubjects:
    """Synthetic subjects of a card, named by their numbers.

    Parameters
    ----------
    card
        The data card; its source must be of kind ``phantom``.
    config
        What the generator makes.
    planes
        Indices of the volume's planes that become slices.
    """

    card: DataCard
    config: PhantomConfig
    planes: tuple[int, ...]

    @classmethod
    def plan(cls, card: DataCard, profile: str, size: int) -> "PhantomSubjects":
        """Set the generator as the card and its profile say.

        Parameters
        ----------
        card
            The data card.
        profile
            Its profile.
        size
            Pixels of the training grid.

        Raises
        ------
        InputError
            If the generator has no such preset, size, or number of slices, or gives other modalities or labels than the
            card.
        """
        source = card.source
        values = {"preset": source.preset, "dz": source.dz_mm, "dataset_seed": source.dataset_seed, "size": size}
        try:
            config = PhantomConfig(**values)
        except ValidationError as error:
            fault = error.errors()[0]
            what = f"{fault['loc'][0]} {fault['input']!r}"
            raise InputError(f"The phantom of card {card.name} has no {what}: {fault['msg']}.") from error
        if config.names != card.spec.names:
            names = ", ".join(config.names)
            raise InputError(f"The modalities of card {card.name} must be those of its phantom: {names}.")
        lesions = sorted(config.kind.lesions.values())
        if card.labels and [sorted(filter(None, label.values)) for label in card.labels] != [lesions]:
            raise InputError(f"Card {card.name} must have one label map or none; its values are 0 and {lesions}.")
        planes = slice_indices(config.grid.planes, card.profile(profile).slices)
        return cls(card, config, tuple(map(int, planes)))

    @property
    def label_maps(self) -> list[dict]:
        """The card's label map of lesions, as JSON."""
        return [label.model_dump(mode="json") for label in self.card.labels]

    def inputs(self, subjects: list[str]) -> dict:
        """The version of the generator; what it makes follows from that and the card."""
        return {"phantom_version": PHANTOM_VERSION}

    def prepare(self, subject: str) -> PreparedSubject:
        """Generate one subject.

        Raises
        ------
        InputError
            If its name is no number.
        """
        if not subject.isdecimal():
            raise InputError(f"subjects of the phantom are numbers, not {subject!r}")
        made = generate_subject(self.config, int(subject))
        percentile = self.card.preprocessing.percentile
        scales = {m.name: Normalisation.fit(m, made.images[m.name], percentile) for m in self.card.spec}
        chosen = list(self.planes)
        images = np.stack([scale.forward(made.images[name])[chosen] for name, scale in scales.items()], axis=1)
        z_mm = made.planes[chosen].tolist()
        labels = made.lesion[chosen][:, None] if self.card.labels else None
        record = {
            "latents": made.latents,
            "normalisation": {name: asdict(scale) for name, scale in scales.items()},
            "volume_affine": made.affine.tolist(),
        }
        sheet = sheet_png(f"{self.card.title}: subject {subject}", self.card.spec, z_mm, images, labels)
        return PreparedSubject(subject, images.astype(np.float16), chosen, z_mm, record, sheet, labels=labels)
