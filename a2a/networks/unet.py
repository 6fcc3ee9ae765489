"""The denoising U-Net of ADM (Dhariwal and Nichol 2021), sized for stacks of any number of modalities.

Chapter "The diffusion prior" shows it at a glance. M2DN and DisC-Diff are built of the same blocks.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from a2a.common.errors import InputError
from a2a.networks.blocks import zeroed
from a2a.networks.bypass import Bypass
from a2a.networks.lean import Convolution, activated


@dataclass(frozen=True)
class UNetConfig:
    """Size of a `UNet`.

    Parameters
    ----------
    channels
        Modalities n of the stack (input and output channels).
    width
        Channels at the finest level.
    multipliers
        Channel multiplier of each level; each further level halves the resolution.
    blocks
        Residual blocks a level.
    attention
        Downsampling factors (1, 2, 4, ...) at which self-attention is used.
    head_width
        Channels of one attention head.
    patch
        Side of the patches folded into channels before the first convolution (1: none), see `Bypass`.
    dropout
        Dropout probability inside residual blocks.
    noise_levels
        The noise levels that the network is told: one that all modalities share, or the own level of each.
    stacks
        How many stacks of n channels it is shown: the noisy one, and what else `a2a.prior.target.Target` shows.
    datasets
        How many data sets it is told apart; 0: it is not told any.
    """

    channels: int
    width: int = 32
    multipliers: tuple[int, ...] = (1, 2, 2, 4)
    blocks: int = 1
    attention: tuple[int, ...] = (4, 8)
    head_width: int = 32
    patch: int = 1
    dropout: float = 0.0
    noise_levels: Literal["joint", "per-modality"] = "joint"
    stacks: int = 1
    datasets: int = 0

    @property
    def stride(self) -> int:
        """Image sides must be multiples of this."""
        return self.patch * 2 ** (len(self.multipliers) - 1)


def timestep_embedding(t: Tensor, width: int) -> Tensor:
    """Sinusoidal embedding of time indices, `(B,)` or `(B, k)` to `(B, k width)` (Ho et al. 2020, section B)."""
    half = width // 2
    frequencies = torch.exp(-math.log(10000.0) * torch.arange(half, device=t.device, dtype=torch.float32) / half)
    angles = t.float()[..., None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1).flatten(1)


def told_mlp(width: int) -> nn.Sequential:
    """Layers from the code of a data set, `width` numbers, to what is added to that of the time; zero at first.

    The blocks make their scales and shifts of the sum: personalised feature modulation (Zhang et al. 2026).
    """
    return nn.Sequential(nn.Linear(width, width), nn.SiLU(), zeroed(nn.Linear(width, 4 * width)))


def norm(channels: int) -> nn.GroupNorm:
    """GroupNorm with at least two channels in a group, so that the mean of a channel is not lost."""
    return nn.GroupNorm(math.gcd(32, channels // 2), channels)


def time_mlp(width: int, times: int = 1) -> nn.Sequential:
    """Layers from the embedding of time indices, `width` numbers each, to the ``4 width`` that the blocks are told."""
    return nn.Sequential(nn.Linear(times * width, 4 * width), nn.SiLU(), nn.Linear(4 * width, 4 * width))


class ResidualBlock(nn.Module):
    """GroupNorm-SiLU-conv twice, with the time embedding as scale and shift of the second norm.

    With `resample`, a layer without parameters, both branches change their resolution before the first convolution.
    """

    def __init__(self, inside: int, outside: int, embedding: int, dropout: float, resample: nn.Module | None = None):
        super().__init__()
        self.norm1, self.conv1 = norm(inside), Convolution(inside, outside, 3, padding=1)
        self.time = nn.Linear(embedding, 2 * outside)
        self.norm2, self.dropout = norm(outside), nn.Dropout(dropout)
        self.conv2 = zeroed(Convolution(outside, outside, 3, padding=1))
        self.skip = nn.Identity() if inside == outside else nn.Conv2d(inside, outside, 1)
        self.resample = nn.Identity() if resample is None else resample

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv1(self.resample(activated(self.norm1, x)))
        scale, shift = self.time(F.silu(embedding))[:, :, None, None].chunk(2, dim=1)
        return self.skip(self.resample(x)) + self.conv2(self.dropout(activated(self.norm2, h, scale, shift)))


class Attention(nn.Module):
    """Multi-head self-attention over all positions of a coarse feature map."""

    def __init__(self, channels: int, head_width: int):
        super().__init__()
        self.heads = max(channels // head_width, 1)
        self.norm, self.qkv = norm(channels), nn.Conv2d(channels, 3 * channels, 1)
        self.out = zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        qkv = self.qkv(self.norm(x)).reshape(b, 3, self.heads, c // self.heads, h * w).transpose(3, 4)
        y = F.scaled_dot_product_attention(qkv[:, 0], qkv[:, 1], qkv[:, 2])
        return x + self.out(y.transpose(2, 3).reshape(b, c, h, w))


class Stage(nn.Module):
    """A residual block, attended where the level is coarse enough."""

    def __init__(self, inside: int, outside: int, config: UNetConfig, attend: bool):
        super().__init__()
        self.block = ResidualBlock(inside, outside, 4 * config.width, config.dropout)
        self.attention = Attention(outside, config.head_width) if attend else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        return self.attention(self.block(x, embedding))


MakeStage = Callable[[int, int, UNetConfig, bool], nn.Module]
"""Makes a stage of channels in and out, the sizes of the network, and whether it attends, as `Stage` does."""


def descent(
    config: UNetConfig, down: Callable[[int], nn.Module], stage: MakeStage = Stage
) -> tuple[nn.ModuleList, list[int]]:
    """Build the way down: the stages of all levels, with ``down(channels)`` between levels.

    Parameters
    ----------
    config
        Of the network.
    down
        Makes the layer between two levels.
    stage
        Makes a stage.

    Returns
    -------
    tuple
        The modules, and the channels of every feature map that the way up needs again: of the first convolution and of
        each module.
    """
    modules, kept = nn.ModuleList(), [config.width]
    for level, multiplier in enumerate(config.multipliers):
        for _ in range(config.blocks):
            modules.append(stage(kept[-1], config.width * multiplier, config, 2**level in config.attention))
            kept.append(config.width * multiplier)
        if level < len(config.multipliers) - 1:
            modules.append(down(kept[-1]))
            kept.append(kept[-1])
    return modules, kept


def middle(config: UNetConfig, stage: MakeStage = Stage) -> nn.ModuleList:
    """Build the two stages at the coarsest level, the first one attended."""
    channels = config.width * config.multipliers[-1]
    return nn.ModuleList([stage(channels, channels, config, True), stage(channels, channels, config, False)])


def ascent(
    config: UNetConfig, kept: list[int], up: Callable[[int], nn.Module], stage: MakeStage = Stage
) -> nn.ModuleList:
    """Build the way up, the mirror of `descent`: each stage takes what was kept last, ``up(channels)`` ends a level.

    Parameters
    ----------
    config
        Of the network.
    kept
        Channels that the way down kept, first to last.
    up
        Makes the layer between two levels.
    stage
        Makes a stage.
    """
    modules, kept, current = nn.ModuleList(), list(kept), kept[-1]
    for level, multiplier in reversed(list(enumerate(config.multipliers))):
        for _ in range(config.blocks + 1):
            inside, current = current + kept.pop(), config.width * multiplier
            modules.append(stage(inside, current, config, 2**level in config.attention))
        if level > 0:
            modules.append(up(current))
    return modules


def resampling(channels: int, config: UNetConfig, resample: nn.Module) -> ResidualBlock:
    """Make the residual block that stands between two levels in ADM.

    Parameters
    ----------
    channels
        Of its feature maps, before and after.
    config
        Of the network.
    resample
        Changes the resolution.
    """
    return ResidualBlock(channels, channels, 4 * config.width, config.dropout, resample)


def tail(channels: int, outputs: int) -> nn.Sequential:
    """The last layers, which start at zero."""
    return nn.Sequential(norm(channels), nn.SiLU(), zeroed(Convolution(channels, outputs, 3, padding=1)))


def _plain_up(channels: int) -> nn.Module:
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), Convolution(channels, channels, 3, padding=1))


class UNet(nn.Module):
    """Predicts the noise `eps_theta(x_t, t)`, or what else `a2a.prior.target.Target` says; the training decides which.

    Parameters
    ----------
    config
        Sizes, see `UNetConfig`.
    checkpointing
        While gradients are computed, keep only the ends of each stage and compute its inside again when they come
        back (Chen et al. 2016): a forward pass more, and a fraction of the memory. Changes no result.

    Notes
    -----
    Input is `(B, stacks n, H, W)` in [-1, 1] plus noise, output `(B, n, H, W)`; H and W are multiples of
    ``config.stride``. Times are indices 0 ... T-1, `(B,)`, or `(B, n)` where each modality has its own level.
    """

    def __init__(self, config: UNetConfig, checkpointing: bool = False):
        super().__init__()
        self.config, self.checkpointing = config, checkpointing
        self.outputs = config.channels * config.patch**2
        self.times = 1 if config.noise_levels == "joint" else config.channels
        self.embed = time_mlp(config.width, self.times)
        self.told = told_mlp(config.width) if config.datasets else None
        self.head = Convolution(config.stacks * self.outputs, config.width, 3, padding=1)
        self.down, kept = descent(config, lambda channels: Convolution(channels, channels, 3, stride=2, padding=1))
        coarsest = middle(config)
        self.up = ascent(config, kept, _plain_up)
        self.middle = coarsest
        self.tail = tail(config.width * config.multipliers[0], self.outputs)
        self.bypass = Bypass(config.channels, config.patch, 4 * config.width) if config.patch > 1 else None

    def forward(self, x: Tensor, t: Tensor, dataset: Tensor | None = None) -> Tensor:
        """Return the prediction of each modality, `(B, n, H, W)`.

        Parameters
        ----------
        x
            What it is shown.
        t
            Times.
        dataset
            Number of the data set of each row, `(B,)`, where the network is told it.

        Raises
        ------
        InputError
            If the number of modalities or the image size does not fit the network.
        """
        c = self.config
        if x.shape[1] != c.stacks * c.channels or x.shape[2] % c.stride or x.shape[3] % c.stride:
            raise InputError(
                f"The network takes {c.channels} modalities with sides that {c.stride} divides, "
                f"got {tuple(x.shape[1:])}."
            )
        times = t.reshape(t.shape[0], -1).expand(-1, self.times)
        embedding = self.embed(timestep_embedding(times, c.width))
        if self.told is not None:
            assert dataset is not None  # a prior of a collection always tells it
            embedding = embedding + self.told(timestep_embedding(dataset, c.width))
        folded = F.pixel_unshuffle(x, c.patch)
        h = self.head(folded)
        skips = [h]
        for module in self.down:
            h = self._through(module, embedding, h)
            skips.append(h)
        for module in self.middle:
            h = self._through(module, embedding, h)
        for module in self.up:
            h = self._through(module, embedding, *([h, skips.pop()] if isinstance(module, Stage) else [h]))
        h = self.tail(h) if self.bypass is None else self.tail(h) + self.bypass(folded[:, : self.outputs], embedding)
        return F.pixel_shuffle(h.contiguous(), c.patch)  # in the order of x, whatever that of the feature maps is

    def _through(self, module: nn.Module, embedding: Tensor, *parts: Tensor) -> Tensor:
        """Send feature maps, joined along channels, through a stage or a change of resolution."""

        def run(embedding: Tensor, *parts: Tensor) -> Tensor:
            h = torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]
            return module(h, embedding) if isinstance(module, Stage) else module(h)

        if self.checkpointing and torch.is_grad_enabled():
            return checkpoint(run, embedding, *parts, use_reentrant=False)
        return run(embedding, *parts)
