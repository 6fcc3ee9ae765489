"""The networks of SynDiff: a U-Net whose norms are set by a random vector, and a discriminator that knows the time.

Ozbey et al., IEEE TMI 2023, as in their code (github.com/icon-lab/SynDiff), after Xiao, Kreis and Vahdat (2022).
Resolution changes by averages and repetition in place of their filters. Used by `a2a.methods.baselines.syndiff`.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from a2a.common.errors import InputError
from a2a.networks.blocks import conv3, zeroed
from a2a.networks.unet import Attention, UNetConfig, ascent, descent, middle, norm, time_mlp, timestep_embedding

Told = tuple[Tensor, Tensor]
"""What a block is told: the time, ``(B, 4 width)``, and the random vector, ``(B, style)``."""


class AdaptiveNorm(nn.Module):
    """GroupNorm whose scale and shift of each channel are linear in a vector; it begins with 1 and 0."""

    def __init__(self, channels: int, style: int):
        super().__init__()
        self.norm = nn.GroupNorm(norm(channels).num_groups, channels, affine=False)
        self.style = nn.Linear(style, 2 * channels)
        with torch.no_grad():
            self.style.bias.copy_(torch.cat([torch.ones(channels), torch.zeros(channels)]))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale, shift = self.style(style)[:, :, None, None].chunk(2, dim=1)
        return scale * self.norm(x) + shift


class StyledBlock(nn.Module):
    """Adaptive norm, SiLU and convolution twice, beside the identity; the time is added between the two.

    Parameters
    ----------
    inside, outside
        Channels.
    told
        Numbers that tell the time, and of the random vector.
    resample
        Layer without parameters that changes the resolution of both branches.
    """

    def __init__(self, inside: int, outside: int, told: tuple[int, int], resample: nn.Module | None = None):
        super().__init__()
        time, style = told
        self.norm1, self.conv1 = AdaptiveNorm(inside, style), conv3(inside, outside)
        self.time = nn.Linear(time, outside)
        self.norm2, self.conv2 = AdaptiveNorm(outside, style), zeroed(conv3(outside, outside))
        plain = inside == outside and resample is None
        self.skip = nn.Identity() if plain else nn.Conv2d(inside, outside, 1)
        self.resample = nn.Identity() if resample is None else resample

    def forward(self, x: Tensor, told: Told) -> Tensor:
        time, style = told
        h = self.conv1(self.resample(F.silu(self.norm1(x, style))))
        h = h + self.time(F.silu(time))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h, style)))
        return (self.skip(self.resample(x)) + h) / math.sqrt(2)


class _Stage(nn.Module):
    """A styled block, attended where the level is coarse enough."""

    def __init__(self, inside: int, outside: int, size: UNetConfig, attend: bool, style: int):
        super().__init__()
        self.block = StyledBlock(inside, outside, (4 * size.width, style))
        self.attention = Attention(outside, size.head_width) if attend else nn.Identity()

    def forward(self, x: Tensor, told: Told) -> Tensor:
        return self.attention(self.block(x, told))


class StyledUNet(nn.Module):
    """Clean estimate in (-1, 1) from noisy images, what stands beside them, the time and a random vector.

    Parameters
    ----------
    size
        Sizes; ``stacks * channels`` images enter and ``channels`` leave.
    latent
        Numbers of the random vector.
    style
        Numbers of what the blocks are told of it.

    Notes
    -----
    H and W are multiples of ``size.stride``.
    """

    LAYERS = 4  # from the random vector to what the blocks are told

    def __init__(self, size: UNetConfig, latent: int = 100, style: int = 256):
        super().__init__()
        self.size, told = size, (4 * size.width, style)
        self.embed = time_mlp(size.width)
        widths = [latent, *[style] * self.LAYERS]
        pairs = zip(widths, widths[1:], strict=False)
        self.mapping = nn.Sequential(*(layer for i, o in pairs for layer in (nn.Linear(i, o), nn.SiLU())))
        self.head = conv3(size.stacks * size.channels, size.width)
        stage = lambda i, o, config, attend: _Stage(i, o, config, attend, style)  # noqa: E731
        self.down, kept = descent(size, lambda c: StyledBlock(c, c, told, nn.AvgPool2d(2)), stage)
        self.middle = middle(size, stage)
        self.up = ascent(size, kept, lambda c: StyledBlock(c, c, told, nn.Upsample(scale_factor=2)), stage)
        self.tail = nn.Sequential(
            norm(size.width * size.multipliers[0]), nn.SiLU(), conv3(size.width * size.multipliers[0], size.channels)
        )

    def forward(self, x: Tensor, t: Tensor, z: Tensor) -> Tensor:
        """Return the clean estimate, ``(B, channels, H, W)``.

        Parameters
        ----------
        x
            Noisy images and what stands beside them, ``(B, stacks * channels, H, W)``.
        t
            Times ``(B,)``.
        z
            Standard normal, ``(B, latent)``.

        Raises
        ------
        InputError
            If the images do not fit the network.
        """
        images, stride = self.size.stacks * self.size.channels, self.size.stride
        if x.shape[1] != images or x.shape[2] % stride or x.shape[3] % stride:
            raise InputError(
                f"The network takes {images} images with sides that {stride} divides, got {tuple(x.shape[1:])}."
            )
        scaled = z * (z.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()
        told = self.embed(timestep_embedding(t, self.size.width)), self.mapping(scaled)
        h = self.head(x)
        skips = [h]
        for module in self.down:
            h = module(h, told)
            skips.append(h)
        for module in self.middle:
            h = module(h, told)
        for module in self.up:
            h = module(torch.cat([h, skips.pop()], dim=1) if isinstance(module, _Stage) else h, told)
        return torch.tanh(self.tail(h))


class _Halving(nn.Module):
    """Two convolutions that halve the size, the time added between them, beside a linear path."""

    def __init__(self, inside: int, outside: int, time: int):
        super().__init__()
        self.conv1, self.conv2 = conv3(inside, outside), conv3(outside, outside)
        self.time, self.skip = nn.Linear(time, outside), nn.Conv2d(inside, outside, 1, bias=False)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = self.conv1(F.leaky_relu(x, 0.2)) + self.time(time)[:, :, None, None]
        h = self.conv2(F.avg_pool2d(F.leaky_relu(h, 0.2), 2))
        return (h + self.skip(F.avg_pool2d(x, 2))) / math.sqrt(2)


class TimeDiscriminator(nn.Module):
    """One number that says how real a pair of noisy images looks, an earlier one beside a later one.

    Parameters
    ----------
    modalities
        Number of modalities n.
    widths
        Channels after each halving; published (256, 512, 512, 512, 512, 512).
    time
        Numbers that tell the time.
    """

    GROUP = 4  # slices whose spread is shown to the last layers

    def __init__(self, modalities: int, widths: Sequence[int], time: int = 256):
        super().__init__()
        self.width, wide = time, widths[-1]
        self.embed = nn.Sequential(nn.Linear(time, time), nn.LeakyReLU(0.2), nn.Linear(time, time), nn.LeakyReLU(0.2))
        self.head = nn.Conv2d(2 * modalities, widths[0] // 2, 1)
        pairs = zip((widths[0] // 2, *widths), widths, strict=False)
        self.blocks = nn.ModuleList(_Halving(inside, outside, time) for inside, outside in pairs)
        self.tail, self.last = conv3(wide + 1, wide), nn.Linear(wide, 1)

    def forward(self, earlier: Tensor, later: Tensor, t: Tensor) -> Tensor:
        """Judge pairs ``x_s, x_t``, both ``(B, n, H, W)``, of the times t, ``(B,)``: ``(B,)``, large where real."""
        time = self.embed(timestep_embedding(t, self.width))
        h = self.head(torch.cat([earlier, later], dim=1))
        for block in self.blocks:
            h = block(h, time)
        groups = h.float().unflatten(0, (-1, math.gcd(len(h), self.GROUP)))
        spread = (groups.var(dim=1, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))
        shown = spread.repeat_interleave(groups.shape[1])[:, None, None, None].expand(-1, 1, *h.shape[2:])
        h = F.leaky_relu(self.tail(torch.cat([h, shown.to(h)], dim=1)), 0.2)
        return self.last(h.sum(dim=(2, 3)))[:, 0]
