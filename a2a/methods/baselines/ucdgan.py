"""UcDGAN after Liu et al. 2021, details ours: one encoder for all modalities, one decoder told which image to make.

Liu, Xing, El Fakhri and Woo, ISBI 2021 (arXiv 2101.05434), publish an outline and no code: an encoder that does not
know the modality, a decoder that is told the target, adversarial training with a cycle. Layers, losses and weights here
are our reading. It translates one image at a time; of several given images the translations are averaged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from a2a.common.errors import InputError
from a2a.common.units import to_image, to_model
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.adversarial import GanObjective, deception_loss
from a2a.methods.baselines.synthesis import GivenConfig, Synthesis, by_scenario
from a2a.methods.registry import method
from a2a.networks.image_discriminator import ImageDiscriminator
from a2a.networks.translator import STRIDE, Translator, told
from a2a.training.config import Count, Width


class UcDGANConfig(GivenConfig):
    """A run of UcDGAN; sizes and weights are our reading.

    Parameters
    ----------
    width, blocks
        See `a2a.networks.translator.Translator`.
    discriminator_widths
        Channels after each halving.
    pixel_weight, cycle_weight, feature_weight, adversarial_weight
        Of the mean absolute errors of the translation, of the translation back and of the features of source and
        target, and of LSGAN.
    curriculum
        None: each slice is translated from one modality to one other, both drawn.
    """

    method: Literal["ucdgan"] = "ucdgan"
    width: Width = 64
    blocks: Count = 6
    discriminator_widths: tuple[Width, ...] = Field((64, 128, 256), min_length=1, max_length=10)
    pixel_weight: float = Field(10.0, ge=0)
    cycle_weight: float = Field(10.0, ge=0)
    feature_weight: float = Field(1.0, ge=0)
    adversarial_weight: float = Field(1.0, ge=0)
    curriculum: Literal["none"] = "none"
    batch: int = Field(8, ge=1)
    lr: float = Field(2e-4, gt=0)
    warmup: int = Field(1, ge=1)
    clip: float = Field(1e6, gt=0)


UcDGANConfig.model_rebuild()


def picked(stack: Tensor, channels: Tensor) -> Tensor:
    """Return one modality of each row: ``(B, 1, H, W)`` from stacks ``(B, n, H, W)`` and channels ``(B,)``."""
    return stack[torch.arange(len(stack), device=stack.device), channels][:, None]


class UcDGANObjective(GanObjective):
    """Training of UcDGAN: LSGAN + 10 L1 of the target + 10 L1 of the cycle + L1 between the features of both images."""

    config: UcDGANConfig

    @property
    def method(self) -> type["UcDGAN"]:
        """`UcDGAN`."""
        return UcDGAN

    def networks(self) -> dict[str, nn.Module]:
        """Generator and discriminator.

        Raises
        ------
        InputError
            If there is one modality only.
        """
        if len(self.store.spec) < 2:
            raise InputError("ucdgan translates one modality to another; the data have only one.")
        return super().networks()

    def discriminator(self) -> nn.Module:
        """Make the discriminator, which is told the modality."""
        norm = nn.BatchNorm2d
        return ImageDiscriminator(self.config.discriminator_widths, 1 + len(self.store.spec), norm=norm)

    def inputs(self, clean: Tensor, draws: list[torch.Generator], step: int) -> tuple[Tensor, ...]:
        """Truth in [-1, 1], and source and target of each slice, which differ."""
        drawn = torch.stack([torch.randperm(clean.shape[1], generator=draw)[:2] for draw in draws])
        return to_model(clean), drawn[:, 0], drawn[:, 1]

    def loss(self, name: str, networks: Mapping[str, nn.Module], inputs: tuple[Tensor, ...]) -> Tensor:
        """Loss of the generator, or LSGAN of the discriminator."""
        truth, source, target = inputs
        generator, given, wanted = cast(Translator, networks["generator"]), picked(truth, source), picked(truth, target)
        judged = lambda images: networks["discriminator"](  # noqa: E731
            torch.cat([images, told(target, truth.shape[1], images)], dim=1)
        ).float()
        if name == "discriminator":
            with torch.no_grad():
                answer = generator(given, target).float()
            return 0.5 * (deception_loss(judged(wanted)) + judged(answer).square().mean())
        features = generator.encoded(given)
        answer = generator.decoded(features, target).float()
        back = generator(answer, source).float()
        c, distance = self.config, nn.functional.l1_loss
        pixels = c.pixel_weight * distance(answer, wanted) + c.cycle_weight * distance(back, given)
        alike = c.feature_weight * distance(features.float(), generator.encoded(wanted).float())
        return pixels + alike + c.adversarial_weight * deception_loss(judged(answer))


@method
@dataclass(frozen=True, eq=False)
class UcDGAN(Synthesis[UcDGANConfig]):
    """UcDGAN with trained weights, after Liu et al. 2021, details ours: the mean of translations of what is given."""

    name: ClassVar[str] = "ucdgan"
    fill: ClassVar[str] = "absent"
    Config: ClassVar[type[UcDGANConfig]] = UcDGANConfig
    Objective: ClassVar[type[UcDGANObjective]] = UcDGANObjective

    @classmethod
    def build(cls, config: UcDGANConfig, spec: StackSpec, size: int) -> nn.Module:
        """Make the generator.

        Raises
        ------
        InputError
            If the slices cannot be halved twice.
        """
        if size % STRIDE:
            raise InputError(f"slices of side {size} do not fit ucdgan, {STRIDE} must divide the side.")
        return Translator(len(spec), config.width, config.blocks)

    def fill_in(self, images: Tensor, given: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Complete rows; the mean over the given images of what each is translated to."""
        return to_image(by_scenario(self._translated, to_model(images), given))

    def _translated(self, stack: Tensor, sources: list[int]) -> Tensor:
        """Translate each source to all modalities but those given, and average."""
        answer, everyone = torch.zeros_like(stack), range(stack.shape[1])
        network = cast(Translator, self.network)
        features = [network.encoded(stack[:, i : i + 1]) for i in sources]
        for target in set(everyone) - set(sources):
            channel = torch.full((len(stack),), target, device=stack.device)
            parts = [network.decoded(each, channel) for each in features]
            answer[:, target] = torch.stack(parts).mean(dim=0)[:, 0].to(answer)
        return answer
