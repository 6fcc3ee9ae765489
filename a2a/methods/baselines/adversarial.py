"""What mmGAN and mmResViT share: a generator that fills in a stack, and a selective discriminator.

Both judge only what was missing. Explained in the chapter "mmGAN".
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn

from a2a.methods.baselines.synthesis import (
    Synthesis,
    SynthesisConfig,
    draw_given,
    network_input,
    passed_through,
    validation_error,
)
from a2a.networks.patchgan import PatchDiscriminator
from a2a.training.config import Width
from a2a.training.objective import Objective


class AdversarialConfig(SynthesisConfig):
    """Losses and discriminator of a GAN for stacks.

    Parameters
    ----------
    pixel_weight, adversarial_weight
        Of the two losses of the generator.
    discriminator_widths
        Channels after each halving, see `a2a.networks.patchgan.PatchDiscriminator`.
    d_condition
        What the discriminator sees beside a stack: the ``masked_input`` of the generator, or, as in mm-gan, the whole
        ``truth``. Beside the truth it can tell any image made from nothing, however real, for it is not that one.
    uncond_pixel_loss
        Whether the pixel loss also counts where nothing was given.
    """

    pixel_weight: float = Field(ge=0)
    adversarial_weight: float = Field(ge=0)
    discriminator_widths: tuple[Width, ...] = Field((64, 128, 256, 512), min_length=1, max_length=10)
    d_condition: Literal["masked_input", "truth"] = "masked_input"
    uncond_pixel_loss: bool = True


def pixel_loss(answer: Tensor, truth: Tensor, given: Tensor, empty: bool = True) -> Tensor:
    """Mean absolute error of the missing modalities, averaged over modalities and then over slices.

    Parameters
    ----------
    answer, truth
        ``(b, n, H, W)``.
    given
        bool ``(b, n)``.
    empty
        Whether slices of which nothing is given count; if not, they count as 0.
    """
    missing = (~given).to(answer.dtype)
    share = missing / missing.sum(dim=1, keepdim=True)
    if not empty:
        share = share * given.any(dim=1, keepdim=True)
    return ((answer - truth).abs().mean(dim=(2, 3)) * share).sum(dim=1).mean()


def deception_loss(verdict: Tensor) -> Tensor:
    """How far the discriminator is from taking everything for real: the mean of (D - 1)^2, LSGAN."""
    return (verdict - 1).square().mean()


def selective_loss(real: Tensor, fake: Tensor, given: Tensor) -> Tensor:
    """Loss of the selective discriminator: 0.5 [mean (D(real) - 1)^2 + mean (D(fake) - a)^2].

    In a stack that the generator completed, the given modalities are real: the label of a patch map is 1 for them and
    0 for the others (Sharma and Hamarneh 2020, section III-C).

    Parameters
    ----------
    real, fake
        Patch maps ``(b, n, h, w)``.
    given
        bool ``(b, n)``, the availability a.
    """
    label = given[:, :, None, None].to(fake.dtype)
    return 0.5 * ((real - 1).square().mean() + (fake - label).square().mean())


A = TypeVar("A", bound=AdversarialConfig)


class Adversarial(Synthesis[A]):
    """A GAN for stacks, finished: its generator."""

    fill: ClassVar[float]

    @staticmethod
    def to_network(images: Tensor) -> Tensor:
        """Map [0, 1] to the range of the network."""
        return images

    @staticmethod
    def to_images(answer: Tensor) -> Tensor:
        """Map the range of the network to [0, 1]."""
        return answer

    def fill_in(self, images: Tensor, given: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Complete rows that may have different modalities given."""
        entered = network_input(self.to_network(images), given, self.fill, generators)
        return self.to_images(passed_through(self.network(entered), entered, given))


@dataclass(frozen=True, eq=False)
class GanObjective(Objective):
    """What all GANs here share: a generator and a discriminator in turns, the generator first.

    One without a discriminator learns by itself.
    """

    config: SynthesisConfig

    product: ClassVar[str] = "generator"

    @property
    @abstractmethod
    def method(self) -> type[Synthesis[Any]]:
        """What the finished generator becomes."""

    @abstractmethod
    def discriminator(self) -> nn.Module | None:
        """Make the discriminator, or None."""

    def networks(self) -> dict[str, nn.Module]:
        """Generator and, if there is one, discriminator."""
        generator = self.method.build(self.config, self.store.spec, self.store.size)
        discriminator = self.discriminator()
        return {"generator": generator} | ({"discriminator": discriminator} if discriminator else {})

    def optimiser(self, network: nn.Module) -> torch.optim.Optimizer:
        """Adam with betas (0.5, 0.999), customary for GANs."""
        return torch.optim.Adam(network.parameters(), lr=self.config.lr, betas=(0.5, 0.999))

    def validation(self, network: nn.Module) -> float:
        """Mean absolute error of missing modalities, see `a2a.methods.baselines.synthesis.validation_error`."""
        return validation_error(self.finished(network, {}), self.store.split("val"))

    def finished(self, network: nn.Module, card: dict[str, Any]) -> Synthesis[Any]:
        """Wrap the generator."""
        return self.method(network, self.config, self.store.spec, self.store.size, card)


@dataclass(frozen=True, eq=False)
class AdversarialObjective(GanObjective):
    """The scheme of mm-gan: the selective discriminator judges the newest answer of the generator."""

    config: AdversarialConfig

    @property
    @abstractmethod
    def method(self) -> type[Adversarial[Any]]:
        """What the finished generator becomes."""

    def discriminator(self) -> nn.Module:
        """Make the selective discriminator."""
        return PatchDiscriminator(len(self.store.spec), self.config.discriminator_widths)

    def inputs(self, clean: Tensor, draws: list[torch.Generator], step: int) -> tuple[Tensor, ...]:
        """Truth and input of the generator in the range of the network, and what is given."""
        truth = self.method.to_network(clean)
        given = draw_given(self.config, clean.shape[1], step, draws)
        return truth, network_input(truth, given, self.method.fill, draws), given

    def loss(self, name: str, networks: Mapping[str, nn.Module], inputs: tuple[Tensor, ...]) -> Tensor:
        """Pixel and adversarial loss of the generator, or the selective loss of the discriminator."""
        truth, entered, given, *rest = inputs
        condition = truth if self.config.d_condition == "truth" else entered
        with torch.set_grad_enabled(name == "generator"):
            answer = passed_through(self.answer(networks["generator"], entered, *rest).float(), entered, given)
        verdict = networks["discriminator"](answer, condition).float()
        if name == "discriminator":
            return selective_loss(networks["discriminator"](truth, condition).float(), verdict, given)
        pixels = pixel_loss(answer, truth, given, self.config.uncond_pixel_loss)
        return self.config.pixel_weight * pixels + self.config.adversarial_weight * deception_loss(verdict)

    def answer(self, generator: nn.Module, entered: Tensor, *more: Tensor) -> Tensor:
        """Run the generator; `more` is what `inputs` returned beyond the first three."""
        return generator(entered)
