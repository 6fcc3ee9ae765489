"""pFLSynth: a ResNet that translates one image, personalised by site, source and target.

Dalmaz et al., Medical Image Analysis 2024 (github.com/icon-lab/pFLSynth), trained centrally, as PMM-Synth's authors do.
Theirs has a discriminator for each of a site's two tasks; here all pairs of modalities are tasks, with one for all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from a2a.common.errors import InputError
from a2a.common.units import to_image, to_model
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.adversarial import deception_loss
from a2a.methods.baselines.collections import TranslationConfig, TranslationMethod, TranslationObjective
from a2a.methods.registry import method
from a2a.networks.image_discriminator import ImageDiscriminator
from a2a.networks.personal import STRIDE, PersonalResNet
from a2a.training.config import Count, Width


class PFLSynthConfig(TranslationConfig):
    """A run of pFLSynth; the defaults are the published size and weights.

    Parameters
    ----------
    width, blocks, latent, layers, dropout
        See `a2a.networks.personal.PersonalResNet`.
    discriminator_widths, discriminator_last
        Channels after each halving, and of one more convolution at that size.
    pixel_weight, adversarial_weight
        Of the mean absolute error and of LSGAN.
    """

    method: Literal["pflsynth"] = "pflsynth"
    width: Width = 64
    blocks: Count = 9
    latent: Width = 512
    layers: Count = 6
    dropout: float = Field(0.5, ge=0, lt=1)
    discriminator_widths: tuple[Width, ...] = Field((64, 128, 256), min_length=1, max_length=10)
    discriminator_last: Width = 512
    pixel_weight: float = Field(100.0, ge=0)
    adversarial_weight: float = Field(1.0, ge=0)
    batch: int = Field(8, ge=1)
    lr: float = Field(2e-4, gt=0)
    warmup: int = Field(1, ge=1)
    clip: float = Field(1e6, gt=0)


PFLSynthConfig.model_rebuild()


class PFLSynthObjective(TranslationObjective):
    """Training of pFLSynth: 100 L1 + LSGAN."""

    config: PFLSynthConfig

    @property
    def method(self) -> type["PFLSynth"]:
        """`PFLSynth`."""
        return PFLSynth

    def discriminator(self) -> nn.Module:
        """Make the discriminator, which sees the source beside the answer."""
        widths, flat = self.config.discriminator_widths, (self.config.discriminator_last,)
        return ImageDiscriminator(widths, 2, norm=nn.BatchNorm2d, flat=flat)

    def loss(self, name: str, networks: Mapping[str, nn.Module], inputs: tuple[Tensor, ...]) -> Tensor:
        """Loss of the generator or of the discriminator."""
        image, wanted, *told = inputs
        image, wanted = to_model(image), to_model(wanted)
        with torch.set_grad_enabled(name == "generator"):
            answer = networks["generator"](image, *told).float()
        verdict = networks["discriminator"](torch.cat([image, answer], dim=1)).float()
        if name == "discriminator":
            real = networks["discriminator"](torch.cat([image, wanted], dim=1)).float()
            return 0.5 * (deception_loss(real) + verdict.square().mean())
        pixels = self.config.pixel_weight * (answer - wanted).abs().mean()
        return pixels + self.config.adversarial_weight * deception_loss(verdict)


@method
@dataclass(frozen=True, eq=False)
class PFLSynth(TranslationMethod[PFLSynthConfig]):
    """pFLSynth with trained weights: translates one image to each other modality of the data set that it is told."""

    name: ClassVar[str] = "pflsynth"
    fill: ClassVar[str] = "absent"
    Config: ClassVar[type[PFLSynthConfig]] = PFLSynthConfig
    Objective: ClassVar[type[PFLSynthObjective]] = PFLSynthObjective

    @classmethod
    def build(cls, config: PFLSynthConfig, spec: StackSpec, size: int) -> nn.Module:
        """Make the generator.

        Raises
        ------
        InputError
            If the slices cannot be halved twice.
        """
        if size % STRIDE:
            raise InputError(f"slices of side {size} do not fit pflsynth, {STRIDE} must divide the side.")
        c = config
        return PersonalResNet(c.sites, len(spec), c.width, c.blocks, c.latent, c.layers, c.dropout)

    @staticmethod
    def to_network(images: Tensor) -> Tensor:
        """Map [0, 1] to [-1, 1]."""
        return to_model(images)

    @staticmethod
    def to_images(answer: Tensor) -> Tensor:
        """Map [-1, 1] to [0, 1]."""
        return to_image(answer)
