"""SynDiff, paired: four large denoising steps, each learned against a discriminator.

Ozbey et al., IEEE TMI 2023 (github.com/icon-lab/SynDiff), translate between two unpaired modalities, both ways at once.
Here the data are paired, so the networks of the cycle are left out; any modalities are given, and stand beside the
noisy stack with a mask that says which they are (details ours). All modalities are noised; those given are put in place
of the network's estimate.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import softplus

from a2a.common.errors import InputError
from a2a.common.rng import randn
from a2a.common.units import to_image, to_model
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.adversarial import GanObjective, pixel_loss
from a2a.methods.baselines.synthesis import Synthesis, SynthesisConfig, draw_given, network_input, passed_through
from a2a.methods.registry import method
from a2a.networks.syndiff import StyledUNet, TimeDiscriminator
from a2a.networks.unet import UNetConfig
from a2a.prior.schedule import NoiseSchedule
from a2a.training.config import NetworkSize, Width

BLACK = -1.0  # in the model's range


class SynDiffConfig(SynthesisConfig):
    """Training of `SynDiff`; the defaults are the published size and weights.

    Parameters
    ----------
    network
        Sizes of the generator, see `a2a.networks.unet.UNetConfig`.
    latent, style
        See `a2a.networks.syndiff.StyledUNet`.
    discriminator_widths, discriminator_time
        See `a2a.networks.syndiff.TimeDiscriminator`.
    sampling_steps
        Denoising steps T; there are no more in training.
    pixel_weight
        Of the mean absolute error of missing modalities, beside the adversarial loss.
    penalty, penalty_every
        Weight of the squared gradient of the discriminator at real pairs, and in which steps it counts.

    Notes
    -----
    The authors train in batches of 1, with a learning rate of 1.6e-4 for the generators and 1e-4 for the
    discriminators, and show the generator an estimate of the source; here both have the same rate, and the generator
    sees the source itself.
    """

    method: Literal["syndiff"] = "syndiff"
    network: NetworkSize = NetworkSize(
        width=64, multipliers=(1, 1, 2, 2, 4, 4), blocks=2, attention=(16,), head_width=64
    )
    latent: Width = 100
    style: Width = 256
    discriminator_widths: tuple[Width, ...] = Field((256, 512, 512, 512, 512, 512), min_length=1, max_length=10)
    discriminator_time: int = Field(256, ge=2, le=4096, multiple_of=2)
    sampling_steps: int = Field(4, ge=2, le=1000)
    pixel_weight: float = Field(0.5, ge=0)
    penalty: float = Field(1.0, ge=0)
    penalty_every: int = Field(10, ge=1)
    curriculum: Literal["none"] = "none"
    nothing: Literal[False] = False
    batch: int = Field(8, ge=1)
    lr: float = Field(1.6e-4, gt=0)
    warmup: int = Field(1, ge=1)
    clip: float = Field(1e6, gt=0)

    @property
    def noise(self) -> NoiseSchedule:
        """The noise schedule with its tables."""
        return NoiseSchedule("vp", self.sampling_steps)


SynDiffConfig.model_rebuild()


def pair(schedule: NoiseSchedule, stack: Tensor, times: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    r"""Draw :math:`x_{t-1}` and from it :math:`x_t`; at the first time the earlier one is the stack itself.

    Parameters
    ----------
    stack
        ``(b, n, H, W)`` in [-1, 1].
    times
        ``(b,)``.
    noise
        Standard normal, twice as many channels as the stack.
    """
    beta = torch.from_numpy(schedule.betas).to(stack)[times][:, None, None, None]
    first, second = noise.chunk(2, dim=1)
    earlier = schedule.diffuse(stack, times - 1, first)
    return earlier, (1 - beta).sqrt() * earlier + beta.sqrt() * second


def one_step(schedule: NoiseSchedule, clean: Tensor, later: Tensor, times: Tensor, noise: Tensor) -> Tensor:
    """Sample ``q(x_{t-1} | x_t, x_0)`` for rows of different times.

    Parameters
    ----------
    clean, later, noise
        Estimate of x_0, x_t, and standard normal, ``(b, n, H, W)``.
    times
        ``(b,)``; at the first one the answer is the estimate itself.
    """
    answer = torch.empty_like(later)
    for t in times.unique().tolist():
        rows = times == t
        answer[rows] = schedule.ancestral(clean[rows], later[rows], noise[rows], t, t - 1)
    return answer


def entered(noisy: Tensor, shown: Tensor, given: Tensor) -> Tensor:
    """Join what the generator sees: noisy stacks, given ones with black in place of the others, and the mask.

    Parameters
    ----------
    noisy
        Diffused stacks, ``(B, n, H, W)``, model range.
    shown
        The given modalities, as `noisy`.
    given
        Which are given, boolean ``(B, n)``.
    """
    return torch.cat([noisy, shown, given[:, :, None, None].to(noisy).expand_as(noisy)], dim=1)


class SynDiffObjective(GanObjective):
    """Training of SynDiff: L1 of the clean estimate and the doubt of a discriminator about the step taken from it."""

    config: SynDiffConfig

    @property
    def method(self) -> type["SynDiff"]:
        """`SynDiff`."""
        return SynDiff

    def discriminator(self) -> nn.Module:
        """Make the discriminator of pairs."""
        return TimeDiscriminator(len(self.store.spec), self.config.discriminator_widths, self.config.discriminator_time)

    def optimiser(self, network: nn.Module) -> torch.optim.Optimizer:
        """Adam with betas (0.5, 0.9)."""
        return torch.optim.Adam(network.parameters(), lr=self.config.lr, betas=(0.5, 0.9))

    def inputs(self, clean: Tensor, draws: list[torch.Generator], step: int) -> tuple[Tensor, ...]:
        """Truth, a real pair, times, what is given, random vectors, noise of the step, and whether to penalise."""
        config, shape = self.config, clean.shape[1:]
        given, stack = draw_given(config, shape[0], step, draws), to_model(clean)
        times = torch.stack([torch.randint(config.sampling_steps, (), generator=draw) for draw in draws])
        earlier, later = pair(config.noise, stack, times, randn((2 * shape[0], *shape[1:]), draws))
        penalised = torch.full((len(clean),), step % config.penalty_every == 0)
        return stack, earlier, later, times, given, randn((config.latent,), draws), randn(shape, draws), penalised

    def loss(self, name: str, networks: Mapping[str, nn.Module], inputs: tuple[Tensor, ...]) -> Tensor:
        """Loss of the generator or of the discriminator; neither saturates (Goodfellow et al. 2014)."""
        stack, earlier, later, times, given, z, noise, penalised = inputs
        shown = torch.where(given[:, :, None, None], stack, BLACK)
        with torch.set_grad_enabled(name == "generator"):
            estimate = networks["generator"](entered(later, shown, given), times, z).float()
        clean = passed_through(estimate, stack, given)
        judged = networks["discriminator"](one_step(self.config.noise, clean, later, times, noise), later, times)
        if name == "generator":
            return softplus(-judged.float()).mean() + self.config.pixel_weight * pixel_loss(clean, stack, given)
        real = earlier.detach().requires_grad_(bool(penalised.all()))
        verdict = networks["discriminator"](real, later, times).float()
        loss = softplus(-verdict).mean() + softplus(judged.float()).mean()
        if not real.requires_grad:
            return loss
        (slope,) = torch.autograd.grad(verdict.sum(), real, create_graph=True)
        return loss + 0.5 * self.config.penalty * slope.square().sum(dim=(1, 2, 3)).mean()


@method
@dataclass(frozen=True, eq=False)
class SynDiff(Synthesis[SynDiffConfig]):
    """SynDiff with trained weights, paired: completes in four steps; several samples differ."""

    config: SynDiffConfig

    name: ClassVar[str] = "syndiff"
    fill: ClassVar[float] = BLACK
    Config: ClassVar[type[SynDiffConfig]] = SynDiffConfig
    Objective: ClassVar[type[Any]] = SynDiffObjective

    @classmethod
    def build(cls, config: SynDiffConfig, spec: StackSpec, size: int) -> nn.Module:
        """Make the generator.

        Raises
        ------
        InputError
            If the slices cannot be halved as often as the network has levels.
        """
        shape = UNetConfig(len(spec), **config.network.model_dump() | {"stacks": 3})
        if size % shape.stride:
            raise InputError(f"network: slices of side {size} do not fit, {shape.stride} must divide the side.")
        return StyledUNet(shape, config.latent, config.style)

    @property
    def evaluations(self) -> int:
        """Network evaluations for each sample."""
        return self.config.sampling_steps

    def deterministic(self, observation: Observation) -> bool:
        """Only if nothing is missing is there nothing to draw."""
        return not observation.scenario.indices("missing")

    def fill_in(self, images: Tensor, given: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Complete rows by `denoised`."""
        stack = to_model(images)
        shown = network_input(stack, given, BLACK, generators)

        def estimate(x: Tensor, t: int) -> Tensor:
            z = randn((self.config.latent,), generators, x)
            times = torch.full((len(x),), t, device=x.device)
            return passed_through(self.network(entered(x, shown, given), times, z).float(), stack, given)

        return to_image(denoised(self.config.noise, estimate, images.shape[1:], generators, images))


def denoised(
    schedule: NoiseSchedule,
    estimate: Callable[[Tensor, int], Tensor],
    shape: Sequence[int],
    generators: Sequence[torch.Generator],
    like: Tensor,
) -> Tensor:
    """Go from noise to clean stacks in as many steps as the schedule has times, an evaluation each.

    Parameters
    ----------
    schedule
        Its times.
    estimate
        Clean estimate at x_t and t.
    shape
        Of one row.
    generators
        A generator for each row.
    like
        Gives dtype and device.
    """
    x = randn(shape, generators, like)
    for t, s in schedule.transitions(schedule.length):
        x = schedule.ancestral(estimate(x, t), x, randn(shape, generators, like), t, s)
    return x
