"""A small network that tells tissues apart in any one modality, whose features compare sets of images: dFD.

It learns from real images alone, needs no download, and is the same for all methods. Explained in the chapter
"Unconditional samples".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from a2a.common.documents import validated
from a2a.common.errors import InputError
from a2a.common.progress import progress
from a2a.common.units import to_model
from a2a.data.cards.card import load_card
from a2a.data.cards.parts import PhantomSource
from a2a.data.phantom.config import PhantomConfig
from a2a.data.phantom.subject import Case
from a2a.data.phantom.tissue import GROUPS, group_of_class
from a2a.data.store.read import Split
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.base import write_weights
from a2a.networks.plain import PixelNorm, PlainBlock
from a2a.prior.weights import Description, filled, read_weights
from a2a.training.config import TrainConfig, Width
from a2a.training.objective import Objective
from a2a.training.validation import chosen_rows

BATCH = 64


class TissuesConfig(TrainConfig):
    """Training of a network that tells tissues apart.

    Parameters
    ----------
    widths
        Channels of its levels; the last are the features.
    """

    method: Literal["tissues"] = "tissues"
    widths: tuple[Width, ...] = Field((32, 64, 128, 128), min_length=1, max_length=8)


class TissueNetwork(nn.Module):
    """A U-Net from an image ``(B, 1, H, W)`` in [-1, 1] to scores of the groups of tissues, ``(B, groups, H, W)``.

    Parameters
    ----------
    widths
        Channels of the levels; each further one halves the resolution.
    """

    def __init__(self, widths: tuple[int, ...]):
        super().__init__()
        self.head = nn.Conv2d(1, widths[0], 3, padding=1)
        self.down = nn.ModuleList(PlainBlock(width, width) for width in widths)
        self.halve = nn.ModuleList(nn.Conv2d(fine, coarse, 2, 2) for fine, coarse in pairwise(widths))
        self.widen = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in pairwise(widths))
        self.up = nn.ModuleList(PlainBlock(2 * width, width) for width in widths[:-1])
        self.tail = nn.Sequential(PixelNorm(widths[0]), nn.SiLU(), nn.Conv2d(widths[0], len(GROUPS), 1))

    def encoded(self, images: Tensor) -> list[Tensor]:
        """Return the feature maps of all levels, finest first."""
        maps, h = [], self.head(images)
        for block, halve in zip(self.down, [*self.halve, nn.Identity()], strict=True):
            maps.append(block(h))
            h = halve(maps[-1])
        return maps

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores."""
        *kept, h = self.encoded(images)
        for widen, block in reversed(list(zip(self.widen, self.up, strict=True))):
            h = block(torch.cat([F.interpolate(widen(h), scale_factor=2, mode="nearest"), kept.pop()], dim=1))
        scores: Tensor = self.tail(h)
        return scores


@lru_cache(maxsize=512)
def _groups_of(config: PhantomConfig, subject: int) -> np.ndarray:
    """Group of tissue in each voxel of a subject of the phantom, uint8 ``(planes, H, W)``."""
    return group_of_class()[Case.build(config, subject).maps.labels]


