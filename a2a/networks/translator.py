"""The generator of UcDGAN in our reading: one encoder for images of any modality, one decoder told which to make.

Liu, Xing, El Fakhri and Woo, ISBI 2021, publish an outline; the layers are those of ResNet generators. Used by
`a2a.methods.baselines.ucdgan`.
"""

import torch
from torch import Tensor, nn

from a2a.networks.patchgan import normal_weights
from a2a.networks.resvit import double, halve, residual

STRIDE = 4


class ResidualBlocks(nn.Module):
    """Residual blocks one after the other: convolution and norm twice, beside the identity."""

    def __init__(self, channels: int, count: int):
        super().__init__()
        self.blocks = nn.ModuleList(residual(channels, channels, "reflect") for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + block(x)
        return x


def stem(inside: int, width: int) -> nn.Sequential:
    """Make the first layers of a ResNet generator: 7 x 7 at full size, then halved twice to ``4 width`` channels."""
    first = nn.Conv2d(inside, width, 7, padding=3, padding_mode="reflect", bias=False)
    halves = [*halve(width, 2 * width), *halve(2 * width, 4 * width)]
    return nn.Sequential(first, nn.BatchNorm2d(width), nn.ReLU(), *halves)


class Translator(nn.Module):
    """Images of any modality to anatomical features, and features to an image of a named modality.

    Parameters
    ----------
    modalities
        Number of modalities n.
    width
        Channels at full resolution; the features have four times as many, at a quarter of the size.
    blocks
        Residual blocks, one half before the target is told and one half after it.
    """

    def __init__(self, modalities: int, width: int = 64, blocks: int = 6):
        super().__init__()
        self.modalities, wide = modalities, 4 * width
        self.encoder = nn.Sequential(stem(1, width), ResidualBlocks(wide, blocks - blocks // 2))
        told = nn.Conv2d(wide + modalities, wide, 1, bias=False)
        last = nn.Conv2d(width, 1, 7, padding=3, padding_mode="reflect")
        grown = [*double(wide, 2 * width), *double(2 * width, width)]
        self.told = nn.Sequential(told, nn.BatchNorm2d(wide), nn.ReLU(), ResidualBlocks(wide, blocks // 2))
        self.decoder = nn.Sequential(*grown, last, nn.Tanh())
        normal_weights(self)

    def encoded(self, images: Tensor) -> Tensor:
        """Return the features ``(B, 4 width, H / 4, W / 4)`` of images ``(B, 1, H, W)`` in [-1, 1]."""
        return self.encoder(images)

    def decoded(self, features: Tensor, target: Tensor) -> Tensor:
        """Return images ``(B, 1, H, W)`` in (-1, 1) of the modalities `target`, ``(B,)``, from features."""
        return self.decoder(self.told(torch.cat([features, told(target, self.modalities, features)], dim=1)))

    def forward(self, images: Tensor, target: Tensor) -> Tensor:
        """Translate images ``(B, 1, H, W)`` to the modalities `target`, ``(B,)``."""
        return self.decoded(self.encoded(images), target)


def told(target: Tensor, modalities: int, like: Tensor) -> Tensor:
    """Maps that say everywhere which modality is meant, ``(B, n, h, w)``: 1 in the channel of the target, else 0.

    Parameters
    ----------
    target
        Channels ``(B,)``.
    modalities
        Number of modalities n.
    like
        Gives height, width, dtype and device.
    """
    code = nn.functional.one_hot(target, modalities).to(like)
    return code[:, :, None, None].expand(-1, -1, *like.shape[2:])
