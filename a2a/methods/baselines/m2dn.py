"""M2DN (Meng et al. 2024, IEEE TMI): diffusion in which only the missing modalities are noised.

There is no public code and the paper leaves much open; what is our choice is named below. Explained in the chapter
"M2DN".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from a2a.common.errors import InputError
from a2a.common.rng import randn
from a2a.common.units import to_image, to_model
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.synthesis import Synthesis, SynthesisConfig, draw_given, passed_through, validation_error
from a2a.methods.registry import method
from a2a.networks.m2dn import M2DNNetwork, M2DNSize
from a2a.prior.schedule import NoiseSchedule
from a2a.training.config import Schedule
from a2a.training.objective import Objective

VALIDATION_STEPS = 5

Width = Annotated[int, Field(ge=8, le=4096, multiple_of=8)]


class M2DNConfig(SynthesisConfig):
    """Training of `M2DN`.

    Published are the block diagram, the loss, the masks and 128 channels at 16 x 16. The other widths, the schedule,
    the optimiser, EMA and the number of sampling steps are this project's.

    Parameters
    ----------
    stem, trunk, time
        Widths, see `a2a.networks.m2dn.M2DNSize`.
    schedule
        Of the noise.
    sampling_steps
        Network evaluations of a completion.
    """

    method: Literal["m2dn"] = "m2dn"
    stem: tuple[Width, Width] = (32, 64)
    trunk: tuple[Width, ...] = Field((64, 128, 128, 128), min_length=1, max_length=10)
    time: Width = 256
    schedule: Schedule = Schedule(kind="linear")
    sampling_steps: int = Field(50, ge=1)
    curriculum: Literal["clean", "official", "none"] = "none"
    batch: int = Field(8, ge=1)
    lr: float = Field(1e-4, gt=0)
    ema: float = Field(0.9999, ge=0, lt=1)

    @model_validator(mode="after")
    def _enough_times(self) -> "M2DNConfig":
        if self.sampling_steps > self.schedule.length:
            raise ValueError(f"sampling_steps: {self.sampling_steps}, but schedule has {self.schedule.length} times")
        return self

    @property
    def noise(self) -> NoiseSchedule:
        """The noise schedule with its tables."""
        return NoiseSchedule(self.schedule.kind, self.schedule.length)


def diffuse_missing(schedule: NoiseSchedule, stack: Tensor, times: Tensor, noise: Tensor, given: Tensor) -> Tensor:
    r"""Noise the missing modalities and leave the others as they are (Meng et al. 2024).

    .. math:: x_t = (1 - v)\, x_0 + v \left(\sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\, \epsilon\right)

    Parameters
    ----------
    stack, noise
        ``(b, n, H, W)`` in [-1, 1], and standard normal.
    times, given
        Time index ``(b,)``, and ``1 - v``, bool ``(b, n)``.
    """
    return passed_through(schedule.diffuse(stack, times, noise), stack, given)


def inpaint(
    schedule: NoiseSchedule,
    estimate: Callable[[Tensor, int], Tensor],
    stack: Tensor,
    given: Tensor,
    generators: Sequence[torch.Generator],
    steps: int,
) -> Tensor:
    """Draw the missing modalities, from noise to clean images in `steps` evaluations of ``estimate(x_t, t)``.

    Every step draws from ``q(x_s | x_t, x_0)`` with the clean estimate in place of x_0, and puts the given images back;
    what the network made of them is not fed back.

    Parameters
    ----------
    stack
        ``(b, n, H, W)`` in [-1, 1]; missing modalities hold anything.
    given
        bool ``(b, n)``.
    """
    shape = stack.shape[1:]
    x = passed_through(randn(shape, generators, stack), stack, given)
    for t, s in schedule.transitions(steps):
        x0 = estimate(x, t).clamp(-1, 1)
        x = passed_through(schedule.ancestral(x0, x, randn(shape, generators, stack), t, s), stack, given)
    return x


@dataclass(frozen=True, eq=False)
class M2DNObjective(Objective):
    """Clean estimates of all modalities, the given ones included, from stacks in which only the missing are noised.

    The loss is ``mean |x_0 - f(x_t, t, v)|^2``, the same weight for every time.
    """

    config: M2DNConfig

    def networks(self) -> dict[str, nn.Module]:
        """Make the network."""
        return {self.product: M2DN.build(self.config, self.store.spec, self.store.size)}

    def inputs(self, clean: Tensor, draws: list[torch.Generator], step: int) -> tuple[Tensor, ...]:
        """Return noisy stacks, times, masks (1 where missing) and clean stacks, all in the model's range."""
        given, schedule = draw_given(self.config, clean.shape[1], step, draws), self.config.noise
        times = torch.stack([torch.randint(schedule.length, (), generator=draw) for draw in draws])
        stack = to_model(clean)
        noisy = diffuse_missing(schedule, stack, times, randn(clean.shape[1:], draws), given)
        return noisy, times, (~given).to(clean.dtype), stack

    def loss(self, name: str, networks: Mapping[str, nn.Module], inputs: tuple[Tensor, ...]) -> Tensor:
        """Return the mean squared error over all modalities."""
        noisy, times, missing, stack = inputs
        return (networks[name](noisy, times, missing).float() - stack).square().mean()

    def validation(self, network: nn.Module) -> float:
        """Mean absolute error of the missing modalities after few sampling steps; see `validation_error`."""
        quick = self.config.model_copy(update={"sampling_steps": min(VALIDATION_STEPS, self.config.schedule.length)})
        method = M2DN(network.eval(), quick, self.store.spec, self.store.size)
        return validation_error(method, self.store.split("val"))

    def finished(self, network: nn.Module, card: dict[str, Any]) -> Synthesis[Any]:
        """Wrap the network as the method."""
        return M2DN(network.eval(), self.config, self.store.spec, self.store.size, card)


@method
@dataclass(frozen=True, eq=False)
class M2DN(Synthesis[M2DNConfig]):
    """Completes by diffusion of the missing modalities; several samples differ. See `M2DNConfig`."""

    config: M2DNConfig

    name: ClassVar[str] = "m2dn"
    fill: ClassVar[float | str] = "noise"
    options: ClassVar[tuple[str, ...]] = ("sampling_steps",)
    Config: ClassVar[type[M2DNConfig]] = M2DNConfig
    Objective: ClassVar[type[Objective]] = M2DNObjective

    @classmethod
    def build(cls, config: M2DNConfig, spec: StackSpec, size: int) -> nn.Module:
        """Make the network for stacks like `spec`.

        Raises
        ------
        InputError
            If the trunk has more levels than the slices can be halved.
        """
        network = M2DNNetwork(M2DNSize(len(spec), config.stem, config.trunk, config.time))
        if size % network.size.stride:
            stride = network.size.stride
            raise InputError(f"trunk: slices of side {size} do not fit, {stride} must divide the side.")
        return network

    @property
    def evaluations(self) -> int:
        """Network evaluations for each sample."""
        return self.config.sampling_steps

    def deterministic(self, observation: Observation) -> bool:
        """Only if nothing is missing is there nothing to draw."""
        return not observation.scenario.indices("missing")

    def fill_in(self, images: Tensor, given: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Complete rows by `inpaint`, see `a2a.methods.baselines.synthesis.Synthesis.fill_in`."""

        def estimate(x: Tensor, t: int) -> Tensor:
            return self.network(x, torch.full((len(x),), t, device=x.device), (~given).to(x.dtype)).float()

        steps, clean = self.config.sampling_steps, to_model(images)
        return to_image(inpaint(self.config.noise, estimate, clean, given, generators, steps))
