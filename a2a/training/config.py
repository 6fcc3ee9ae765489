"""What every training YAML says, and what one of a prior says (``experiments/priors/``)."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from a2a.common.names import Name
from a2a.prior.schedule import LONGEST
from a2a.prior.shipped import located

Width = Annotated[int, Field(ge=1, le=4096)]
"""Channels of a layer; networks of any method here have at most so many."""
Count = Annotated[int, Field(ge=1, le=64)]
"""Of levels, blocks, groups, heads or rounds."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class NetworkSize(_Strict):
    """Sizes of the U-Net, see `a2a.networks.unet.UNetConfig`."""

    width: int = Field(32, ge=8, le=4096, multiple_of=2)
    multipliers: tuple[Count, ...] = Field((1, 2, 2, 4), min_length=1, max_length=10)
    blocks: Count = 1
    attention: tuple[int, ...] = Field((4, 8), max_length=10)
    head_width: Width = 32
    patch: Count = 1
    noise_levels: Literal["joint", "per-modality"] = "joint"

    @model_validator(mode="after")
    def _buildable(self) -> "NetworkSize":
        levels = [2**level for level in range(len(self.multipliers))]
        if unknown := set(self.attention) - set(levels):
            raise ValueError(f"attention at {sorted(unknown)}, but the levels of these multipliers are {levels}")
        for level, multiplier in zip(levels, self.multipliers, strict=True):
            channels = self.width * multiplier
            heads = max(channels // self.head_width, 1)
            if (level in self.attention or level == levels[-1]) and channels % heads:
                raise ValueError(f"{channels} channels at level {level} cannot be shared by {heads} attention heads")
        return self


class PlainSize(_Strict):
    """Sizes of a plain U-Net, see `a2a.networks.plain.PlainConfig`."""

    widths: tuple[Width, ...] = Field((32, 64, 96, 128), min_length=1, max_length=10)


class Schedule(_Strict):
    """Noise schedule, see `a2a.prior.schedule.NoiseSchedule`."""

    kind: Literal["cosine", "linear"] = "cosine"
    length: int = Field(1000, ge=2, le=LONGEST)


class Augmentation(_Strict):
    """Random changes of a training slice; the same for all its modalities, except gain and gamma.

    `flip` is a probability; `rotate` in degrees, `scale` relative and `shift` in fractions of the side are
    standard deviations; `gain` and `gamma` are standard deviations of the logarithm, drawn for each modality.
    """

    flip: float = Field(0.5, ge=0, le=1)
    rotate: float = Field(0.0, ge=0)
    scale: float = Field(0.0, ge=0)
    shift: float = Field(0.0, ge=0)
    gain: float = Field(0.0, ge=0)
    gamma: float = Field(0.0, ge=0)


class TrainConfig(_Strict):
    """One training run, of a prior or of a method.

    Parameters
    ----------
    name
        Name of the run and of the weights it writes: letters, digits, ``_``, ``-`` and ``.``, for it names a folder.
    data
        Data card and profile of the slice store, for the record; the store itself is found by ``--data``.
    steps, batch, lr, warmup, ema, clip
        Optimiser steps, global batch size, learning rate (times a linear warm-up and a cosine that falls to zero over
        all steps), EMA decay (0: none), gradient-norm bound.
    precision
        One of `a2a.training.numerics.CHOICES`; ``auto`` measures which of them is the fastest. Only a named one gives
        the same weights twice: a measurement may come out otherwise.
    seed
        Together with the step it determines everything random: initial weights, data order, inputs, dropout.
    """

    name: Name = Field(pattern=r"^\w[\w.-]*$")
    data: str
    augmentation: Augmentation = Augmentation()
    steps: int = Field(ge=1)
    batch: int = Field(16, ge=1, le=65536)
    lr: float = Field(4e-4, gt=0)
    warmup: int = Field(200, ge=1)
    ema: float = Field(0.999, ge=0, lt=1)
    clip: float = Field(1.0, gt=0)
    precision: Literal["auto", "float32", "float32 channels_last", "bf16", "bf16 channels_last"] = "auto"
    seed: int = Field(0, ge=0, lt=2**63)
    log_every: int = Field(50, ge=1)
    checkpoint_every: int = Field(500, ge=1)

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that the run begins with."""
        return ()


class PriorConfig(TrainConfig):
    """Training of a prior.

    Parameters
    ----------
    method
        Says that this is a prior.
    start
        Weights (.safetensors) to begin with, a path from the working directory; None draws them from the seed.
        They must have this network and schedule, and the modalities of the data in their order, by name or alias: what
        simulated heads have taught goes on with real ones. Weights with shared levels may begin a network with its own,
        and weights without patches one that folds them, see `a2a.networks.warm_start`; where they predict something
        else, the last layer begins at zero. A plain network goes on from one of its own sizes.
    predicts
        What the network predicts: ``noise``, as in the paper, ``velocity``, which amplifies no error on the way to the
        clean estimate (Salimans and Ho 2022), or ``clean``, the stack itself, which lies where images lie also where
        patches have more pixels than the network has channels (Li and He 2025).
    plain
        A plain convolutional U-Net in place of `network`, which has noise levels for each modality and needs
        ``precondition: pooled``; see `a2a.networks.plain.PlainUNet`.
    crops
        Sides of the squares, in pixels, that are cut at random out of the slices: one is drawn for each step. Only a
        plain network, which is told where a pixel lies, learns from them. Without any it sees whole slices.
    precondition
        The linear estimate that a network with ``predicts: clean`` is shown and corrects, so that it learns only what
        is not linear: of each ``pixel`` and modality by itself, or ``cross-modal``, with what the modalities of a pixel
        say of each other, or ``pooled``, so and the same for all pixels; see `a2a.prior.linear.LinearEstimate`.
        ``none``: it answers without one.
    given
        Share of the slices that show some of their modalities nearly clean, at low noise levels of their own, and are
        scored on the others; a network with ``noise_levels: per-modality`` learns from them to complete. With 0 all
        share one level.
    given_until
        Share of the times, from the clean end, that given modalities are shown at; 0 shows them at the first.
    all_but_one
        Of the slices that show given modalities, the share that lacks a single one, the question asked most; the others
        lack any number of them.
    ask
        Scenarios such as ``T1 + T2FLAIR + T2star``, each with its share of the slices that show given modalities; the
        rest gives what is drawn otherwise. What a prior is asked most, it learns first.
    labelled
        Share of the slices that are drawn among those with labels, such as lesions, which are few. What is cut out of
        such a slice shows one of its labels, if it can.
    painted
        Share of what is cut out that lesions are painted into, as bright as labelled ones and of more sizes; see
        `a2a.training.lesions.Lesions`.
    emphasis
        How many times an error counts where there is a label: small lesions are a few pixels of what is cut out.
    adjacent
        Of the slices that show given modalities, the share that also shows these of the slices below and above, which a
        patient's volume has and a single slice has not; a plain network learns to look at them, or to do without.
    noisy
        Share of the slices that are shown in the noisiest fifth of the times, where a sample decides what head it will
        be; the others are shown at all times. There the paper's even times teach less than a linear estimate knows.
    last
        Of the slices that show given modalities, the share whose others are shown at the last time, as nothing but
        noise: there one evaluation is the whole answer.
    components
        Principal components of the training slices; towards what a Gaussian with them says of a noisy stack the clean
        estimates are shrunk at the end, see `a2a.training.validation.calibrated`. 0: no network needs it but at the
        noisiest times.
    checkpointing
        Compute activations again instead of keeping them, see `a2a.networks.unet.UNet`: slower, in less memory.
    """

    method: Literal["prior"] = "prior"
    network: NetworkSize = NetworkSize()
    plain: PlainSize | None = None
    crops: tuple[Annotated[int, Field(ge=8, le=4096)], ...] = Field((), max_length=16)
    schedule: Schedule = Schedule()
    start: Path | None = None
    predicts: Literal["noise", "velocity", "clean"] = "noise"
    precondition: Literal["none", "pixel", "cross-modal", "pooled"] = "none"
    given: float = Field(0.0, ge=0, le=1)
    given_until: float = Field(0.05, ge=0, le=1)
    all_but_one: float = Field(0.0, ge=0, le=1)
    ask: dict[str, Annotated[float, Field(gt=0, le=1)]] = Field({}, max_length=64)
    last: float = Field(0.0, ge=0, le=1)
    labelled: float = Field(0.0, ge=0, le=1)
    painted: float = Field(0.0, ge=0, le=1)
    emphasis: float = Field(1.0, ge=1, le=1000)
    adjacent: float = Field(0.0, ge=0, le=1)
    noisy: float = Field(0.0, ge=0, le=1)
    components: int = Field(0, ge=0, le=1000)
    checkpointing: bool = False

    @model_validator(mode="after")
    def _told(self) -> "PriorConfig":
        if (self.plain is None) != (self.precondition != "pooled"):
            raise ValueError("plain and precondition: pooled go together: set both or neither")
        if self.crops and self.plain is None:
            raise ValueError("crops need a network that is told where they lie: set plain")
        if (self.emphasis > 1 or self.painted) and not self.labelled:
            raise ValueError("emphasis and painted: labels are read only where slices are drawn for them; set labelled")
        if self.labelled and not self.crops:
            raise ValueError("labelled: only what is cut out of slices can show a label; set crops")
        if self.adjacent and self.plain is None:
            raise ValueError("adjacent: only a plain network looks at the slices below and above; set plain")
        if self.plain is not None and self.checkpointing:
            raise ValueError("checkpointing: a plain network keeps all its activations; leave it out")
        if self.plain is None and (self.given > 0) != (self.network.noise_levels == "per-modality"):
            raise ValueError("given and network.noise_levels go together: set both (0.5, per-modality) or neither")
        if self.ask and (sum(self.ask.values()) > 1 or not self.given):
            raise ValueError(
                "ask: its shares, of slices that show given modalities, add up to 1 at most; set given too"
            )
        if self.precondition != "none" and self.predicts != "clean":
            raise ValueError(f"precondition: {self.precondition} needs predicts: clean, but it is {self.predicts}")
        return self

    @property
    def files(self) -> tuple[Path, ...]:
        """The weights it starts from, where they are."""
        return (located(self.start),) if self.start else ()
