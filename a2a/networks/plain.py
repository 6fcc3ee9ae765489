"""A convolutional U-Net without attention, which learns from crops and answers whole slices.

What is noised, and how much, comes as maps beside the images (`a2a.prior.target.Target`); two more maps say where each
pixel lies. Each pixel is normalised by itself, so that what the network says of it depends on its surroundings alone,
and not on how much of the slice is seen. Chapter "The diffusion prior".
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from a2a.common.errors import InputError, whole
from a2a.forward.adjacent import SIDES
from a2a.networks.blocks import zeroed
from a2a.networks.lean import Convolution

PLACE = 2  # maps that say where a pixel lies


@dataclass(frozen=True)
class PlainConfig:
    """Size of a `PlainUNet`.

    Parameters
    ----------
    channels
        Modalities n of the stack (output channels).
    widths
        Channels of each level; each further level halves the resolution.
    stacks
        How many stacks of n channels it is shown.
    adjacent
        Whether it is also shown the slices below and above, n channels each.

    Raises
    ------
    InputError
        If a size is none that can be built.
    """

    channels: int
    widths: tuple[int, ...] = (32, 64, 96, 128)
    stacks: int = 3
    adjacent: bool = False

    noise_levels: ClassVar[Literal["per-modality"]] = "per-modality"

    def __post_init__(self) -> None:
        whole("channels", self.channels, 1, 1024)
        whole("the number of widths", len(self.widths), 1, 10)
        for width in self.widths:
            whole("widths", width, 1, 4096)
        whole("stacks", self.stacks, 1, 3)

    @property
    def stride(self) -> int:
        """Image sides must be multiples of this."""
        return 2 ** (len(self.widths) - 1)


def places(height: int, width: int) -> Tensor:
    """Row and column of each pixel, -1 at the first and 1 at the last: ``(2, H, W)``.

    Parameters
    ----------
    height, width
        Of a whole slice.
    """
    lines = (torch.linspace(-1, 1, side) for side in (height, width))
    return torch.stack(torch.meshgrid(*lines, indexing="ij"))


class PixelNorm(nn.Module):
    """Mean 0 and variance 1 over the channels of each pixel, then a scale and a shift of each channel."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        last = F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias)
        return last.permute(0, 3, 1, 2)


class PlainBlock(nn.Module):
    """Norm, convolution, SiLU, convolution, beside the identity; begins as the identity."""

    def __init__(self, inside: int, outside: int):
        super().__init__()
        self.norm, self.conv1 = PixelNorm(inside), Convolution(inside, outside, 3, padding=1)
        self.conv2 = zeroed(Convolution(outside, outside, 3, padding=1))
        self.skip = nn.Identity() if inside == outside else nn.Conv2d(inside, outside, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x) + self.conv2(F.silu(self.conv1(self.norm(x))))


class PlainUNet(nn.Module):
    """Answers what `a2a.prior.target.Target` says, from maps of the images, of their noise and of the place.

    Parameters
    ----------
    config
        Sizes, see `PlainConfig`.

    Notes
    -----
    Input is `(B, stacks n, H, W)`, a whole slice, or `(B, stacks n + 2, H, W)`, a part of one with its `places`, and
    `(B, 2 n, H, W)` of what lies below and above, or None where nothing is known of it. Output is `(B, n, H, W)`; H and
    W are multiples of ``config.stride``. Times are not needed: maps say them.
    """

    def __init__(self, config: PlainConfig):
        super().__init__()
        self.config, widths = config, config.widths
        self.head = Convolution(config.stacks * config.channels + PLACE + self._beside, widths[0], 3, padding=1)
        self.down = nn.ModuleList(PlainBlock(width, width) for width in widths)
        self.halve = nn.ModuleList(nn.Conv2d(fine, coarse, 2, 2) for fine, coarse in pairwise(widths))
        self.middle = PlainBlock(widths[-1], widths[-1])
        self.widen = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in pairwise(widths))
        self.up = nn.ModuleList(PlainBlock(2 * width, width) for width in widths[:-1])
        self.tail = nn.Sequential(
            PixelNorm(widths[0]), nn.SiLU(), zeroed(Convolution(widths[0], config.channels, 3, padding=1))
        )

    @property
    def _beside(self) -> int:
        """Channels of what lies below and above."""
        return SIDES * self.config.channels if self.config.adjacent else 0

    def forward(self, x: Tensor, t: Tensor | None = None, adjacent: Tensor | None = None) -> Tensor:
        """Return the answer for each modality, `(B, n, H, W)`.

        Raises
        ------
        InputError
            If the number of maps or the size does not fit the network.
        """
        c, shown = self.config, self.config.stacks * self.config.channels
        if x.shape[1] not in (shown, shown + PLACE) or x.shape[2] % c.stride or x.shape[3] % c.stride:
            raise InputError(
                f"The network takes {c.channels} modalities with sides that {c.stride} divides, "
                f"got {tuple(x.shape[1:])}."
            )
        if x.shape[1] == shown:
            place = places(*x.shape[2:]).to(x)
            x = torch.cat([x, place.expand(len(x), -1, -1, -1)], dim=1)
        if self._beside:
            if adjacent is None:
                adjacent = x.new_zeros(1, self._beside, 1, 1).expand(len(x), -1, *x.shape[2:])
            x = torch.cat([x, adjacent], dim=1)
        h, kept = self.head(x), []
        for block, halve in zip(self.down, self.halve, strict=False):
            kept.append(block(h))
            h = halve(kept[-1])
        h = self.middle(self.down[-1](h))
        for widen, block in reversed(list(zip(self.widen, self.up, strict=True))):
            h = F.interpolate(widen(h), scale_factor=2, mode="nearest")
            h = block(torch.cat([h, kept.pop()], dim=1))
        return self.tail(h).contiguous()
