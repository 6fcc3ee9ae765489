"""The network of M2DN (Meng et al. 2024): an encoder and a decoder for each modality around one shared U-Net.

There is no public code. The block diagram is that of the paper; the widths are those of this project. Chapter "M2DN".
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from a2a.common.errors import InputError
from a2a.networks.blocks import zeroed
from a2a.networks.excitation import SqueezeExcitation
from a2a.networks.unet import ResidualBlock, time_mlp, timestep_embedding


@dataclass(frozen=True)
class M2DNSize:
    """Size of an `M2DNNetwork`.

    Parameters
    ----------
    modalities
        Modalities n of the stack.
    stem
        Channels of each modality's own features at full and at half resolution.
    trunk
        Channels of the shared U-Net at each level, from half resolution down; each further level halves it again.
    time
        Channels in which the residual blocks are told the time.
    """

    modalities: int
    stem: tuple[int, int] = (32, 64)
    trunk: tuple[int, ...] = (64, 128, 128, 128)
    time: int = 256

    @property
    def stride(self) -> int:
        """Image sides must be multiples of this."""
        return 2 ** len(self.trunk)


class M2DNNetwork(nn.Module):
    """Clean estimate of all modalities ``f(x_t, t, v)``; see `M2DNSize`.

    Notes
    -----
    Takes ``x_t``, ``(B, n, H, W)`` in [-1, 1], with noise in the missing modalities only, the times ``(B,)`` and the
    mask v, ``(B, n)``, 1 where a modality is missing. Returns ``(B, n, H, W)``; a fresh network returns 0. The mask
    enters at the coarsest level, spread over all positions. H and W are multiples of ``size.stride``.
    """

    def __init__(self, size: M2DNSize):
        super().__init__()
        self.size, trunk, bottom = size, size.trunk, size.trunk[-1]
        self.embed = time_mlp(size.time // 4)
        self.encoders = nn.ModuleList([_Encoder(*size.stem) for _ in range(size.modalities)])
        self.fuse = nn.Conv2d(size.modalities * size.stem[1], trunk[0], 1)
        before = (trunk[0], *trunk[:-1])
        self.down = nn.ModuleList([_block(i, o, size) for i, o in zip(before, trunk, strict=True)])
        self.excite = nn.ModuleList([SqueezeExcitation(channels) for channels in trunk])
        self.mask = nn.Conv2d(bottom + size.modalities, bottom, 1)
        self.middle = nn.ModuleList([_block(bottom, bottom, size) for _ in range(2)])
        pairs = zip(trunk[1:], trunk[:-1], strict=True)
        self.up = nn.ModuleList([_block(below + here, here, size) for below, here in pairs])
        self.decoders = nn.ModuleList([_Decoder(size) for _ in range(size.modalities)])

    def forward(self, x: Tensor, t: Tensor, missing: Tensor) -> Tensor:
        """Return the clean estimate.

        Parameters
        ----------
        x
            Noisy stacks ``(B, n, H, W)`` in [-1, 1].
        t
            Times ``(B,)``.
        missing
            1 where a modality is missing, ``(B, n)``.

        Raises
        ------
        InputError
            If the number of modalities or the image size does not fit the network.
        """
        n, stride = self.size.modalities, self.size.stride
        if x.shape[1] != n or x.shape[2] % stride or x.shape[3] % stride:
            raise InputError(
                f"The network takes {n} modalities with sides that {stride} divides, got {tuple(x.shape[1:])}."
            )
        embedding = self.embed(timestep_embedding(t, self.size.time // 4))
        own = [encoder(x[:, i : i + 1]) for i, encoder in enumerate(self.encoders)]
        shared = self._trunk(torch.cat([coarse for _, coarse in own], dim=1), embedding, missing.to(x.dtype))
        answers = [decoder(shared, *kept, embedding) for decoder, kept in zip(self.decoders, own, strict=True)]
        return torch.cat(answers, dim=1)

    def _trunk(self, features: Tensor, embedding: Tensor, missing: Tensor) -> Tensor:
        """Fuse the features of all modalities in the shared U-Net."""
        h, kept = self.fuse(features), []
        for level, (block, excite) in enumerate(zip(self.down, self.excite, strict=True)):
            h = excite(block(F.avg_pool2d(h, 2) if level else h, embedding))  # the mean of 2 x 2 is bilinear halving
            kept.append(h)
        mask = missing[:, :, None, None].expand(-1, -1, *h.shape[2:])
        h = self.mask(torch.cat([kept.pop(), mask.to(h.dtype)], dim=1))
        for block in self.middle:
            h = block(h, embedding)
        for block in reversed(self.up):
            h = block(torch.cat([_twice(h), kept.pop()], dim=1), embedding)
        return h


class _Encoder(nn.Module):
    """One modality's own features at full and at half resolution."""

    def __init__(self, full: int, half: int):
        super().__init__()
        self.fine, self.coarse = _unit(1, full, 1), _unit(full, half, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.fine(x)
        return fine, self.coarse(fine)


class _Decoder(nn.Module):
    """One modality's clean estimate, from the shared features and its own."""

    def __init__(self, size: M2DNSize):
        super().__init__()
        full, half = size.stem
        self.coarse, self.fine = _block(size.trunk[0] + half, half, size), _block(half + full, full, size)
        self.tail = zeroed(nn.Conv2d(full, 1, 3, padding=1))

    def forward(self, shared: Tensor, fine: Tensor, coarse: Tensor, embedding: Tensor) -> Tensor:
        h = self.coarse(torch.cat([shared, coarse], dim=1), embedding)
        return self.tail(self.fine(torch.cat([_twice(h), fine], dim=1), embedding))


def _unit(inside: int, outside: int, stride: int) -> nn.Sequential:
    """Convolution, GroupNorm, ReLU."""
    return nn.Sequential(nn.Conv2d(inside, outside, 3, stride, 1), nn.GroupNorm(8, outside), nn.ReLU())


def _block(inside: int, outside: int, size: M2DNSize) -> ResidualBlock:
    return ResidualBlock(inside, outside, size.time, 0.0)


def _twice(h: Tensor) -> Tensor:
    return F.interpolate(h, scale_factor=2, mode="bilinear")
