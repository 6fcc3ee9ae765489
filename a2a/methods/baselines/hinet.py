"""Hi-Net: features of each given modality, fused level by level, against a discriminator of single images.

Zhou et al., IEEE TMI 2020 (github.com/taozh2017/HiNet), who make one image from two. Here any modalities are given and
all others made: the fusion block takes sum, product and maximum over what is there, the fusion stream has one channel
for each modality, and so each has a discriminator of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from a2a.common.errors import InputError
from a2a.common.units import to_image, to_model
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.adversarial import GanObjective, deception_loss, pixel_loss
from a2a.methods.baselines.synthesis import GivenConfig, Synthesis, by_scenario, draw_given
from a2a.methods.registry import method
from a2a.networks.hinet import LEVELS, HiNet
from a2a.networks.image_discriminator import ImageDiscriminator, ModalityDiscriminators
from a2a.training.config import Width


class HiNetConfig(GivenConfig):
    """A run of Hi-Net; the defaults are the published size and loss weights.

    Parameters
    ----------
    width
        Channels of the finest level.
    discriminator_widths
        Channels after each halving, see `a2a.networks.image_discriminator.ImageDiscriminator`.
    pixel_weight, own_weight, adversarial_weight
        Of the mean absolute error of missing modalities, of the given ones decoded from their own features, and of
        LSGAN.

    Notes
    -----
    The code says a learning rate of 1e-3 that falls to zero linearly after 100 of 400 epochs; here it follows the
    cosine of all runs. The authors cut patches of 128 x 128 and average them; here whole slices are used.
    """

    method: Literal["hinet"] = "hinet"
    width: Width = 32
    discriminator_widths: tuple[Width, ...] = Field((32, 64, 128, 256), min_length=1, max_length=10)
    pixel_weight: float = Field(100.0, ge=0)
    own_weight: float = Field(20.0, ge=0)
    adversarial_weight: float = Field(1.0, ge=0)
    batch: int = Field(8, ge=1)
    lr: float = Field(1e-3, gt=0)
    warmup: int = Field(1, ge=1)
    clip: float = Field(1e6, gt=0)


HiNetConfig.model_rebuild()


class HiNetObjective(GanObjective):
    """Training of Hi-Net: 100 L1 of what was missing + 20 L1 of what was given, decoded + LSGAN."""

    config: HiNetConfig

    @property
    def method(self) -> type["HiNetMethod"]:
        """`HiNetMethod`."""
        return HiNetMethod

    def discriminator(self) -> nn.Module:
        """Make a discriminator for each modality."""
        widths = self.config.discriminator_widths
        make = lambda: ImageDiscriminator(widths, kernel=3, norm=nn.BatchNorm2d)  # noqa: E731
        return ModalityDiscriminators(len(self.store.spec), make)

    def inputs(self, clean: Tensor, draws: list[torch.Generator], step: int) -> tuple[Tensor, ...]:
        """Truth in [-1, 1], and what is given, the same in each row."""
        return to_model(clean), draw_given(self.config, clean.shape[1], step, draws)

    def loss(self, name: str, networks: Mapping[str, nn.Module], inputs: tuple[Tensor, ...]) -> Tensor:
        """Loss of the generator, or LSGAN of the discriminators of missing modalities."""
        truth, given = inputs
        sources, targets = ((given[0] == there).nonzero().flatten().tolist() for there in (True, False))
        with torch.set_grad_enabled(name == "generator"):
            answer, own = (part.float() for part in networks["generator"](truth, sources))
        verdict = networks["discriminator"](answer, targets).float()
        if name == "discriminator":
            real = networks["discriminator"](truth, targets).float()
            return 0.5 * (deception_loss(real) + verdict.square().mean())
        rebuilt = (own - truth[:, sources]).abs().mean()
        pixels = self.config.pixel_weight * pixel_loss(answer, truth, given) + self.config.own_weight * rebuilt
        return pixels + self.config.adversarial_weight * deception_loss(verdict)


@method
@dataclass(frozen=True, eq=False)
class HiNetMethod(Synthesis[HiNetConfig]):
    """Hi-Net with trained weights: one pass through the generator completes a stack."""

    name: ClassVar[str] = "hinet"
    fill: ClassVar[str] = "absent"
    Config: ClassVar[type[HiNetConfig]] = HiNetConfig
    Objective: ClassVar[type[HiNetObjective]] = HiNetObjective

    @classmethod
    def build(cls, config: HiNetConfig, spec: StackSpec, size: int) -> nn.Module:
        """Make the generator.

        Raises
        ------
        InputError
            If the slices cannot be halved three times.
        """
        if size % 2**LEVELS:
            raise InputError(f"slices of side {size} do not fit Hi-Net, {2**LEVELS} must divide the side.")
        return HiNet(len(spec), len(spec), config.width)

    def fill_in(self, images: Tensor, given: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Complete rows; a missing modality is never looked at."""
        return to_image(by_scenario(lambda rows, sources: self.network(rows, sources)[0], to_model(images), given))
