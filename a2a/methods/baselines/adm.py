"""ADM (Dhariwal and Nichol 2021) given what there is: diffusion of the whole stack beside the given images.

ADM's super-resolution model sees its condition in further channels; here those hold the given modalities. APT is
compared with "ADM" and does not say how it was adapted. Explained in the chapter "APT".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from a2a.common.rng import randn
from a2a.common.units import to_image, to_model
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.conditional import ConditionalConfig, mean_loss, noise_in, over_missing, validation_rows
from a2a.methods.baselines.learned_variance import noise_errors, split, step
from a2a.methods.baselines.synthesis import Synthesis, draw_given, network_input, passed_through
from a2a.methods.registry import method
from a2a.networks.conditional import ConditionalUNet
from a2a.prior.schedule import NoiseSchedule
from a2a.training.config import Schedule
from a2a.training.objective import Objective

BLACK = -1.0  # in the place of a missing modality, model range


class ADMConfig(ConditionalConfig):
    """Training of `ADM`; the defaults are the published size and optimiser.

    Parameters
    ----------
    variance
        ``learned``, as published, or ``fixed`` to that of the posterior, which needs no variational bound.
    schedule
        Of the noise.
    sampling_steps
        Network evaluations of a completion.
    """

    method: Literal["adm"] = "adm"
    variance: Literal["learned", "fixed"] = "learned"
    schedule: Schedule = Schedule(kind="linear")
    sampling_steps: int = Field(250, ge=1)

    @model_validator(mode="after")
    def _enough_times(self) -> "ADMConfig":
        if self.sampling_steps > self.schedule.length:
            raise ValueError(f"sampling_steps: {self.sampling_steps}, but schedule has {self.schedule.length} times")
        return self

    @property
    def noise(self) -> NoiseSchedule:
        """The noise schedule with its tables."""
        return NoiseSchedule(self.schedule.kind, self.schedule.length)


@dataclass(frozen=True, eq=False)
class ADMObjective(Objective):
    """The noise of the missing modalities; all of them are noised alike. With a learned variance also its bound."""

    config: ADMConfig

    def networks(self) -> dict[str, nn.Module]:
        """Make the network."""
        return {self.product: ADM.build(self.config, self.store.spec, self.store.size)}

    def inputs(self, clean: Tensor, draws: list[torch.Generator], step: int) -> tuple[Tensor, ...]:
        """Return noisy stacks, conditions, times, which modalities are given, clean stacks and noise, in [-1, 1]."""
        given = draw_given(self.config, clean.shape[1], step, draws)
        times = torch.stack([torch.randint(self.config.schedule.length, (), generator=draw) for draw in draws])
        return self._inputs(to_model(clean), given, times, randn(clean.shape[1:], draws))

    def _inputs(self, stack: Tensor, given: Tensor, times: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
        condition = network_input(stack, given, BLACK, [])
        return self.config.noise.diffuse(stack, times, noise), condition, times, given, stack, noise

    def loss(self, name: str, networks: Mapping[str, nn.Module], inputs: tuple[Tensor, ...]) -> Tensor:
        """Return the loss over the missing modalities, each slice counting alike."""
        noisy, condition, times, given, stack, noise = inputs
        out = networks[name](torch.cat([noisy, condition], dim=1), times).float()
        errors = noise_errors(self.config.noise, out, stack, noisy, times, noise, self.config.predicts)
        return over_missing(errors, given)

    def validation(self, network: nn.Module) -> float:
        """Return the loss on fixed slices, evenly spread times, and scenarios that take turns."""
        clean, given, generators = validation_rows(self.store.split("val"))
        times = torch.linspace(self.config.schedule.length - 1, 0, len(clean)).round().long()
        return mean_loss(self, network, self._inputs(to_model(clean), given, times, randn(clean.shape[1:], generators)))

    def finished(self, network: nn.Module, card: dict[str, Any]) -> Synthesis[Any]:
        """Wrap the network as the method."""
        return ADM(network.eval(), self.config, self.store.spec, self.store.size, card)


@method
@dataclass(frozen=True, eq=False)
class ADM(Synthesis[ADMConfig]):
    """Completes by diffusion of the stack beside its given images; several samples differ. See `ADMConfig`."""

    config: ADMConfig

    name: ClassVar[str] = "adm"
    fill: ClassVar[float | str] = BLACK
    options: ClassVar[tuple[str, ...]] = ("sampling_steps",)
    Config: ClassVar[type[ADMConfig]] = ADMConfig
    Objective: ClassVar[type[Objective]] = ADMObjective

    @classmethod
    def build(cls, config: ADMConfig, spec: StackSpec, size: int) -> nn.Module:
        """Make the network, which sees the noisy stack and the given images.

        Raises
        ------
        InputError
            If the network has more levels than the slices can be halved.
        """
        answers = 2 if config.variance == "learned" else 1
        return ConditionalUNet(config.shape(len(spec), size, stacks=2), answers * len(spec))

    @property
    def evaluations(self) -> int:
        """Network evaluations for each sample."""
        return self.config.sampling_steps

    def deterministic(self, observation: Observation) -> bool:
        """Only if nothing is missing is there nothing to draw."""
        return not observation.scenario.indices("missing")

    def fill_in(self, images: Tensor, given: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Complete rows by ancestral steps of the whole stack, the clean estimate clipped to [-1, 1].

        See `a2a.methods.baselines.synthesis.Synthesis.fill_in`.
        """
        schedule, condition = self.config.noise, network_input(to_model(images), given, BLACK, generators)
        x = randn(images.shape[1:], generators, images)
        for t, s in schedule.transitions(self.config.sampling_steps):
            times = torch.full((len(x),), t, device=x.device)
            answer, raw = split(self.network(torch.cat([x, condition], dim=1), times).float(), x.shape[1])
            signal, spread = schedule.coefficients(t, x)
            noise = noise_in(self.config.predicts, answer, x, signal, spread)
            clean = ((x - spread * noise) / signal).clamp(-1, 1)
            x = step(schedule, clean, x, randn(x.shape[1:], generators, x), t, s, raw)
        return passed_through(to_image(x), images, given)
