"""mmGAN: one U-Net for any subset of the modalities, trained against a selective discriminator.

Sharma and Hamarneh, IEEE TMI 2020 (github.com/trane293/mm-gan), with the extension of Any2all that it also makes
images from nothing. Explained in the chapter "mmGAN".
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from a2a.forward.stack import StackSpec
from a2a.methods.baselines.adversarial import Adversarial, AdversarialConfig, AdversarialObjective
from a2a.methods.registry import method
from a2a.networks.pix2pix import Head, Pix2PixUNet
from a2a.training.config import Width


class MmGANConfig(AdversarialConfig):
    """A run of mmGAN; the defaults are the published size and training.

    Parameters
    ----------
    widths
        Channels of each level of the generator; the side of the images must be a multiple of 2^levels.
    head
        Last function of the generator: ``relu`` as published; ``tanh`` and ``linear`` are options of the code.
    dropout
        In the coarser levels of the generator.

    Notes
    -----
    The authors divide each volume by its mean; here images are in [0, 1], and answers above 1 are cut. They never lower
    the learning rate; here it follows the cosine of all runs, and there is no bound of the gradient unless `clip` is
    set.
    """

    method: Literal["mmgan"] = "mmgan"
    widths: tuple[Width, ...] = Field((64, 128, 256, 512, 512, 512, 512, 512), min_length=2, max_length=12)
    head: Head = "relu"
    dropout: float = Field(0.2, ge=0, lt=1)
    pixel_weight: float = Field(0.9, ge=0)
    adversarial_weight: float = Field(0.1, ge=0)
    batch: int = Field(4, ge=1)
    lr: float = Field(2e-4, gt=0)
    warmup: int = Field(1, ge=1)
    clip: float = Field(1e6, gt=0)


class MmGANObjective(AdversarialObjective):
    """Training of mmGAN: 0.9 L1 of what was missing + 0.1 LSGAN, against the selective discriminator."""

    @property
    def method(self) -> type["MmGAN"]:
        """`MmGAN`."""
        return MmGAN


@method
@dataclass(frozen=True, eq=False)
class MmGAN(Adversarial[MmGANConfig]):
    """mmGAN with trained weights: one pass through the generator completes a stack.

    Examples
    --------
    >>> method = MmGAN.load("weights/mmgan-64.safetensors")  # doctest: +SKIP
    >>> method.complete(observation).samples.shape  # doctest: +SKIP
    """

    name: ClassVar[str] = "mmgan"
    fill: ClassVar[float] = 0.0
    Config: ClassVar[type[MmGANConfig]] = MmGANConfig
    Objective: ClassVar[type[MmGANObjective]] = MmGANObjective

    @classmethod
    def build(cls, config: MmGANConfig, spec: StackSpec, size: int) -> nn.Module:
        """Make the generator; slices of a side that 2^levels does not divide are refused when they come."""
        return Pix2PixUNet(len(spec), config.widths, config.head, config.dropout)
