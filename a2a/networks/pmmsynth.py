"""The generator of PMM-Synth: streams for each modality and a common one, unified level by level, told the data set.

The backbone is Uni-Synth (Zhang et al., IEEE TMI 2024) for the union of modalities of several data sets (Zhang et al.
2026); its paper leaves the formula of the unification and all widths open, and those here are ours. Used by
`a2a.methods.baselines.pmmsynth`.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from a2a.common.errors import InputError
from a2a.networks.blocks import conv3, zeroed
from a2a.networks.unet import timestep_embedding

LEVELS = 3
CODE = 64  # numbers of the sinusoidal code of a data set, and of what is made of it


class Block(nn.Module):
    r"""Convolution, instance norm, personalised modulation and LeakyReLU.

    The modulation is :math:`F (\gamma + 1) + \beta`, its two numbers for each channel linear in what is told of the
    data set, and zero at first (Zhang et al. 2026; there of the block's input, which the norm would undo in part).

    Parameters
    ----------
    inside, outside
        Channels.
    stride
        Of the convolution.
    personal
        Whether the block is told the data set.
    """

    def __init__(self, inside: int, outside: int, stride: int = 1, personal: bool = True):
        super().__init__()
        self.convolution = nn.Conv2d(inside, outside, 3, stride, padding=1)
        self.norm = nn.InstanceNorm2d(outside)
        self.personal = zeroed(nn.Linear(CODE, 2 * outside)) if personal else None

    def forward(self, x: Tensor, told: Tensor | None) -> Tensor:
        h = self.norm(self.convolution(x))
        if self.personal is not None:
            gamma, beta = self.personal(told)[:, :, None, None].chunk(2, dim=1)
            h = h * (gamma + 1) + beta
        return F.leaky_relu(h, 0.2)


class Stream(nn.Module):
    """An encoder of three levels; each but the first halves the size."""

    def __init__(self, inside: int, widths: Sequence[int], personal: bool):
        super().__init__()
        pairs = zip((inside, *widths), widths, (1, 2, 2), strict=False)
        self.levels = nn.ModuleList(Block(i, o, stride, personal) for i, o, stride in pairs)

    def forward(self, x: Tensor, told: Tensor | None) -> list[Tensor]:
        """Return the features of each level, finest first."""
        found = []
        for level in self.levels:
            x = level(x, told)
            found.append(x)
        return found


class Unification(nn.Module):
    """Dynamic feature unification: what any number of modalities say, beside the common stream.

    Hard integration takes the largest feature at each place, soft integration their mean with weights from a softmax of
    scores over the available modalities.

    Parameters
    ----------
    channels
        Of the features.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.score, self.join = nn.Conv2d(channels, 1, 1), nn.Conv2d(3 * channels, channels, 1)

    def integrated(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the hard and the soft integration of features ``(B, C, H, W)``; of a single one both are it."""
        together = torch.stack(list(features))
        weights = torch.stack([self.score(feature) for feature in features]).softmax(dim=0)
        return together.amax(dim=0), (weights * together).sum(dim=0)

    def forward(self, common: Tensor, features: Sequence[Tensor]) -> Tensor:
        return self.join(torch.cat([common, *self.integrated(features)], dim=1))


class Decoder(nn.Module):
    """One modality's image from the unified features, coarsest first; in (0, 1)."""

    def __init__(self, widths: Sequence[int], personal: bool):
        super().__init__()
        fine, middle, coarse = widths
        pairs = [(coarse, coarse), (coarse + middle, middle), (middle + fine, fine)]
        self.levels = nn.ModuleList(Block(inside, outside, 1, personal) for inside, outside in pairs)
        self.image = conv3(fine, 1)

    def forward(self, unified: Sequence[Tensor], told: Tensor | None) -> Tensor:
        *finer, h = unified
        h = self.levels[0](h, told)
        for level, skip in zip(self.levels[1:], reversed(finer), strict=True):
            h = level(torch.cat([F.interpolate(h, scale_factor=2.0), skip], dim=1), told)
        return torch.sigmoid(self.image(h))


class UniSynth(nn.Module):
    """Any modalities in, any modalities out, for several data sets.

    Parameters
    ----------
    modalities
        n, of all data sets together.
    width
        Channels of the finest level, twice and four times as many of the coarser ones.
    personal
        Whether every block is told the data set (PFM).
    """

    def __init__(self, modalities: int, width: int = 32, personal: bool = True):
        super().__init__()
        self.modalities, widths = modalities, (width, 2 * width, 4 * width)
        layers = nn.Linear(CODE, CODE), nn.SiLU(), nn.Linear(CODE, CODE)
        self.told = nn.Sequential(*layers) if personal else None
        self.common = Stream(modalities, widths, personal)
        self.specific = nn.ModuleList(Stream(1, widths, personal) for _ in range(modalities))
        self.unify = nn.ModuleList(Unification(channels) for channels in widths)
        self.decoders = nn.ModuleList(Decoder(widths, personal) for _ in range(modalities))

    def forward(self, stack: Tensor, given: Sequence[int], dataset: Tensor, wanted: Sequence[int]) -> Tensor:
        """Make some modalities of stacks.

        Parameters
        ----------
        stack
            ``(B, n, H, W)`` in [0, 1]; only what is given is looked at.
        given
            Channels that are given, at least one.
        dataset
            Number of the data set of each row, ``(B,)``.
        wanted
            Channels that are made; those given are rebuilt.

        Returns
        -------
        torch.Tensor
            ``(B, len(wanted), H, W)`` in (0, 1).

        Raises
        ------
        InputError
            If nothing is given, or the stacks do not fit the network.
        """
        stride = 2 ** (LEVELS - 1)
        if not len(given):
            raise InputError("PMM-Synth unifies what is given; give at least one modality.")
        if stack.shape[1] != self.modalities or stack.shape[2] % stride or stack.shape[3] % stride:
            raise InputError(
                f"The network takes {self.modalities} modalities with sides that {stride} divides, "
                f"got {tuple(stack.shape[1:])}."
            )
        kept = torch.zeros(self.modalities, dtype=torch.bool, device=stack.device)
        kept[list(given)] = True
        told = None if self.told is None else self.told(timestep_embedding(dataset, CODE))
        common = self.common(torch.where(kept[:, None, None], stack, 0.0), told)
        own = [self.specific[i](stack[:, i : i + 1], told) for i in given]
        unified = [
            unify(shared, features)
            for unify, shared, features in zip(self.unify, common, zip(*own, strict=True), strict=True)
        ]
        return torch.cat([self.decoders[i](unified, told) for i in wanted], dim=1)
