"""A small network that outlines lesions, to see what completed images are good for: the U-Net of MONAI.

Needs the extra ``[segment]``. Explained in the chapter "Is it of use?".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from a2a.common.documents import validated
from a2a.common.errors import InputError
from a2a.common.units import to_model
from a2a.data.store.read import SliceStore
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.base import write_weights
from a2a.prior.weights import Description, filled, read_weights
from a2a.training.config import Augmentation, TrainConfig, Width
from a2a.training.objective import Objective

SLICES = 64
STRIDE = 8


class SegmenterConfig(TrainConfig):
    """Training of a network that outlines the labels of one map.

    Parameters
    ----------
    labels
        The label map, such as ``tumour``.
    without
        A modality that the network does not see, for what is left without it; empty for none.
    widths
        Channels of the four levels.
    mirrored
        Share of the slices that are shown as in a mirror, with their labels.
    """

    method: Literal["segmenter"] = "segmenter"
    labels: str
    without: str = ""
    widths: tuple[Width, Width, Width, Width] = (16, 32, 64, 96)
    mirrored: float = Field(0.5, ge=0, le=1)
    augmentation: Augmentation = Augmentation(flip=0.0)

    @model_validator(mode="after")
    def _labels_follow(self) -> "SegmenterConfig":
        if self.augmentation != Augmentation(flip=0.0):
            raise ValueError("augmentation: labels do not follow it; set flip: 0.0, and mirrored in its place")
        return self


class Outliner(nn.Module):
    """The U-Net of MONAI, and beside it the mean of the training stacks, with which a missing modality may be filled.

    Parameters
    ----------
    seen
        Modalities that it sees.
    classes
        Values of the labels.
    widths
        Channels of the levels.
    shape
        Of the mean, ``(n, H, W)``.

    Raises
    ------
    InputError
        If MONAI is not installed.
    """

    mean: Tensor

    def __init__(self, seen: int, classes: int, widths: tuple[int, ...], shape: tuple[int, int, int]):
        super().__init__()
        try:
            from monai.networks.nets.unet import UNet
        except ImportError:
            raise InputError("Segmentation needs MONAI, which is not installed: pip install 'a2a[segment]'.") from None
        self.unet = UNet(2, seen, classes, channels=widths, strides=(2, 2, 2), num_res_units=1)
        self.register_buffer("mean", torch.zeros(shape))

    def forward(self, images: Tensor) -> Tensor:
        """Return scores of each value, ``(B, classes, H, W)``, of images ``(B, seen, H, W)`` in [-1, 1]."""
        scores: Tensor = self.unet(images)
        return scores


def seen_channels(spec: StackSpec, without: str) -> list[int]:
    """Return the channels that a network sees that learned without a modality.

    Parameters
    ----------
    spec
        The modalities.
    without
        Name of one, or empty.

    Raises
    ------
    InputError
        If it is none of them.
    """
    hidden = spec.index(without) if without else -1
    return [i for i in range(len(spec)) if i != hidden]


def label_classes(store: SliceStore, name: str) -> int:
    """Return how many values a label map of a store has.

    Parameters
    ----------
    store
        With label maps.
    name
        Of the map.

    Raises
    ------
    InputError
        If there is none of that name; the message lists those there are.
    """
    maps = {found["name"]: found["values"] for found in store.label_maps}
    if name not in maps:
        raise InputError(f"labels: {store.path} has no label map {name!r}; it has {', '.join(maps) or 'none'}.")
    return 1 + max(map(int, maps[name]))


@dataclass(frozen=True, eq=False)
class SegmenterObjective(Objective):
    """Cross-entropy and Dice loss of MONAI over all slices."""

    config: SegmenterConfig
    file = "segmenter.safetensors"

    @cached_property
    def seen(self) -> list[int]:
        """Channels that the network sees."""
        return seen_channels(self.store.spec, self.config.without)

    @cached_property
    def classes(self) -> int:
        """Values of the labels."""
        return label_classes(self.store, self.config.labels)

    def networks(self) -> dict[str, nn.Module]:
        """Make the U-Net.

        Raises
        ------
        InputError
            If the slices cannot be halved three times, or the store lacks the label map.
        """
        if self.store.size % STRIDE:
            raise InputError(f"slices of side {self.store.size} do not fit, {STRIDE} must divide the side.")
        shape = (len(self.store.spec), self.store.size, self.store.size)
        network = Outliner(len(self.seen), self.classes, self.config.widths, shape)
        network.mean += torch.from_numpy(np.mean(self.store.split("train").images, axis=0, dtype=np.float64)).float()
        return {self.product: network}

    def _labels(self, split: str, rows: list[int]) -> Tensor:
        """Of some slices, int64 ``(B, H, W)``."""
        channel = [found["name"] for found in self.store.label_maps].index(self.config.labels)
        return torch.from_numpy(self.store.split(split).labels[rows, channel].astype(np.int64))

    def inputs(self, clean: Tensor, draws: list[torch.Generator], step: int) -> tuple[Tensor, ...]:
        """Images in the range of networks and labels, both mirrored or not."""
        if len(clean) != self.config.batch:
            raise InputError("devices: a segmenter is trained on one device.")
        labels = self._labels("train", self.rows(step, len(self.store.split("train"))))
        turned = torch.tensor([bool(torch.rand((), generator=draw) < self.config.mirrored) for draw in draws])
        images = torch.where(turned[:, None, None, None], clean.flip(-1), clean)
        return to_model(images[:, self.seen]), torch.where(turned[:, None, None], labels.flip(-1), labels)

    def loss(self, name: str, networks: Mapping[str, nn.Module], inputs: tuple[Tensor, ...]) -> Tensor:
        """Return the sum of both."""
        return self._loss(networks[name], *inputs)

    def _loss(self, network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        from monai.losses.dice import DiceCELoss

        measure = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)
        value: Tensor = measure(network(images).float(), labels[:, None])
        return value

    @torch.no_grad()
    def validation(self, network: nn.Module) -> float:
        """Return the loss of at most 64 slices."""
        images = self.store.split("val").images
        rows = np.unique(np.linspace(0, len(images) - 1, min(SLICES, len(images))).round().astype(int)).tolist()
        shown = to_model(torch.from_numpy(np.asarray(images[rows], np.float32)))[:, self.seen]
        device = next(network.parameters()).device
        return float(self._loss(network, shown.to(device), self._labels("val", rows).to(device)))

    def finished(self, network: nn.Module, card: dict[str, Any]) -> "Segmenter":
        """Wrap the network."""
        spec, size = self.store.spec, self.store.size
        return Segmenter(cast(Outliner, network.eval()), self.config, spec, size, self.classes, card)


class SegmenterDescription(Description):
    """What the JSON beside the weights of a segmenter says."""

    component: Literal["segmenter"]
    classes: int = Field(ge=2, le=256)
    config: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Segmenter:
    """A trained network that outlines lesions.

    Parameters
    ----------
    network
        In evaluation mode.
    config
        The run that trained it.
    spec, size
        The modalities, and the side of the slices.
    classes
        Values of the labels.
    card
        Model card.
    """

    network: Outliner
    config: SegmenterConfig
    spec: StackSpec
    size: int
    classes: int
    card: dict[str, Any] = field(default_factory=dict)

    @torch.no_grad()
    def outline(self, stacks: Tensor, batch: int = 32) -> np.ndarray:
        """Return the most likely label of each pixel, ``uint8 (N, H, W)``.

        Parameters
        ----------
        stacks
            ``(N, n, H, W)`` in image units.
        batch
            Slices computed together.

        Raises
        ------
        InputError
            If the stacks are of another shape, or NaN where the network looks.
        """
        if tuple(stacks.shape[1:]) != (len(self.spec), self.size, self.size):
            shape = (len(self.spec), self.size, self.size)
            raise InputError(f"stacks: the segmenter is for {shape}, got {tuple(stacks.shape[1:])}.")
        seen = seen_channels(self.spec, self.config.without)
        if not bool(stacks[:, seen].isfinite().all()):
            raise InputError("stacks: a modality that the segmenter looks at is missing.")
        parts = (self.network(to_model(part[:, seen].float())) for part in stacks.split(batch))
        return torch.cat([answer.argmax(dim=1) for answer in parts]).numpy().astype(np.uint8)

    def save(self, path: Path) -> None:
        """Write ``path`` (.safetensors) and beside it a JSON that describes it."""
        said = {"component": "segmenter", "classes": self.classes, "config": self.config.model_dump(mode="json")}
        write_weights(path, self.network, said | {"spec": self.spec.to_list(), "size": self.size, "card": self.card})

    @classmethod
    def load(cls, path: Path) -> "Segmenter":
        """Read what `save` wrote.

        Raises
        ------
        InputError
            If a file is missing or corrupt, or is no segmenter.
        """
        said, tensors = read_weights(path, SegmenterDescription, "a segmenter")
        config = validated(path.with_suffix(".json"), said.config, SegmenterConfig)
        spec = StackSpec(said.spec)
        seen, shape = len(spec) - bool(config.without), (len(spec), said.size, said.size)
        network = filled(path, lambda: Outliner(seen, said.classes, config.widths, shape), tensors, "segmenter")
        card = said.card.model_dump(mode="json", exclude_unset=True)
        return cls(network, config, spec, said.size, said.classes, card)
