"""The networks of MM-SYN: for each modality an encoder to a common space at full resolution, and a decoder from it.

Chartsias et al., IEEE TMI 2018, section III, as in their code (github.com/agis85/multimodal_brain_synthesis). Used by
`a2a.methods.baselines.mmsyn` and `a2a.methods.baselines.cocagan`.
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from a2a.common.errors import InputError
from a2a.networks.blocks import conv3

SLOPE = 0.3  # of the LeakyReLU, Keras' own
STRIDE = 4

Ending = Literal["relu", "linear"]


def _twice(inside: int, outside: int) -> nn.Sequential:
    leaky = nn.LeakyReLU(SLOPE)
    return nn.Sequential(conv3(inside, outside), leaky, conv3(outside, outside), leaky)


class Encoder(nn.Module):
    """A U-Net of three levels without norms, from an image to `latent` channels of its size."""

    def __init__(self, width: int, latent: int):
        super().__init__()
        w = width
        self.down = nn.ModuleList([_twice(1, w), _twice(w, 2 * w), _twice(2 * w, 4 * w)])
        self.narrow = nn.ModuleList([conv3(4 * w, 2 * w), conv3(2 * w, w)])
        self.up = nn.ModuleList([_twice(4 * w, 2 * w), _twice(2 * w, w)])
        self.last = nn.Sequential(conv3(w, latent), nn.LeakyReLU(SLOPE))

    def forward(self, image: Tensor) -> Tensor:
        kept, h = [], image
        for number, level in enumerate(self.down):
            h = level(F.max_pool2d(h, 2) if number else h)
            kept.append(h)
        kept.pop()
        for narrow, level in zip(self.narrow, self.up, strict=True):
            h = level(torch.cat([kept.pop(), narrow(F.interpolate(h, scale_factor=2.0))], dim=1))
        return self.last(h)


class Decoder(nn.Module):
    """Convolutions beside which the latent runs along, from the common space to an image."""

    def __init__(self, width: int, latent: int, ending: Ending):
        super().__init__()
        relu = nn.ReLU()
        self.first = nn.Sequential(conv3(latent, width), relu, conv3(width, width), relu)
        self.second = nn.Sequential(conv3(width + latent, width), relu, conv3(width, width), relu)
        end = nn.ReLU() if ending == "relu" else nn.Identity()
        self.last = nn.Sequential(nn.Conv2d(2 * width + latent, 1, 1), end)

    def forward(self, latent: Tensor) -> Tensor:
        first = torch.cat([latent, self.first(latent)], dim=1)
        return self.last(torch.cat([first, self.second(first)], dim=1))


def fused(latents: Tensor) -> Tensor:
    """Take at each pixel the largest of the available latents, ``(k, B, c, H, W)`` to ``(B, c, H, W)``."""
    return latents.amax(dim=0)


class MMSyn(nn.Module):
    """Encoders and decoders of n modalities around one common space.

    Parameters
    ----------
    modalities
        Number of modalities n.
    width, latent
        Channels at full resolution and of the common space; published 32 and 16.
    ending
        Last function of the decoders: ``relu`` as published, or ``linear``.
    """

    def __init__(self, modalities: int, width: int = 32, latent: int = 16, ending: Ending = "relu"):
        super().__init__()
        self.modalities = modalities
        self.encoders = nn.ModuleList(Encoder(width, latent) for _ in range(modalities))
        self.decoders = nn.ModuleList(Decoder(width, latent, ending) for _ in range(modalities))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # Keras' own initial weights
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, stack: Tensor, given: Sequence[int], singly: bool = False) -> tuple[Tensor, Tensor]:
        """Encode some modalities of stacks, and decode all from what they say together.

        Parameters
        ----------
        stack
            ``(B, n, H, W)`` in [0, 1]; only what is given is looked at.
        given
            Channels that are given, at least one.
        singly
            Whether all are also decoded from each latent alone.

        Returns
        -------
        tuple of torch.Tensor
            Latents ``(len(given), B, latent, H, W)``, and answers ``(k, B, n, H, W)``: with `singly` first those from
            each latent, and last the one from all.

        Raises
        ------
        InputError
            If nothing is given, or the stacks do not fit the network.
        """
        if not len(given):
            raise InputError("The common space is fused from what is given; give at least one modality.")
        if stack.shape[1] != self.modalities or stack.shape[2] % STRIDE or stack.shape[3] % STRIDE:
            raise InputError(
                f"The network takes {self.modalities} modalities with sides that {STRIDE} divides, "
                f"got {tuple(stack.shape[1:])}."
            )
        latents = torch.stack([self.encoders[i](stack[:, i : i + 1]) for i in given])
        sources = [*(latents if singly else ()), fused(latents)]
        return latents, torch.stack([self._decoded(latent) for latent in sources])

    def _decoded(self, latent: Tensor) -> Tensor:
        return torch.cat([decoder(latent) for decoder in self.decoders], dim=1)
