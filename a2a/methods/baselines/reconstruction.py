"""What the compared reconstruction methods share: one measured target, one clean reference, nothing else.

Each of them turns the zero-filled image Re(A^H y) of the target and the clean image of the reference into the target.
Explained in the chapters "MINet", "MC-VarNet" and "DisC-Diff".
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from pydantic import model_validator
from torch import Tensor, nn

from a2a.common.rng import spawn
from a2a.forward.observation import Observation
from a2a.forward.operators import CartesianSense, LinearOperator, PerItem
from a2a.forward.stack import StackSpec
from a2a.forward.undersampling import Undersampling
from a2a.methods.baselines.base import Baseline
from a2a.training.config import TrainConfig
from a2a.training.objective import Objective

VALIDATION_SLICES = 64


class ReconstructionConfig(TrainConfig):
    """A training run of a reconstruction method.

    Parameters
    ----------
    reference
        Name of the modality that is given clean.
    target
        Name of the modality that is given as k-space, and reconstructed.
    undersampling
        How the target's k-space is acquired in training.
    """

    reference: str = "T1"
    target: str = "T2FLAIR"
    undersampling: Undersampling = Undersampling()

    @property
    def scenario(self) -> str:
        """The one scenario the method is trained for, such as ``"T1 + y(T2FLAIR)"``."""
        return f"{self.reference} + y({self.target})"

    @model_validator(mode="after")
    def _two_modalities(self) -> "ReconstructionConfig":
        if self.reference == self.target:
            raise ValueError(f"reference and target are both {self.target}; they must be two modalities")
        return self


R = TypeVar("R", bound=ReconstructionConfig)


@dataclass(frozen=True, eq=False)
class Reconstruction(Baseline[R]):
    """A method that reconstructs one modality with the help of another; see `a2a.methods.baselines.base.Baseline`.

    It gives the target alone: every modality but target and reference is NaN in its completions. The noise of the
    k-space and the coil maps may be others than in training; how well the method then works is for the reader to see.
    """

    fill: ClassVar[float | str] = "none"
    knows_mask: ClassVar[bool] = False
    """Whether the network is told the mask; otherwise it learned the aliasing of one mask, and others are refused."""

    @abstractmethod
    def reconstruct(
        self, zero_filled: Tensor, reference: Tensor, operator: LinearOperator, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """Reconstruct the target.

        Parameters
        ----------
        zero_filled
            Re(A^H y) of the target, ``(b, 1, H, W)`` in image units.
        reference
            Clean images ``(b, 1, H, W)`` in [0, 1].
        operator
            A of the target.
        generators
            One generator for each row.

        Returns
        -------
        Tensor
            ``(b, 1, H, W)`` in image units.
        """

    @property
    def channels(self) -> tuple[int, int]:
        """Where in the stack reference and target are."""
        return channels(self.config, self.spec)

    def refuses(self, observation: Observation) -> str | None:
        """Take the scenario of training alone, and where the mask is not told to the network that mask alone."""
        reference, target = self.channels
        if observation.kinds != _kinds(len(self.spec), reference, target):
            return f"the weights are for {self.config.scenario} alone"
        measured = _one(observation.operator.blocks[target])
        if not isinstance(measured, CartesianSense):
            return "its target is not measured along the lines of the weights' grid"
        found, wanted = _mask(measured), _mask(self.config.undersampling.operator(self.size, self.size))
        if not self.knows_mask and not torch.equal(found.cpu(), wanted):
            return f"the k-space is sampled at {_words(found)}, the weights are for {_words(wanted)}"
        return None

    def deterministic(self, observation: Observation) -> bool:
        """Whether one network evaluation without randomness decides the answer; a sampler overrides this."""
        return True

    def predict(self, observation: Observation, generators: Sequence[torch.Generator]) -> Tensor:
        """Reconstruct the target of some rows: ``(len(generators), n, H, W)``, NaN in every other modality."""
        reference, target = self.channels
        images, operator = observation.adjoint.float(), observation.operator.blocks[target]
        stack = torch.full_like(images, torch.nan)
        pair = images[:, target : target + 1], images[:, reference : reference + 1]
        stack[:, target : target + 1] = self.reconstruct(*pair, operator, generators).to(stack)
        return stack


@dataclass(frozen=True, eq=False)
class ReconstructionObjective(Objective):
    """Inputs and validation of a reconstruction method; each method adds its loss."""

    config: ReconstructionConfig

    method: ClassVar[type[Reconstruction[Any]]]
    """Class of the method."""

    def networks(self) -> dict[str, nn.Module]:
        """One network, that of the method."""
        return {self.product: self.method.build(self.config, self.store.spec, self.store.size)}

    def optimiser(self, network: nn.Module) -> torch.optim.Optimizer:
        """Adam, as all three methods were trained with it."""
        return torch.optim.Adam(network.parameters(), lr=self.config.lr)

    def inputs(self, clean: Tensor, draws: list[torch.Generator], step: int) -> tuple[Tensor, ...]:
        """Simulate the acquisition of the target, its noise drawn from `draws`.

        Returns
        -------
        tuple of Tensor
            Zero-filled target, clean reference and true target, each ``(b, 1, H, W)`` in image units.
        """
        spec, config = self.store.spec, self.config
        reference, target = channels(config, spec)
        observation = Observation.simulate(clean, config.scenario, spec, config.undersampling, draws)
        zero_filled = observation.adjoint[:, target : target + 1]
        return zero_filled, clean[:, reference : reference + 1], clean[:, target : target + 1]

    @torch.no_grad()
    def validation(self, network: nn.Module) -> float:
        """Mean absolute error of the target over at most `VALIDATION_SLICES` slices, evenly spread, fixed noise."""
        method, config = self.finished(network, {}), self.config
        images, target = self.store.split("val").images, channels(config, self.store.spec)[1]
        rows = np.unique(np.linspace(0, len(images) - 1, min(VALIDATION_SLICES, len(images))).round().astype(int))
        clean = torch.from_numpy(np.asarray(images[rows], dtype=np.float32))
        observation = Observation.simulate(clean, config.scenario, self.store.spec, config.undersampling)
        samples = method.complete(observation, generators=spawn(0, len(rows))).samples
        return float((samples[0, :, target] - clean[:, target]).abs().mean())

    def finished(self, network: nn.Module, card: dict[str, Any]) -> Reconstruction[Any]:
        """Wrap the network as the method."""
        return self.method(network.eval(), self.config, self.store.spec, self.store.size, card)


def channels(config: ReconstructionConfig, spec: StackSpec) -> tuple[int, int]:
    """Return where in a stack the reference and the target are.

    Raises
    ------
    InputError
        If the stack lacks one of them.
    """
    return spec.index(config.reference), spec.index(config.target)


def _kinds(count: int, reference: int, target: int) -> tuple[str, ...]:
    """How each modality must be given."""
    return tuple({reference: "clean", target: "measured"}.get(i, "missing") for i in range(count))


def _mask(operator: CartesianSense) -> Tensor:
    """The sampled positions ``(H, W)``."""
    height, width = operator.shape
    return operator.mask.reshape(height, -1).expand(height, width)


def _one(operator: LinearOperator) -> LinearOperator:
    """The operator of the first item."""
    return operator.operators[0] if isinstance(operator, PerItem) else operator


def _words(mask: Tensor) -> str:
    """Describe a mask: how many positions, and the first lines."""
    lines = mask.any(dim=1).nonzero().flatten().tolist()
    first = ", ".join(map(str, lines[:4]))
    return f"{int(mask.sum())} of {mask.numel()} positions (lines {first}, ...)"
