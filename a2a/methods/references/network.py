"""Reference for missing modalities: plain regression by the U-Net of the priors.

It says what this architecture can know of a modality from others when it is asked nothing else: the yardstick of a
prior's one evaluation. Explained in the chapter "The diffusion prior".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from a2a.common.units import to_image, to_model
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.synthesis import Synthesis, SynthesisConfig, draw_given, validation_error
from a2a.methods.registry import method
from a2a.networks.unet import UNet, UNetConfig
from a2a.training.config import NetworkSize
from a2a.training.objective import Objective

_EMPTY = 0.0  # in the place of a missing modality, model range


class NetworkRegressionConfig(SynthesisConfig):
    """A run of the regression; every scenario that gives something is drawn from the first step on.

    Parameters
    ----------
    network
        Size of the U-Net, as of a prior.
    """

    method: Literal["network-regression"] = "network-regression"
    network: NetworkSize = NetworkSize()
    curriculum: Literal["none"] = "none"
    nothing: Literal[False] = False


class NetworkRegressionObjective(Objective):
    """Mean squared error of the missing modalities; inputs: what is given with its mask, the truth, and the mask."""

    config: NetworkRegressionConfig

    def networks(self) -> dict[str, nn.Module]:
        """Make the U-Net."""
        return {self.product: NetworkRegression.build(self.config, self.store.spec, self.store.size)}

    def inputs(self, clean: Tensor, draws: list[torch.Generator], step: int) -> tuple[Tensor, ...]:
        """Take some modalities away."""
        given = draw_given(self.config, clean.shape[1], step, draws)
        return shown(clean, given), to_model(clean), given

    def loss(self, name: str, networks: Mapping[str, nn.Module], inputs: tuple[Tensor, ...]) -> Tensor:
        """Return the error of what was missing, each slice counting alike."""
        entered, truth, given = inputs
        error = (networks[name](entered, _no_time(entered)).float() - truth).square().mean(dim=(2, 3))
        return ((error * ~given).sum(dim=1) / (~given).sum(dim=1)).mean()

    def validation(self, network: nn.Module) -> float:
        """Mean absolute error of missing modalities, see `a2a.methods.baselines.synthesis.validation_error`."""
        return validation_error(self.finished(network, {}), self.store.split("val"))

    def finished(self, network: nn.Module, card: dict[str, Any]) -> "NetworkRegression":
        """Wrap the network."""
        return NetworkRegression(network, self.config, self.store.spec, self.store.size, card)


@method
@dataclass(frozen=True, eq=False)
class NetworkRegression(Synthesis[NetworkRegressionConfig]):
    """The conditional mean of missing modalities, by one network for all scenarios.

    It is asked of slices and of their mirror images, as the expert of a prior is (`a2a.prior.expert.Expert`).
    """

    name: ClassVar[str] = "network-regression"
    fill: ClassVar[float] = _EMPTY
    Config: ClassVar[type[NetworkRegressionConfig]] = NetworkRegressionConfig
    Objective: ClassVar[type[NetworkRegressionObjective]] = NetworkRegressionObjective

    @classmethod
    def build(cls, config: NetworkRegressionConfig, spec: StackSpec, size: int) -> nn.Module:
        """Make the U-Net, which is shown the images and which of them are given."""
        return UNet(UNetConfig(len(spec), **config.network.model_dump(), stacks=2))

    def fill_in(self, images: Tensor, given: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Complete rows that may have different modalities given: the mean of what it says of them and mirrored."""
        entered = shown(images, given)
        once, mirrored = (self.network(each, _no_time(each)) for each in (entered, entered.flip(-1)))
        return torch.where(given[:, :, None, None], images, to_image((once + mirrored.flip(-1)) / 2))


def shown(images: Tensor, given: Tensor) -> Tensor:
    """Given modalities in the model's range and a map of which they are, ``(b, 2 n, H, W)``.

    Parameters
    ----------
    images
        ``(b, n, H, W)`` in [0, 1]; missing modalities hold anything.
    given
        bool ``(b, n)``.
    """
    mask = given[:, :, None, None].expand_as(images)
    return torch.cat([torch.where(mask, to_model(images), _EMPTY), mask.to(images)], dim=1)


def _no_time(entered: Tensor) -> Tensor:
    """Nothing is noisy: the time is always 0."""
    return entered.new_zeros(len(entered), 1)
