"""mmResViT: the scheme of mmGAN with the generator of ResViT.

ResViT is by Dalmaz, Yurt and Cukur, IEEE TMI 2022 (github.com/icon-lab/ResViT). Any2all names the combination in one
sentence; how the two are joined here is our reading. Explained in the chapter "mmResViT".
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from a2a.common.units import to_image, to_model
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.adversarial import Adversarial, AdversarialConfig, AdversarialObjective
from a2a.methods.registry import method
from a2a.networks.resvit import ResViT, ResViTSize
from a2a.training.config import Count, Width


class MmResViTConfig(AdversarialConfig):
    """A run of mmResViT; the defaults are the published sizes and the loss weights of ResViT.

    Parameters
    ----------
    width, blocks, attended, downs, tokens, layers, heads, mlp, dropout
        Sizes of the generator, see `a2a.networks.resvit.ResViTSize`.
    convolutions_first
        Share of the steps in which the generator is trained without the transformer (its first stage); 0 leaves the
        stage out.

    Notes
    -----
    ResViT weighs L1 to LSGAN 100:1, mm-gan 9:1; the weights are options. Its authors start the second stage with a
    transformer trained on photographs, at five times the learning rate; here it starts from random numbers, at the
    same rate.
    """

    method: Literal["mmresvit"] = "mmresvit"
    width: Width = 64
    blocks: Count = 9
    attended: tuple[Count, ...] = Field((1, 6), max_length=64)
    downs: tuple[Width, ...] = Field((512, 1024), min_length=1, max_length=10)
    tokens: Width = 768
    layers: Count = 12
    heads: Count = 12
    mlp: Width = 3072
    dropout: float = Field(0.1, ge=0, lt=1)
    convolutions_first: float = Field(1 / 3, ge=0, le=1)
    pixel_weight: float = Field(100.0, ge=0)
    adversarial_weight: float = Field(1.0, ge=0)
    lr: float = Field(2e-4, gt=0)
    warmup: int = Field(1, ge=1)
    clip: float = Field(1e6, gt=0)

    @model_validator(mode="after")
    def _buildable(self) -> "MmResViTConfig":
        if self.tokens % self.heads:
            raise ValueError(f"tokens of width {self.tokens} cannot be shared by {self.heads} attention heads")
        if outside := [block for block in self.attended if block > self.blocks]:
            raise ValueError(f"attended names blocks {outside}, but there are {self.blocks}")
        return self

    @property
    def size(self) -> ResViTSize:
        """Sizes of the generator."""
        return ResViTSize(**{name: getattr(self, name) for name in ResViTSize.__dataclass_fields__})


class MmResViTObjective(AdversarialObjective):
    """Training of mmResViT: 100 L1 of what was missing + LSGAN, first without the transformer, then with it."""

    config: MmResViTConfig

    @property
    def method(self) -> type["MmResViT"]:
        """`MmResViT`."""
        return MmResViT

    def inputs(self, clean: Tensor, draws: list[torch.Generator], step: int) -> tuple[Tensor, ...]:
        """As for every GAN here, and, for each slice alike, whether the transformer takes part."""
        joined = step >= self.config.convolutions_first * self.config.steps
        return *super().inputs(clean, draws, step), torch.full((len(clean),), joined)

    def answer(self, generator: nn.Module, entered: Tensor, *more: Tensor) -> Tensor:
        """Run the generator of this stage.

        Parameters
        ----------
        generator
            The network.
        entered
            Its input.
        *more
            Whether the transformer takes part, for each slice.
        """
        return generator(entered, all(bool(joined.all()) for joined in more))


@method
@dataclass(frozen=True, eq=False)
class MmResViT(Adversarial[MmResViTConfig]):
    """mmResViT with trained weights: one pass through the generator completes a stack.

    Examples
    --------
    >>> method = MmResViT.load("weights/mmresvit-64.safetensors")  # doctest: +SKIP
    >>> method.complete(observation).samples.shape  # doctest: +SKIP
    """

    name: ClassVar[str] = "mmresvit"
    fill: ClassVar[float] = -1.0
    Config: ClassVar[type[MmResViTConfig]] = MmResViTConfig
    Objective: ClassVar[type[MmResViTObjective]] = MmResViTObjective

    @classmethod
    def build(cls, config: MmResViTConfig, spec: StackSpec, size: int) -> nn.Module:
        """Make the generator for slices of one size."""
        return ResViT(len(spec), size, config.size)

    @staticmethod
    def to_network(images: Tensor) -> Tensor:
        """Map [0, 1] to [-1, 1]."""
        return to_model(images)

    @staticmethod
    def to_images(answer: Tensor) -> Tensor:
        """Map [-1, 1] to [0, 1]."""
        return to_image(answer)
