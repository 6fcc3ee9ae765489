"""MINet (Feng et al. 2021): reconstruct a target with the help of a reference by one pass through a network.

Sees the mask only in the aliasing of the zero-filled image, and does not check its answer against the data.
Explained in the chapter "MINet".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from a2a.forward.operators import LinearOperator
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.reconstruction import (
    Reconstruction,
    ReconstructionConfig,
    ReconstructionObjective,
    channels,
)
from a2a.methods.registry import method
from a2a.networks.minet import MINetNetwork, MINetSize
from a2a.training.config import Count, TrainConfig, Width
from a2a.training.objective import Objective


class MINetConfig(ReconstructionConfig):
    """A training run of MINet; the defaults of the sizes are the published ones.

    Parameters
    ----------
    features, groups, blocks, reduction
        See `a2a.networks.minet.MINetSize`.
    target_weight, reference_weight
        Of the two mean absolute errors in the loss. The released code has 0.3 for the target and 0.7 for the
        reference, the other way round than one expects where the reference is given clean.
    normalise
        Whether each input is brought to mean 0 and standard deviation 1, and the target scaled like its zero-filled
        image, as in the released code (which also clips to [-6, 6]); otherwise images stay in [0, 1].
    """

    method: Literal["minet"] = "minet"
    features: Width = 64
    groups: Count = 6
    blocks: Count = 6
    reduction: Width = 16
    target_weight: float = Field(0.7, ge=0)
    reference_weight: float = Field(0.3, ge=0)
    normalise: bool = True


@dataclass(frozen=True)
class Units:
    """Units in which the network works: (image - mean) / std, one of each for a slice, ``(b, 1, 1, 1)``."""

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, image: Tensor, normalise: bool) -> "Units":
        """Units in which `image` has mean 0 and standard deviation 1, or image units."""
        if not normalise:
            return cls(torch.zeros_like(image[:, :1, :1, :1]), torch.ones_like(image[:, :1, :1, :1]))
        std = image.std(dim=(1, 2, 3), keepdim=True, correction=0)
        return cls(image.mean(dim=(1, 2, 3), keepdim=True), std.clamp_min(1e-3))

    def into(self, image: Tensor) -> Tensor:
        """From image units."""
        return (image - self.mean) / self.std

    def back(self, scaled: Tensor) -> Tensor:
        """To image units."""
        return scaled * self.std + self.mean


@dataclass(frozen=True, eq=False)
class MINetObjective(ReconstructionObjective):
    """Mean absolute errors of target and reference, in the units of the network."""

    config: MINetConfig

    def loss(self, name: str, networks: Mapping[str, nn.Module], inputs: tuple[Tensor, ...]) -> Tensor:
        """``0.7 |target - truth| + 0.3 |reference - itself|``, with the weights of the configuration."""
        zero_filled, reference, truth = inputs
        units, config = Units.of(zero_filled, self.config.normalise), self.config
        scaled = Units.of(reference, config.normalise).into(reference)
        reference_found, target_found = networks[name](scaled, units.into(zero_filled))
        target_error = (target_found.float() - units.into(truth)).abs().mean()
        reference_error = (reference_found.float() - scaled).abs().mean()
        return config.target_weight * target_error + config.reference_weight * reference_error


@method
@dataclass(frozen=True, eq=False)
class MINet(Reconstruction[MINetConfig]):
    """MINet with its weights; see `a2a.methods.baselines.base.Baseline`."""

    config: MINetConfig

    name: ClassVar[str] = "minet"
    Config: ClassVar[type[TrainConfig]] = MINetConfig
    Objective: ClassVar[type[Objective]] = MINetObjective

    @classmethod
    def build(cls, config: MINetConfig, spec: StackSpec, size: int) -> nn.Module:
        """Make the network; raises `InputError` where the stack lacks the reference or the target."""
        channels(config, spec)
        return MINetNetwork(MINetSize(config.features, config.groups, config.blocks, config.reduction))

    def reconstruct(
        self, zero_filled: Tensor, reference: Tensor, operator: LinearOperator, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """Return the network's target; operator and generators are not used."""
        units = Units.of(zero_filled, self.config.normalise)
        scaled = Units.of(reference, self.config.normalise).into(reference)
        return units.back(self.network(scaled, units.into(zero_filled))[1].float())


MINetObjective.method = MINet
