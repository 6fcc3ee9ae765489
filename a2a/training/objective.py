"""What a training run learns, as the loop sees it: networks, their inputs, and the losses of one step.

The prior has one network and one loss; a GAN has a generator and a discriminator, which take turns. Explained in the
chapter "The diffusion prior".
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from a2a.data.store.read import SliceStore
from a2a.training.batches import rows_of_step
from a2a.training.config import TrainConfig


class Trained(Protocol):
    """What a finished run writes: a prior or a method."""

    def save(self, path: Path) -> None:
        """Write the weights (.safetensors) and beside them their JSON."""


@dataclass(frozen=True, eq=False)
class Objective(ABC):
    """Networks, inputs and losses of a run; has no state, so that a step depends on its number alone.

    Parameters
    ----------
    config
        The run.
    store
        Slices in [0, 1]; splits ``train`` and ``val``.
    """

    config: TrainConfig
    store: SliceStore

    product: ClassVar[str] = "network"
    """Name of the network that is averaged, validated and, in the end, written."""

    file: ClassVar[str] = "method.safetensors"
    """Name of the weights file in the folder of the run."""

    incomplete: ClassVar[bool] = False
    """Whether it learns from subjects that lack modalities, see `a2a.data.cards.collection`."""

    @abstractmethod
    def networks(self) -> dict[str, nn.Module]:
        """Make the networks in the order in which a step updates them; the loop has seeded their initial weights."""

    def optimiser(self, network: nn.Module) -> torch.optim.Optimizer:
        """Make the optimiser of one network; the loop sets its learning rate at each step."""
        return torch.optim.AdamW(network.parameters(), lr=self.config.lr, weight_decay=0.0, fused=True)

    def rows(self, step: int, slices: int) -> list[int]:
        """Numbers of the ``config.batch`` training slices of a step."""
        return rows_of_step(self.config.seed, step, self.config.batch, slices)

    def read(self, images: np.ndarray, row: int) -> Tensor:
        """Read a training slice ``(n, H, W)``, or several that go together ``(k, n, H, W)``.

        Parameters
        ----------
        images
            Of the split ``train``.
        row
            Number of the slice.
        """
        return torch.from_numpy(np.asarray(images[row], dtype=np.float32))

    @abstractmethod
    def inputs(self, clean: Tensor, draws: list[torch.Generator], step: int) -> tuple[Tensor, ...]:
        """Make what the losses need, tensors with one row for each slice; runs in a reading process.

        Parameters
        ----------
        clean
            Augmented slices ``(b, n, H, W)`` in [0, 1], or what else `read` gave: this device's share of the step.
        draws
            One generator for each slice. What a whole step shares is drawn from ``generator(seed, purpose, step)``.
        step
            Number of the step, from 0, for curricula.
        """

    @abstractmethod
    def loss(self, name: str, networks: Mapping[str, nn.Module], inputs: tuple[Tensor, ...]) -> Tensor:
        """Return the loss that updates the network `name`; the others are frozen meanwhile.

        Called under autocast, so what a network returns may be bfloat16. Random numbers of the networks themselves
        (dropout) come from torch's global generator, which the loop seeds at each step.

        Parameters
        ----------
        name
            Of the network that is updated.
        networks
            All networks by name.
        inputs
            What `inputs` returned.
        """

    @abstractmethod
    def validation(self, network: nn.Module) -> float:
        """Return the error of the (averaged) product on fixed slices and draws of the split ``val``."""

    @abstractmethod
    def finished(self, network: nn.Module, card: dict) -> Trained:
        """Wrap the product with its model card, ready to be saved."""
