"""MC-VarNet (Lei et al. 2023): unrolled reconstruction with a reference of which the common part alone helps.

Meets the data again in every iteration, so it can be given any mask. Explained in the chapter "MC-VarNet".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from a2a.common.errors import InputError
from a2a.forward.operators import LinearOperator
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.reconstruction import (
    Reconstruction,
    ReconstructionConfig,
    ReconstructionObjective,
    channels,
)
from a2a.methods.registry import method
from a2a.networks.mcvarnet import MCVarNetNetwork, MCVarNetSize
from a2a.training.config import TrainConfig, Width
from a2a.training.objective import Objective

STRIDE = 4


class MCVarNetConfig(ReconstructionConfig):
    """A training run of MC-VarNet; the defaults of the sizes are the published ones.

    Parameters
    ----------
    features, iterations, train_scalars, residual_prior
        See `a2a.networks.mcvarnet.MCVarNetSize`.
    """

    method: Literal["mcvarnet"] = "mcvarnet"
    features: Width = 32
    iterations: int = Field(4, ge=4, le=64)
    train_scalars: bool = True
    residual_prior: bool = False


@dataclass(frozen=True, eq=False)
class MCVarNetObjective(ReconstructionObjective):
    """Mean absolute error of the last iterate."""

    config: MCVarNetConfig

    def optimiser(self, network: nn.Module) -> torch.optim.Optimizer:
        """Adam with the published decay rates 0.9 and 0.99."""
        return torch.optim.Adam(network.parameters(), lr=self.config.lr, betas=(0.9, 0.99))

    def loss(self, name: str, networks: Mapping[str, nn.Module], inputs: tuple[Tensor, ...]) -> Tensor:
        """``mean |x_T - truth|``."""
        zero_filled, reference, truth = inputs
        operator = self.config.undersampling.operator(*zero_filled.shape[-2:])
        return (networks[name](zero_filled, reference, operator).float() - truth).abs().mean()


@method
@dataclass(frozen=True, eq=False)
class MCVarNet(Reconstruction[MCVarNetConfig]):
    """MC-VarNet with its weights; see `a2a.methods.baselines.base.Baseline`."""

    config: MCVarNetConfig

    name: ClassVar[str] = "mcvarnet"
    Config: ClassVar[type[TrainConfig]] = MCVarNetConfig
    Objective: ClassVar[type[Objective]] = MCVarNetObjective
    knows_mask: ClassVar[bool] = True

    @classmethod
    def build(cls, config: MCVarNetConfig, spec: StackSpec, size: int) -> nn.Module:
        """Make the network.

        Raises
        ------
        InputError
            If the stack lacks the reference or the target, or 4 does not divide the side of the slices.
        """
        channels(config, spec)
        if size % STRIDE:
            raise InputError(f"Slices of side {size} do not fit {cls.name}; {STRIDE} must divide the side.")
        return MCVarNetNetwork(
            MCVarNetSize(config.features, config.iterations, config.train_scalars, config.residual_prior)
        )

    def reconstruct(
        self, zero_filled: Tensor, reference: Tensor, operator: LinearOperator, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """Return the last iterate; generators are not used."""
        return self.network(zero_filled, reference, operator)


MCVarNetObjective.method = MCVarNet
