"""The generator of Hi-Net: an encoder for each modality, and a stream that fuses their features level by level.

Zhou et al., IEEE TMI 2020, sections III-B and III-C, as in their code (github.com/taozh2017/HiNet), for any number of
modalities in and out. Used by `a2a.methods.baselines.hinet`.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from a2a.common.errors import InputError
from a2a.networks.blocks import conv3

LEVELS = 3


def _unit(inside: int, outside: int, activation: nn.Module) -> nn.Sequential:
    return nn.Sequential(conv3(inside, outside), nn.BatchNorm2d(outside), activation)


def mixed(features: Sequence[Tensor]) -> Tensor:
    """Join what the available modalities say by sum, product and maximum: ``(B, 3 C, H, W)``.

    Of two modalities it is what Zhou et al. join; the order of the modalities does not matter.

    Parameters
    ----------
    features
        Of each available modality, ``(B, C, H, W)``.
    """
    together = torch.stack(list(features))
    return torch.cat([together.sum(dim=0), together.prod(dim=0), together.amax(dim=0)], dim=1)


class FusionBlock(nn.Module):
    """The mixed fusion block: the features of the modalities are joined, then the result of the previous fusion.

    Parameters
    ----------
    inside
        Channels C of the features of a modality.
    previous
        Channels of the previous fusion; 0 in the first block.
    outside
        Channels of the result.
    activation
        Last function of both convolutions.
    """

    def __init__(self, inside: int, previous: int, outside: int, activation: nn.Module):
        super().__init__()
        self.join = _unit(3 * inside, inside, activation)
        self.go_on = _unit(inside + previous, outside, activation)

    def forward(self, features: Sequence[Tensor], before: Tensor | None = None) -> Tensor:
        joined = self.join(mixed(features))
        return self.go_on(joined if before is None else torch.cat([joined, before], dim=1))


class Encoder(nn.Module):
    """Two convolutions a level, each level followed by max-pooling, and its own decoder back to the image."""

    def __init__(self, width: int):
        super().__init__()
        widths, leaky = [1, width, 2 * width, 4 * width], nn.LeakyReLU(0.2)
        pairs = zip(widths, widths[1:], strict=False)
        self.levels = nn.ModuleList(nn.Sequential(_unit(i, o, leaky), _unit(o, o, leaky)) for i, o in pairs)
        steps = [(4, 4), (4, 4), (4, 2), (2, 2), (2, 1), (1, 1)]
        self.back = nn.ModuleList(_unit(i * width, o * width, nn.ReLU()) for i, o in steps)
        self.image = nn.Sequential(conv3(width, 1), nn.Tanh())

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the pooled features of each level, finest first."""
        found = []
        for level in self.levels:
            image = F.max_pool2d(level(image), 2)
            found.append(image)
        return found

    def decoded(self, coarsest: Tensor) -> Tensor:
        """Return the image that the coarsest features stand for, ``(B, 1, H, W)`` in (-1, 1)."""
        h = coarsest
        for number, layer in enumerate(self.back):
            h = layer(h)
            h = F.interpolate(h, scale_factor=2.0) if number % 2 == 0 else h
        return self.image(h)


class HiNet(nn.Module):
    """Any of the modalities in, all of `outputs` out, and each given image decoded from its own features.

    Parameters
    ----------
    inputs
        Modalities that may be given, each with an encoder.
    outputs
        Modalities that the fusion stream makes; 1 as published.
    width
        Channels of the finest level; published 32.
    """

    def __init__(self, inputs: int, outputs: int, width: int = 32):
        super().__init__()
        w, leaky, relu = width, nn.LeakyReLU(0.2), nn.ReLU()
        self.inputs = inputs
        self.encoders = nn.ModuleList(Encoder(w) for _ in range(inputs))
        down = [FusionBlock(w, 0, 2 * w, leaky), FusionBlock(2 * w, 2 * w, 4 * w, leaky)]
        self.down = nn.ModuleList([*down, FusionBlock(4 * w, 4 * w, 4 * w, leaky)])
        self.bottom = nn.Sequential(_unit(4 * w, 8 * w, leaky), _unit(8 * w, 4 * w, relu))
        up = [FusionBlock(4 * w, 4 * w, 2 * w, relu), FusionBlock(2 * w, 2 * w, w, relu)]
        self.up = nn.ModuleList([*up, FusionBlock(w, w, w, relu)])
        self.tail = nn.Sequential(_unit(w, w, relu), conv3(w, outputs), nn.Tanh())

    def forward(self, stack: Tensor, given: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Fuse some modalities of stacks.

        Parameters
        ----------
        stack
            ``(B, inputs, H, W)`` in [-1, 1]; only what is given is looked at.
        given
            Channels that are given, at least one.

        Returns
        -------
        tuple of torch.Tensor
            The fused answer ``(B, outputs, H, W)``, and the given images decoded, ``(B, len(given), H, W)``.

        Raises
        ------
        InputError
            If nothing is given, or the stacks do not fit the network.
        """
        stride = 2**LEVELS
        if not len(given):
            raise InputError("Hi-Net fuses what is given; give at least one modality.")
        if stack.shape[1] != self.inputs or stack.shape[2] % stride or stack.shape[3] % stride:
            raise InputError(
                f"The network takes {self.inputs} modalities with sides that {stride} divides, "
                f"got {tuple(stack.shape[1:])}."
            )
        features = [self.encoders[i](stack[:, i : i + 1]) for i in given]
        levels = list(zip(*features, strict=True))
        h = self.down[0](levels[0])
        for block, level in zip(self.down[1:], levels[1:], strict=True):
            h = block(level, F.max_pool2d(h, 2))
        h = self.bottom(h)
        for block, level in zip(self.up, reversed(levels), strict=True):
            h = F.interpolate(block(level, h), scale_factor=2.0)
        own = [self.encoders[i].decoded(levels[-1][place]) for place, i in enumerate(given)]
        return self.tail(h), torch.cat(own, dim=1)
