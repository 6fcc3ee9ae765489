"""PMM-Synth: one model for several data sets that do not match, told which of them a slice is from.

Zhang et al. 2026 (arXiv 2602.19723): the Uni-Synth backbone with personalised feature modulation, batches of one kind
(`a2a.training.batches.consistent_rows`), and losses only where there is truth. Their backbone is published in outline;
see `a2a.networks.pmmsynth` for what is ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from a2a.common.errors import InputError
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.adversarial import deception_loss
from a2a.methods.baselines.collections import CollectionConfig, CollectionMethod, CollectionObjective, require_sources
from a2a.methods.baselines.synthesis import by_scenario
from a2a.methods.registry import method
from a2a.networks.image_discriminator import ImageDiscriminator, ModalityDiscriminators
from a2a.networks.pmmsynth import LEVELS, UniSynth
from a2a.training.config import Width


class PMMSynthConfig(CollectionConfig):
    """A run of PMM-Synth; the defaults are the published weights, and widths of ours.

    Parameters
    ----------
    width
        Channels of the finest level.
    personal
        Whether the blocks are told the data set; without, it is their ablation "w/o PFM".
    discriminator_widths
        Channels after each halving.
    pixel_weight, own_weight, adversarial_weight
        Of the mean absolute errors of targets and of sources, and of LSGAN, each summed over modalities.

    Notes
    -----
    The authors' learning rate is constant for 50 epochs of 200 and then falls linearly; here it follows the cosine of
    all runs.
    """

    method: Literal["pmmsynth"] = "pmmsynth"
    width: Width = 32
    personal: bool = True
    discriminator_widths: tuple[Width, ...] = Field((64, 128, 256), min_length=1, max_length=10)
    pixel_weight: float = Field(100.0, ge=0)
    own_weight: float = Field(30.0, ge=0)
    adversarial_weight: float = Field(1.0, ge=0)
    lr: float = Field(2e-4, gt=0)
    warmup: int = Field(1, ge=1)
    clip: float = Field(1e6, gt=0)


PMMSynthConfig.model_rebuild()


def selective_error(answer: Tensor, truth: Tensor, chosen: Tensor) -> Tensor:
    """Sum of the mean absolute errors of some modalities; the others have no part in it and no gradient.

    Parameters
    ----------
    answer, truth
        ``(B, n, H, W)``; the truth may hold anything where it is not chosen.
    chosen
        bool ``(n,)``.
    """
    return (answer[:, chosen] - truth[:, chosen]).abs().mean(dim=(0, 2, 3)).sum()


class PMMSynthObjective(CollectionObjective):
    """Training of PMM-Synth: 100 L1 of targets + 30 L1 of sources + LSGAN of targets, where there is truth."""

    config: PMMSynthConfig

    @property
    def method(self) -> type["PMMSynth"]:
        """`PMMSynth`."""
        return PMMSynth

    def discriminator(self) -> nn.Module:
        """Make a discriminator for each modality."""
        widths = self.config.discriminator_widths
        return ModalityDiscriminators(len(self.store.spec), lambda: ImageDiscriminator(widths))

    def loss(self, name: str, networks: Mapping[str, nn.Module], inputs: tuple[Tensor, ...]) -> Tensor:
        """Loss of the generator, or LSGAN of the discriminators of the targets."""
        truth, available, sources, dataset = inputs[0], inputs[1][0], inputs[2][0], inputs[3]
        require_sources(available, sources)
        there, given, asked = (mask.nonzero().flatten().tolist() for mask in (available, sources, available & ~sources))
        with torch.set_grad_enabled(name == "generator"):
            made = networks["generator"](truth, given, dataset, there).float()
        answer = torch.zeros_like(truth).index_copy(1, torch.tensor(there, device=truth.device), made)
        verdict = networks["discriminator"](answer, asked).float()
        if name == "discriminator":
            real = networks["discriminator"](truth, asked).float()
            return (verdict.square() + (real - 1).square()).mean(dim=(0, 2, 3)).sum()
        c = self.config
        pixels = c.pixel_weight * selective_error(answer, truth, available & ~sources)
        pixels = pixels + c.own_weight * selective_error(answer, truth, sources)
        return pixels + c.adversarial_weight * len(asked) * deception_loss(verdict)


@method
@dataclass(frozen=True, eq=False)
class PMMSynth(CollectionMethod[PMMSynthConfig]):
    """PMM-Synth with trained weights: one pass completes a stack of the data set that it is told."""

    name: ClassVar[str] = "pmmsynth"
    fill: ClassVar[float] = 0.0
    Config: ClassVar[type[PMMSynthConfig]] = PMMSynthConfig
    Objective: ClassVar[type[PMMSynthObjective]] = PMMSynthObjective

    @classmethod
    def build(cls, config: PMMSynthConfig, spec: StackSpec, size: int) -> nn.Module:
        """Make the generator.

        Raises
        ------
        InputError
            If the slices cannot be halved twice.
        """
        if size % 2 ** (LEVELS - 1):
            raise InputError(f"slices of side {size} do not fit pmmsynth, {2 ** (LEVELS - 1)} must divide the side.")
        return UniSynth(len(spec), config.width, config.personal)

    def fill_in(self, images: Tensor, given: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Complete rows of one data set."""
        everything, number = range(len(self.spec)), self.number

        def answer(rows: Tensor, sources: list[int]) -> Tensor:
            dataset = torch.full((len(rows),), number, device=rows.device)
            return self.network(rows, sources, dataset, everything).float()

        return by_scenario(answer, images, given)