@dataclass(frozen=True, eq=False)
class TissuesObjective(Objective):
    """Cross-entropy of the groups of tissues, each slice shown in one modality at random."""

    config: TissuesConfig
    file = "tissues.safetensors"

    @cached_property
    def phantom(self) -> PhantomConfig:
        """The generator of the slices.

        Raises
        ------
        InputError
            If they are none of the phantom's.
        """
        source = load_card(self.store.said("card")).source
        if not isinstance(source, PhantomSource):
            raise InputError(f"{self.store.path}: only of the phantom is it known which tissue a pixel is.")
        values = {"preset": source.preset, "dz": source.dz_mm, "dataset_seed": source.dataset_seed}
        return PhantomConfig(**values, size=self.store.size)

    def _labels(self, split: Split, rows: list[int]) -> Tensor:
        """Of some slices, int64 ``(B, H, W)``."""
        of = zip(split.subjects[rows], split.planes[rows], strict=True)
        return torch.from_numpy(np.stack([_groups_of(self.phantom, int(who))[plane] for who, plane in of])).long()

    def networks(self) -> dict[str, nn.Module]:
        """Make the network, and the tissues of all training subjects.

        Raises
        ------
        InputError
            If the slices cannot be halved often enough.
        """
        stride = 2 ** (len(self.config.widths) - 1)
        if self.store.size % stride:
            raise InputError(f"slices of side {self.store.size} do not fit, {stride} must divide the side.")
        for subject in progress(np.unique(self.store.split("train").subjects), "tissues of the subjects"):
            _groups_of(self.phantom, int(subject))
        return {self.product: TissueNetwork(self.config.widths)}

    def inputs(self, clean: Tensor, draws: list[torch.Generator], step: int) -> tuple[Tensor, ...]:
        """Images of one modality each, and the groups of their pixels; mirrored together."""
        if len(clean) != self.config.batch:
            raise InputError("devices: this network is trained on one device.")
        split = self.store.split("train")
        labels = self._labels(split, self.rows(step, len(split)))
        shown = [image[int(torch.randint(len(image), (), generator=d))] for image, d in zip(clean, draws, strict=True)]
        turned = torch.tensor([bool(torch.rand((), generator=draw) < 0.5) for draw in draws])[:, None, None]
        images = torch.stack(shown)
        return to_model(torch.where(turned, images.flip(-1), images))[:, None], torch.where(
            turned, labels.flip(-1), labels
        )

    def loss(self, name: str, networks: Mapping[str, nn.Module], inputs: tuple[Tensor, ...]) -> Tensor:
        """Return the cross-entropy."""
        images, labels = inputs
        return F.cross_entropy(networks[name](images).float(), labels)

    @torch.no_grad()
    def validation(self, network: nn.Module) -> float:
        """Return one minus the mean Dice of the groups over slices and modalities."""
        split = self.store.split("val")
        rows = chosen_rows(len(split)).tolist()
        labels, device = F.one_hot(self._labels(split, rows), len(GROUPS)), next(network.parameters()).device
        images = to_model(torch.from_numpy(np.asarray(split.images[rows], np.float32)))
        dice = []
        for channel in range(images.shape[1]):
            scores = [network(part.to(device)).cpu() for part in images[:, channel, None].split(BATCH)]
            found = F.one_hot(torch.cat(scores).argmax(dim=1), len(GROUPS))
            both, sizes = (found * labels).sum(dim=(0, 1, 2)), (found + labels).sum(dim=(0, 1, 2))
            dice.append((2 * both / sizes.clamp_min(1))[sizes > 0].mean())
        return 1 - float(torch.stack(dice).mean())

    def finished(self, network: nn.Module, card: dict[str, Any]) -> "Tissues":
        """Wrap the network."""
        return Tissues(network, self.config, self.store.spec, self.store.size, card)  # type: ignore[arg-type]


class TissuesDescription(Description):
    """What the JSON beside its weights says."""

    component: Literal["tissues"]
    config: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Tissues:
    """A trained network that tells tissues apart.

    Parameters
    ----------
    network
        The network.
    config
        The run that trained it.
    spec, size
        The modalities that it was shown, and the side of the slices.
    card
        Model card.
    """

    network: TissueNetwork
    config: TissuesConfig
    spec: StackSpec
    size: int
    card: dict[str, Any] = field(default_factory=dict)

    @torch.no_grad()
    def features(self, images: np.ndarray) -> np.ndarray:
        """Return the means of the coarsest feature maps, float64 ``(N, widths[-1])``.

        Parameters
        ----------
        images
            Slices of one modality, ``(N, H, W)`` in image units.

        Raises
        ------
        InputError
            If they are of another size.
        """
        if images.shape[1:] != (self.size, self.size):
            raise InputError(f"images: the network is for sides of {self.size}, got {images.shape[1:]}.")
        parts = to_model(torch.from_numpy(np.asarray(images, np.float32)))[:, None].split(BATCH)
        return torch.cat([self.network.encoded(part)[-1].mean(dim=(2, 3)) for part in parts]).double().numpy()

    def save(self, path: Path, dtype: torch.dtype = torch.float32) -> None:
        """Write ``path`` (.safetensors) and beside it a JSON that describes it."""
        said = {"component": "tissues", "config": self.config.model_dump(mode="json"), "card": self.card}
        write_weights(path, self.network, said | {"spec": self.spec.to_list(), "size": self.size}, dtype)

    @classmethod
    def load(cls, path: Path) -> "Tissues":
        """Read what `save` wrote.

        Raises
        ------
        InputError
            If a file is missing or corrupt, or is of something else.
        """
        said, tensors = read_weights(path, TissuesDescription, "a network of tissues")
        config = validated(path.with_suffix(".json"), said.config, TissuesConfig)
        network = filled(path, lambda: TissueNetwork(config.widths), tensors, "network")
        return cls(
            network, config, StackSpec(said.spec), said.size, said.card.model_dump(mode="json", exclude_unset=True)
        )
