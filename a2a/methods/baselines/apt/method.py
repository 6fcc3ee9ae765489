"""APT as a method: its network, what it learns, and how it completes. See the chapter "APT"."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from a2a.common.errors import InputError
from a2a.common.rng import randn
from a2a.common.units import to_image, to_model
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.apt.codebook import KINDS, Codebook
from a2a.methods.baselines.apt.encoders import BiomedCLIPSize, EncoderSize
from a2a.methods.baselines.apt.fusion import Fusion, TrainedFusion
from a2a.methods.baselines.apt.inference import Guided, first_stage, second_stage
from a2a.methods.baselines.conditional import ConditionalConfig, mean_loss, noise_in, validation_rows, wide
from a2a.methods.baselines.learned_variance import noise_errors
from a2a.methods.baselines.synthesis import Synthesis
from a2a.methods.registry import method
from a2a.networks.conditional import ConditionalUNet
from a2a.networks.unet import UNetConfig
from a2a.prior.schedule import NoiseSchedule
from a2a.training.config import Count, Schedule, Width
from a2a.training.objective import Objective

EVERY = 4
"""Of the training slices of each subject every fourth enters the codebook."""


class APTConfig(ConditionalConfig):
    """Training and inference of `APT`; the defaults are the published ones for BraTS.

    Parameters
    ----------
    encoder, heads, hidden
        Of the fusion, see `a2a.methods.baselines.apt.fusion.FusionConfig`.
    fusion
        Its trained weights, .safetensors; training begins with them.
    codebook
        A codebook of these contrasts and data (.json); None makes it of the training subjects.
    schedule
        Of the noise: cosine, as the paper says (its scripts say linear).
    variance
        ``learned``, as published, or ``fixed`` to that of the posterior.
    initial
        What a missing contrast begins with: the ``adaptive`` prior of the codebook, a ``random`` given contrast and
        transform, ``zero``, which is grey, each noised to `start`, or ``noise`` alone.
    start, sampling_steps
        M, the time of the beginning, and S; stage 1 evaluates the network S + 1 times.
    guidance, strength
        ``norm`` as in the authors' code or ``squared`` as printed, and its step size alpha.
    stages
        2, or 1 without unrolling.
    fine, unrolling, weight
        Of stage 2: the time of its repetitions, its evaluations N, and the weight w of a new estimate.
    """

    method: Literal["apt"] = "apt"
    encoder: EncoderSize = BiomedCLIPSize()
    heads: Count = 8
    hidden: Width = 2048
    fusion: Path | None = None
    codebook: Path | None = None
    schedule: Schedule = Schedule(kind="cosine")
    variance: Literal["learned", "fixed"] = "learned"
    initial: Literal["adaptive", "random", "zero", "noise"] = "adaptive"
    start: int = Field(400, ge=1)
    sampling_steps: int = Field(20, ge=1)
    guidance: Literal["norm", "squared"] = "norm"
    strength: float = Field(20.0, ge=0)
    stages: Literal[1, 2] = 2
    fine: int = Field(40, ge=2)
    unrolling: int = Field(50, ge=3)
    weight: float = Field(0.5, gt=0, le=1)
    batch: int = Field(16, ge=1)

    @model_validator(mode="after")
    def _inside(self) -> "APTConfig":
        last = self.schedule.length - 1
        if not self.sampling_steps <= self.start <= last:
            raise ValueError(f"start: {self.start} must lie between sampling_steps ({self.sampling_steps}) and {last}")
        if self.fine > last:
            raise ValueError(f"fine: {self.fine} must not exceed {last}, the last time of the schedule")
        return self

    @property
    def files(self) -> tuple[Path, ...]:
        """The weights of the fusion, and the codebook."""
        return tuple(path for path in (self.fusion, self.codebook) if path is not None)

    @property
    def noise(self) -> NoiseSchedule:
        """The noise schedule with its tables."""
        return NoiseSchedule(self.schedule.kind, self.schedule.length)


class APTNetwork(nn.Module):
    """The denoiser that is told z, with the frozen fusion that makes z, and the tables of the codebook.

    Parameters
    ----------
    size
        Of the denoiser.
    config
        Says the rest.
    """

    def __init__(self, size: UNetConfig, config: APTConfig):
        super().__init__()
        answers, n = 2 if config.variance == "learned" else 1, size.channels
        self.denoiser = ConditionalUNet(size, answers * n, context=config.encoder.dims)
        self.fusion = Fusion(config.encoder, config.heads, config.hidden)
        for table in ("share", "similarity", "factor"):
            self.register_buffer(table, torch.zeros(n, n, KINDS))

    def forward(self, x: Tensor, t: Tensor, z: Tensor) -> Tensor:
        """Predict the noise, and the raw variance if that is learned, of x_t ``(b, n, H, W)``, told z ``(b, dims)``."""
        return self.denoiser(x, t, context=z[:, None])

    @torch.no_grad()
    def anatomy(self, stack: Tensor, given: Tensor) -> Tensor:
        """Return z of the given contrasts of stacks in [-1, 1]."""
        return self.fusion(stack, given).float()


@dataclass(frozen=True, eq=False)
class APTObjective(Objective):
    """The noise of all contrasts, noised alike, told z of all of them; with a learned variance also its bound."""

    config: APTConfig

    def networks(self) -> dict[str, nn.Module]:
        """Make the network with the fusion that the configuration names, and the codebook.

        Raises
        ------
        InputError
            If there is no fusion, or it or the codebook does not fit.
        """
        config, names = self.config, self.store.spec.names
        network = APT.build(config, self.store.spec, self.store.size)
        if config.fusion is None:
            raise InputError("fusion: name the weights of a fusion, trained by a recipe with method: apt-fusion.")
        fusion = TrainedFusion.load(config.fusion).require(self.store.spec, config.encoder, config.heads, config.hidden)
        cast(APTNetwork, network).fusion.load_state_dict(fusion.state_dict())
        data = str(self.store.said("fingerprint"))
        if config.codebook:
            book = Codebook.load(config.codebook).require(names, data)
        else:
            book = Codebook.of(fusion.encoder, self._slices, names, data)
        for table in ("share", "similarity", "factor"):
            getattr(network, table).copy_(getattr(book, table))
        return {self.product: network}

    @cached_property
    def _slices(self) -> Tensor:
        """Training slices for the codebook."""
        split = self.store.split("train")
        return torch.stack([torch.from_numpy(split.images[row].astype("float32")) for row in split.thinned(EVERY)])

    def optimiser(self, network: nn.Module) -> torch.optim.Optimizer:
        """Of the denoiser; the fusion stays as it is."""
        learning = cast(APTNetwork, network).denoiser.parameters()
        return torch.optim.AdamW(learning, lr=self.config.lr, weight_decay=0.0, fused=True)

    def inputs(self, clean: Tensor, draws: list[torch.Generator], step: int) -> tuple[Tensor, ...]:
        """Return clean stacks in [-1, 1], times and noise."""
        times = torch.stack([torch.randint(self.config.schedule.length, (), generator=draw) for draw in draws])
        return to_model(clean), times, randn(clean.shape[1:], draws)

    def loss(self, name: str, networks: Mapping[str, nn.Module], inputs: tuple[Tensor, ...]) -> Tensor:
        """Return the mean error over all contrasts."""
        (stack, times, noise), network, schedule = inputs, cast(APTNetwork, networks[name]), self.config.noise
        z = network.anatomy(stack, torch.ones(stack.shape[:2], dtype=torch.bool, device=stack.device))
        noisy = schedule.diffuse(stack, times, noise)
        answer = network(noisy, times, z).float()
        return noise_errors(schedule, answer, stack, noisy, times, noise, self.config.predicts).mean()

    def validation(self, network: nn.Module) -> float:
        """Return the loss on fixed slices and evenly spread times."""
        clean, _, generators = validation_rows(self.store.split("val"))
        times = torch.linspace(self.config.schedule.length - 1, 0, len(clean)).round().long()
        return mean_loss(self, network, (to_model(clean), times, randn(clean.shape[1:], generators)))

    def finished(self, network: nn.Module, card: dict[str, Any]) -> Synthesis[Any]:
        """Wrap the network as the method."""
        return APT(network.eval(), self.config, self.store.spec, self.store.size, card)


@method
@dataclass(frozen=True, eq=False)
class APT(Synthesis[APTConfig]):
    """Completes by guided denoising from a good beginning and by unrolling; several samples differ. See `APTConfig`."""

    config: APTConfig

    name: ClassVar[str] = "apt"
    fill: ClassVar[float | str] = "codebook"
    options: ClassVar[tuple[str, ...]] = (
        "initial", "start", "sampling_steps", "guidance", "strength", "stages", "fine", "unrolling", "weight",
    )  # fmt: skip
    Config: ClassVar[type[APTConfig]] = APTConfig
    Objective: ClassVar[type[Objective]] = APTObjective

    @classmethod
    def build(cls, config: APTConfig, spec: StackSpec, size: int) -> nn.Module:
        """Make the network for stacks like `spec`.

        Raises
        ------
        InputError
            If the network has more levels than the slices can be halved.
        """
        return APTNetwork(config.shape(len(spec), size), config)

    @property
    def evaluations(self) -> int:
        """Network evaluations for each sample, each with a gradient."""
        return self.config.sampling_steps + 1 + (self.config.unrolling if self.config.stages == 2 else 0)

    @property
    def codebook(self) -> Codebook:
        """The codebook of the training subjects."""
        data = str(self.card.get("data", {}).get("fingerprint", ""))
        tables = (getattr(self.network, name).cpu() for name in ("share", "similarity", "factor"))
        return Codebook(self.spec.names, data, *tables)

    def deterministic(self, observation: Observation) -> bool:
        """Only if nothing is missing is there nothing to draw."""
        return not observation.scenario.indices("missing")

    def begun(self, images: Tensor, given: Tensor, generators: Sequence[torch.Generator]) -> Tensor | None:
        """Return stacks in image units with what stands in for missing contrasts, or None for noise.

        Parameters
        ----------
        images, given, generators
            See `a2a.methods.baselines.synthesis.Synthesis.fill_in`; only ``random`` draws.
        """
        if self.config.initial == "noise":
            return None
        filled, book = images.clone(), self.codebook
        for row, (there, draw) in enumerate(zip(given.tolist(), generators, strict=True)):
            for target in (i for i, is_there in enumerate(there) if not is_there):
                filled[row, target] = self._stand_in(book, target, images[row], there, draw)
        return filled

    def _stand_in(
        self, book: Codebook, target: int, stack: Tensor, there: list[bool], draw: torch.Generator
    ) -> Tensor | float:
        if self.config.initial == "zero":
            return 0.5
        if self.config.initial == "adaptive":
            return book.image(target, stack, *book.choose(target, there))
        sources = [i for i, is_there in enumerate(there) if is_there]
        source = sources[int(torch.randint(len(sources), (), generator=draw))]
        return book.image(target, stack, source, int(torch.randint(KINDS, (), generator=draw)))

    def fill_in(self, images: Tensor, given: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Complete rows in the two stages, see `a2a.methods.baselines.synthesis.Synthesis.fill_in`."""
        config, stack = self.config, torch.where(wide(given), to_model(images), -1.0)
        if given.all():
            return images
        z = cast(APTNetwork, self.network).anatomy(stack, given)

        def estimate(x: Tensor, t: int) -> Tensor:
            times = torch.full((len(x),), t, device=x.device)
            answer, (signal, spread) = self.network(x, times, z).float(), config.noise.coefficients(t, x)
            noise = noise_in(config.predicts, answer[:, : x.shape[1]], x, signal, spread)
            return (x - spread * noise) / signal

        begun = self.begun(images, given, generators)
        guided = Guided(config.noise, estimate, stack, wide(given), generators, config.strength, config.guidance)
        found = first_stage(guided, None if begun is None else to_model(begun), config.start, config.sampling_steps)
        if config.stages == 2:
            found = second_stage(guided, found, config.fine, config.unrolling, config.weight)
        return to_image(found)
