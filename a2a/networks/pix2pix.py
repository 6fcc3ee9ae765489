"""The U-Net of pix2pix with any number of levels, in the form that mm-gan uses as generator.

Chapter "mmGAN" shows it at a glance.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from a2a.common.errors import InputError
from a2a.networks.patchgan import normal_weights, same_size

Head = Literal["relu", "tanh", "linear"]
FREE = 3  # finest levels without dropout on the way down


def _down(inside: int, outside: int, norm: bool, dropout: float) -> nn.Sequential:
    """Halve the size."""
    convolution = nn.Conv2d(inside, outside, 4, stride=2, padding=1, bias=False)
    norms = [nn.InstanceNorm2d(outside)] if norm else []
    return nn.Sequential(convolution, *norms, nn.LeakyReLU(0.2), nn.Dropout(dropout))


def _up(inside: int, outside: int, dropout: float) -> nn.Sequential:
    """Double the size."""
    convolution = nn.ConvTranspose2d(inside, outside, 4, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, nn.InstanceNorm2d(outside), nn.ReLU(), nn.Dropout(dropout))


class Pix2PixUNet(nn.Module):
    """A stack in, a stack out: levels that halve the size, the same back up, and skip connections between them.

    Instance norm without parameters, except at the finest and at the coarsest level, where it would erase a map of one
    pixel (Isola et al. 2017; Sharma and Hamarneh 2020, section III-B).

    Parameters
    ----------
    modalities
        n, channels in and out.
    widths
        Channels of each level on the way down; published (64, 128, 256, 512, 512, 512, 512, 512).
    head
        Last function: ``relu`` for images >= 0, ``tanh`` for (-1, 1), ``linear``.
    dropout
        Probability; on the way down in all levels but the finest three, on the way up in as many but one.
    """

    def __init__(self, modalities: int, widths: Sequence[int], head: Head = "relu", dropout: float = 0.2):
        super().__init__()
        self.modalities, self.stride, last = modalities, 2 ** len(widths), len(widths) - 1
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, (inside, outside) in enumerate(zip((modalities, *widths), widths, strict=False)):
            self.down.append(_down(inside, outside, 0 < level < last, dropout if level >= FREE else 0.0))
        inside = widths[-1]
        for place, outside in enumerate(reversed(widths[:-1])):
            self.up.append(_up(inside, outside, dropout if place < last - FREE else 0.0))
            inside = 2 * outside
        ending = {"relu": nn.ReLU(), "tanh": nn.Tanh(), "linear": nn.Identity()}[head]
        self.head = nn.Sequential(nn.Upsample(scale_factor=2), same_size(inside, modalities, bias=True), ending)
        normal_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map stacks ``(B, n, H, W)`` to stacks.

        Raises
        ------
        InputError
            If the number of modalities or the image size does not fit the network.
        """
        if x.shape[1] != self.modalities or x.shape[2] % self.stride or x.shape[3] % self.stride:
            raise InputError(
                f"The network takes {self.modalities} modalities with sides that {self.stride} divides, "
                f"got {tuple(x.shape[1:])}."
            )
        skips = []
        for down in self.down:
            x = down(x)
            skips.append(x)
        skips.pop()
        for up in self.up:
            x = torch.cat([up(x), skips.pop()], dim=1)
        return self.head(x)
