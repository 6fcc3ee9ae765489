"""MM-SYN: each modality is encoded to a common space and all are decoded from it, without any discriminator.

Chartsias et al., IEEE TMI 2018 (github.com/agis85/multimodal_brain_synthesis).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from a2a.common.errors import InputError
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.synthesis import GivenConfig, Synthesis, by_scenario, validation_error
from a2a.methods.registry import method
from a2a.networks.mmsyn import STRIDE, Ending, MMSyn
from a2a.training.config import Width
from a2a.training.objective import Objective


class CommonSpaceConfig(GivenConfig):
    """Networks around a common space; the defaults are the published sizes of MM-SYN.

    Parameters
    ----------
    width, latent
        See `a2a.networks.mmsyn.MMSyn`.
    head
        Last function of the decoders: ``relu`` as published, or ``linear``.
    curriculum
        None: in training every modality is given, and each alone must do for all.
    """

    width: Width = 32
    latent: Width = 16
    head: Ending = "relu"
    curriculum: Literal["none"] = "none"


class MMSynConfig(CommonSpaceConfig):
    """A run of MM-SYN; the defaults are the published size and training.

    Parameters
    ----------
    variance_weight
        Of the variance between the latents of a slice.

    Notes
    -----
    The authors divide each volume by its mean and stop when the error of validation no longer falls; here images are in
    [0, 1], answers above 1 are cut, and the learning rate follows the cosine of all runs.
    """

    method: Literal["mmsyn"] = "mmsyn"
    variance_weight: float = Field(1.0, ge=0)
    batch: int = Field(16, ge=1)
    lr: float = Field(1e-4, gt=0)
    warmup: int = Field(1, ge=1)
    clip: float = Field(1e6, gt=0)


MMSynConfig.model_rebuild()


def decoding_error(answers: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute error of all modalities decoded from every latent, summed over latents and modalities.

    Parameters
    ----------
    answers
        ``(k, B, n, H, W)``.
    truth
        ``(B, n, H, W)``.
    """
    return (answers - truth).abs().mean(dim=(1, 3, 4)).sum()


def disagreement(latents: Tensor) -> Tensor:
    """Variance between the latents of a slice, ``(k, B, c, H, W)``, averaged; 0 where all are the same."""
    return latents.var(dim=0, unbiased=False).mean()


class CommonSpace(Synthesis[Any]):
    """Completes by the largest of the available latents at each pixel."""

    fill: ClassVar[str] = "absent"

    @classmethod
    def build(cls, config: CommonSpaceConfig, spec: StackSpec, size: int) -> nn.Module:
        """Make encoders and decoders.

        Raises
        ------
        InputError
            If the slices cannot be halved twice.
        """
        if size % STRIDE:
            raise InputError(f"slices of side {size} do not fit {cls.name}, {STRIDE} must divide the side.")
        return MMSyn(len(spec), config.width, config.latent, config.head)

    def fill_in(self, images: Tensor, given: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Complete rows; a missing modality is never looked at."""
        return by_scenario(lambda rows, sources: self.network(rows, sources)[1][-1], images, given)


@dataclass(frozen=True, eq=False)
class MMSynObjective(Objective):
    """Training of MM-SYN: L1 of all that is decoded from each latent and from their fusion + their variance."""

    config: MMSynConfig

    def networks(self) -> dict[str, nn.Module]:
        """Make the network."""
        return {self.product: MMSynMethod.build(self.config, self.store.spec, self.store.size)}

    def inputs(self, clean: Tensor, draws: list[torch.Generator], step: int) -> tuple[Tensor, ...]:
        """Complete stacks: all modalities enter."""
        return (clean,)

    def loss(self, name: str, networks: Mapping[str, nn.Module], inputs: tuple[Tensor, ...]) -> Tensor:
        """Return error and disagreement."""
        (truth,) = inputs
        latents, answers = networks[name](truth, range(truth.shape[1]), singly=True)
        return decoding_error(answers.float(), truth) + self.config.variance_weight * disagreement(latents.float())

    def validation(self, network: nn.Module) -> float:
        """Mean absolute error of missing modalities, see `a2a.methods.baselines.synthesis.validation_error`."""
        return validation_error(self.finished(network, {}), self.store.split("val"))

    def finished(self, network: nn.Module, card: dict[str, Any]) -> Synthesis[Any]:
        """Wrap the network."""
        return MMSynMethod(network, self.config, self.store.spec, self.store.size, card)


@method
@dataclass(frozen=True, eq=False)
class MMSynMethod(CommonSpace):
    """MM-SYN with trained weights: one pass completes a stack."""

    name: ClassVar[str] = "mmsyn"
    Config: ClassVar[type[MMSynConfig]] = MMSynConfig
    Objective: ClassVar[type[MMSynObjective]] = MMSynObjective
