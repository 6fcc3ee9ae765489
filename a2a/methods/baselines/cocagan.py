"""CocaGAN, a common-space GAN after Huang et al. 2019, details ours.

Huang et al., MICCAI 2019, publish an outline and no code: features of all modalities in one common space, learned with
adversarial and context-aware losses in 3D, and decoded to what is missing. Here the networks are those of MM-SYN on
slices; in place of the variance of the latents a discriminator tries to name the modality that a latent came from, and
the encoders learn to leave it in doubt. The context is that of lesions, which would weigh the error; the training of
this project reads images only, so the weight is 1 everywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from a2a.methods.baselines.adversarial import GanObjective
from a2a.methods.baselines.mmsyn import CommonSpace, CommonSpaceConfig, decoding_error
from a2a.methods.registry import method
from a2a.networks.image_discriminator import SourceClassifier
from a2a.training.config import Width


class CocaGANConfig(CommonSpaceConfig):
    """A run of CocaGAN; sizes and weights are our reading.

    Parameters
    ----------
    discriminator_widths
        Channels after each halving, see `a2a.networks.image_discriminator.SourceClassifier`.
    adversarial_weight
        Of the doubt about where a latent came from, beside the sum of mean absolute errors.
    """

    method: Literal["cocagan"] = "cocagan"
    discriminator_widths: tuple[Width, ...] = Field((32, 64, 128), min_length=1, max_length=10)
    adversarial_weight: float = Field(0.1, ge=0)
    batch: int = Field(16, ge=1)
    lr: float = Field(2e-4, gt=0)
    warmup: int = Field(1, ge=1)
    clip: float = Field(1e6, gt=0)


CocaGANConfig.model_rebuild()


class CocaGANObjective(GanObjective):
    """Training of CocaGAN: L1 of all that is decoded from each latent and from their fusion + doubt of their source."""

    config: CocaGANConfig

    @property
    def method(self) -> type["CocaGAN"]:
        """`CocaGAN`."""
        return CocaGAN

    def discriminator(self) -> nn.Module:
        """Make the classifier of latents."""
        return SourceClassifier(self.config.latent, len(self.store.spec), self.config.discriminator_widths)

    def inputs(self, clean: Tensor, draws: list[torch.Generator], step: int) -> tuple[Tensor, ...]:
        """Complete stacks: all modalities enter."""
        return (clean,)

    def loss(self, name: str, networks: Mapping[str, nn.Module], inputs: tuple[Tensor, ...]) -> Tensor:
        """Error and certainty for the generator; for the discriminator, how well it names the source."""
        (truth,) = inputs
        count = truth.shape[1]
        with torch.set_grad_enabled(name == "generator"):
            latents, answers = networks["generator"](truth, range(count), singly=name == "generator")
        named = networks["discriminator"](latents.flatten(0, 1)).float()
        if name == "discriminator":
            return cross_entropy(named, torch.arange(count, device=named.device).repeat_interleave(len(truth)))
        doubt = cross_entropy(named, torch.full_like(named, 1 / count))
        return decoding_error(answers.float(), truth) + self.config.adversarial_weight * doubt


@method
@dataclass(frozen=True, eq=False)
class CocaGAN(CommonSpace):
    """CocaGAN with trained weights, after Huang et al. 2019, details ours: a common-space GAN."""

    name: ClassVar[str] = "cocagan"
    Config: ClassVar[type[CocaGANConfig]] = CocaGANConfig
    Objective: ClassVar[type[CocaGANObjective]] = CocaGANObjective
