"""The denoising U-Net of ADM (Dhariwal and Nichol 2021), told more than the time.

Further images stand beside the noisy ones, a code is added to what the blocks are told of the time, and a vector enters
by cross-attention (Rombach et al. 2022). Of it are the networks of the chapters "UMM-CSGM" and "APT", and that of the
conditional ADM.
"""

from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from a2a.common.errors import InputError
from a2a.networks.blocks import zeroed
from a2a.networks.unet import (
    ResidualBlock,
    Stage,
    UNetConfig,
    ascent,
    descent,
    middle,
    norm,
    resampling,
    tail,
    time_mlp,
    timestep_embedding,
)

CodeIn = Literal["decoder", "everywhere"]


class ConditionalUNet(nn.Module):
    """ADM's U-Net, with residual blocks between its levels.

    Parameters
    ----------
    size
        Sizes; ``stacks * channels`` images enter. Its patch is 1 and its levels are joint.
    outputs
        Images that leave.
    code
        Numbers of the code, 0 for none.
    code_in
        Whether the code is told to the ``decoder`` alone, or ``everywhere``.
    context
        Numbers of the vector that enters by cross-attention, 0 for none. With one, what attends are transformers.

    Notes
    -----
    H and W are multiples of ``size.stride``. A fresh network returns 0.

    Raises
    ------
    InputError
        If the size folds patches or has own levels.
    """

    def __init__(self, size: UNetConfig, outputs: int, code: int = 0, code_in: CodeIn = "everywhere", context: int = 0):
        super().__init__()
        if size.patch != 1 or size.noise_levels != "joint":
            raise InputError("network: patch must be 1 and noise_levels joint; other values are for priors.")
        self.size, self.code_in = size, code_in
        self.embed = time_mlp(size.width)
        self.code = nn.Linear(code, 4 * size.width) if code else None
        self.head = nn.Conv2d(size.stacks * size.channels, size.width, 3, padding=1)
        stage = partial(ContextStage, context=context) if context else Stage
        self.down, kept = descent(size, lambda c: resampling(c, size, nn.AvgPool2d(2)), stage)
        self.middle = middle(size, stage)
        self.up = ascent(size, kept, lambda c: resampling(c, size, nn.Upsample(scale_factor=2)), stage)
        self.tail = tail(size.width * size.multipliers[0], outputs)

    def forward(self, x: Tensor, t: Tensor, code: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        """Return the answer, ``(B, outputs, H, W)``.

        Parameters
        ----------
        x
            Images ``(B, stacks * channels, H, W)``.
        t
            Times on a scale of 1000, ``(B,)``.
        code
            ``(B, code)``.
        context
            ``(B, k, context)``, k vectors.

        Raises
        ------
        InputError
            If the number of images or their size does not fit the network.
        """
        entering, stride = self.size.stacks * self.size.channels, self.size.stride
        if x.shape[1] != entering or x.shape[2] % stride or x.shape[3] % stride:
            raise InputError(
                f"The network takes {entering} images with sides that {stride} divides, got {tuple(x.shape[1:])}."
            )
        before = after = self.embed(timestep_embedding(t, self.size.width))
        if self.code is not None:
            after = after + self.code(code.to(after.dtype))
            before = after if self.code_in == "everywhere" else before
        h = self.head(x)
        kept = [h]
        for module in self.down:
            h = _through(module, h, before, context)
            kept.append(h)
        for module in self.middle:
            h = _through(module, h, before, context)
        for module in self.up:
            joined = h if isinstance(module, ResidualBlock) else torch.cat([h, kept.pop()], dim=1)
            h = _through(module, joined, after, context)
        return self.tail(h).contiguous()


def _through(module: nn.Module, h: Tensor, embedding: Tensor, context: Tensor | None) -> Tensor:
    return module(h, embedding, context) if isinstance(module, ContextStage) else module(h, embedding)


class ContextStage(nn.Module):
    """A residual block, and where it attends a `SpatialTransformer`; arguments as those of `a2a.networks.unet.Stage`.

    Parameters
    ----------
    context
        Numbers of each vector that it attends to.
    """

    def __init__(self, inside: int, outside: int, config: UNetConfig, attend: bool, context: int):
        super().__init__()
        self.block = ResidualBlock(inside, outside, 4 * config.width, config.dropout)
        self.attention = SpatialTransformer(outside, config.head_width, context) if attend else None

    def forward(self, x: Tensor, embedding: Tensor, context: Tensor) -> Tensor:
        h = self.block(x, embedding)
        return h if self.attention is None else self.attention(h, context)


class SpatialTransformer(nn.Module):
    """Self-attention, cross-attention to the context and a gated layer, over all positions (Rombach et al. 2022).

    Attended to a single vector, the softmax is over one key and so exactly 1: the vector adds the same to every
    position.

    Parameters
    ----------
    channels
        Of the feature map.
    head_width
        Channels of one attention head.
    context
        Numbers of each vector of the context.
    """

    def __init__(self, channels: int, head_width: int, context: int):
        super().__init__()
        heads = max(channels // head_width, 1)
        self.norm, self.enter = norm(channels), nn.Conv2d(channels, channels, 1)
        self.norms = nn.ModuleList([nn.LayerNorm(channels) for _ in range(3)])
        self.own, self.cross = Heads(channels, channels, heads), Heads(channels, context, heads)
        self.gate, self.feed = nn.Linear(channels, 8 * channels), nn.Linear(4 * channels, channels)
        self.leave = zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Return the feature map ``(B, channels, H, W)``, the context being ``(B, k, context)``."""
        h = self.enter(self.norm(x)).flatten(2).transpose(1, 2)
        beside, across, on = self.norms
        h = h + self.own(y := beside(h), y)
        h = h + self.cross(across(h), context)
        value, gate = self.gate(on(h)).chunk(2, dim=-1)
        h = h + self.feed(value * F.gelu(gate))
        return x + self.leave(h.transpose(1, 2).reshape(x.shape))


class Heads(nn.Module):
    """Multi-head attention of positions ``(B, p, channels)`` to ``(B, k, context)``."""

    def __init__(self, channels: int, context: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(channels, channels, bias=False)
        self.key, self.value = (nn.Linear(context, channels, bias=False) for _ in range(2))
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        parts = [self.query(x), self.key(context), self.value(context)]
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        return self.out(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))
