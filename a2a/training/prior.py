"""What a prior learns: to predict the noise in a diffused stack.

Loss: ``mean |eps - eps_theta(sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps, t)|^2`` (Ho et al. 2020, Eq. 14).
Explained in the chapter "The diffusion prior".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from a2a.diffusion import NoiseSchedule
from a2a.errors import InputError
from a2a.networks.unet import UNet, UNetConfig
from a2a.prior import Prior, to_model
from a2a.rng import randn
from a2a.training.config import PriorConfig
from a2a.training.objective import Objective
from a2a.training.validation import calibrated, validation_loss


@dataclass(frozen=True, eq=False)
class PriorObjective(Objective):
    """Noise prediction by one U-Net, see `Objective`; its inputs are noisy stacks, times and the noise."""

    config: PriorConfig

    file = "prior.safetensors"

    @cached_property
    def schedule(self) -> NoiseSchedule:
        """The noise schedule."""
        return NoiseSchedule(self.config.schedule.kind, self.config.schedule.length)

    def networks(self) -> dict[str, nn.Module]:
        """Make the U-Net, with weights from the seed or from the file that the configuration names.

        Raises
        ------
        InputError
            If the slices do not fit the network, or the named weights are of another network, schedule or stack.
        """
        size, side = UNetConfig(len(self.store.spec), **self.config.network.model_dump()), self.store.size
        if side % size.stride:
            raise InputError(f"network: slices of side {side} do not fit, {size.stride} must divide the side.")
        network = UNet(size)
        if self.config.start:
            network.load_state_dict(self._start(size).state_dict())
        network.checkpointing = self.config.checkpointing
        return {self.product: network}

    def inputs(self, clean: Tensor, draws: list[torch.Generator], step: int) -> tuple[Tensor, ...]:
        """Diffuse each slice to a time of its own."""
        times = torch.stack([torch.randint(self.schedule.length, (), generator=draw) for draw in draws])
        noise = randn(clean.shape[1:], draws)
        return self.schedule.diffuse(to_model(clean), times, noise), times, noise

    def loss(self, name: str, networks: Mapping[str, nn.Module], inputs: tuple[Tensor, ...]) -> Tensor:
        """Return the mean squared error of the predicted noise."""
        noisy, times, noise = inputs
        return (networks[name](noisy, times).float() - noise).square().mean()

    def validation(self, network: nn.Module) -> float:
        """See `a2a.training.validation.validation_loss`."""
        return validation_loss(network, self.store.split("val").images, self.schedule)

    def finished(self, network: nn.Module, card: dict) -> Prior:
        """Calibrate the network on the validation split."""
        prior = Prior(network, self.schedule, self.store.spec, self.store.size, card=card)
        return calibrated(prior, self.store.split("train").images, self.store.split("val").images)

    def _start(self, size: UNetConfig) -> nn.Module:
        """Return the network of the prior that the configuration starts from."""
        prior = Prior.load(self.config.start, self.store.spec)
        pairs = {"network": (prior.network.config, size), "schedule": (prior.schedule, self.schedule)}
        for name, (found, wanted) in pairs.items():
            if found != wanted:
                raise InputError(
                    f"start: {self.config.start} was trained with {found}, but field {name} says {wanted}."
                )
        return prior.network
