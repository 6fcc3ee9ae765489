"""The network of DisC-Diff (Mao et al. 2023): an ADM U-Net with three encoders and a bottleneck that sorts features.

Chapter "DisC-Diff" shows it at a glance.
"""

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn

from a2a.common.errors import InputError
from a2a.networks.excitation import SqueezeExcitation
from a2a.networks.unet import (
    Stage,
    UNetConfig,
    ascent,
    descent,
    middle,
    resampling,
    tail,
    time_mlp,
    timestep_embedding,
)

STREAMS = 3  # the noisy image, the zero-filled one, and the reference


class Disentangled(NamedTuple):
    """What the network returns.

    Attributes
    ----------
    out
        ``(B, outputs, H, W)``: the noise, and with two outputs the raw variance.
    common, distinct
        Features of the three streams at the bottleneck, ``(B, 3, C / 2, H', W')``.
    """

    out: Tensor
    common: Tensor
    distinct: Tensor


class DisCDiffNetwork(nn.Module):
    """Noise predictor ``eps(x_t, t, zero-filled, reference)``.

    Parameters
    ----------
    size
        Of each encoder, and of the decoder, see `a2a.networks.unet.UNetConfig`; its channels and patch are 1.
    outputs
        1: the noise; 2: also the raw variance.

    Notes
    -----
    All images are ``(B, 1, H, W)`` in [-1, 1] plus noise; H and W are multiples of ``size.stride``; times are ``(B,)``.
    The three encoders are equal at first and share nothing. What the decoder is handed from a level is the mean of the
    three. One convolution finds the common features of every stream, another one the distinct ones.
    """

    def __init__(self, size: UNetConfig, outputs: int = 1):
        super().__init__()
        self.size, channels = size, size.width * size.multipliers[-1]
        half = channels // 2
        self.embed = time_mlp(size.width)
        first = _Encoder(size)
        self.encoders = nn.ModuleList([first, *(copy.deepcopy(first) for _ in range(STREAMS - 1))])
        self.common, self.distinct = _halving(channels), _halving(channels)
        self.excite_common = SqueezeExcitation(half)
        self.excite_distinct = nn.ModuleList([SqueezeExcitation(half) for _ in range(STREAMS)])
        self.join = nn.Sequential(nn.Conv2d((1 + STREAMS) * half, channels, 1), nn.SiLU())
        self.middle = middle(size)
        self.up = ascent(size, first.kept, lambda c: resampling(c, size, nn.Upsample(scale_factor=2, mode="nearest")))
        self.tail = tail(size.width * size.multipliers[0], outputs)

    def forward(self, x: Tensor, t: Tensor, zero_filled: Tensor, reference: Tensor) -> Disentangled:
        """Predict the noise, and return the features that the loss compares.

        Parameters
        ----------
        x
            Noisy target, ``(B, 1, H, W)`` in [-1, 1].
        t
            Times ``(B,)``.
        zero_filled, reference
            ``(B, 1, H, W)`` in [-1, 1].

        Raises
        ------
        InputError
            If the images are not single channels of a size that fits the network.
        """
        images, stride = (x, zero_filled, reference), self.size.stride
        if {image.shape for image in images} != {(len(x), 1, *x.shape[2:])} or any(s % stride for s in x.shape[2:]):
            shapes = [tuple(image.shape) for image in images]
            raise InputError(f"The network takes three (B, 1, H, W) with sides that {stride} divides, got {shapes}.")
        embedding = self.embed(timestep_embedding(t, self.size.width))
        streams = [encoder(image, embedding) for encoder, image in zip(self.encoders, images, strict=True)]
        kept = [sum(level) / STREAMS for level in zip(*streams, strict=True)]
        coarse = [stream[-1] for stream in streams]
        common = torch.stack([self.common(h) for h in coarse], dim=1)
        pairs = zip(self.excite_distinct, coarse, strict=True)
        distinct = torch.stack([excite(self.distinct(h)) for excite, h in pairs], dim=1)
        h = self.join(torch.cat([self.excite_common(common.mean(dim=1)), distinct.flatten(1, 2)], dim=1))
        for stage in self.middle:
            h = stage(h, embedding)
        for module in self.up:
            h = module(torch.cat([h, kept.pop()], dim=1) if isinstance(module, Stage) else h, embedding)
        return Disentangled(self.tail(h), common, distinct)


class _Encoder(nn.Module):
    """The way down; returns the feature map of the first convolution and of every module."""

    def __init__(self, size: UNetConfig):
        super().__init__()
        self.head = nn.Conv2d(size.channels, size.width, 3, padding=1)
        self.down, self.kept = descent(size, lambda channels: resampling(channels, size, nn.AvgPool2d(2)))

    def forward(self, x: Tensor, embedding: Tensor) -> list[Tensor]:
        maps = [self.head(x)]
        for module in self.down:
            maps.append(module(maps[-1], embedding))
        return maps


def _halving(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, channels // 2, 3, padding=1), nn.SiLU())
