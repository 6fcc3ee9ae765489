"""MINet: two branches of residual groups, one for each contrast, whose stages are all weighed at the end.

Feng et al., "Multi-contrast MRI super-resolution via a multi-stage integration network", MICCAI 2021, in the form for
reconstruction: input and output have one resolution. Chapter "MINet" shows it at a glance.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from a2a.networks.blocks import conv3


@dataclass(frozen=True)
class MINetSize:
    """Size of a `MINetNetwork`; the defaults are the published ones.

    Parameters
    ----------
    features
        Channels F of every feature map.
    groups
        Residual groups G of a branch; with the convolution after them a branch has G + 1 stages.
    blocks
        Attention blocks of a residual group.
    reduction
        How many times fewer channels the channel attention has inside.
    """

    features: int = 64
    groups: int = 6
    blocks: int = 6
    reduction: int = 16


class AttentionBlock(nn.Module):
    """Conv-ReLU-conv, each channel weighed by a number that depends on the means of all channels, plus identity.

    The residual channel attention block of Zhang et al., ECCV 2018.
    """

    def __init__(self, features: int, reduction: int):
        super().__init__()
        inside = max(features // reduction, 1)
        self.body = nn.Sequential(conv3(features, features), nn.ReLU(), conv3(features, features))
        self.weigh = nn.Sequential(
            nn.Conv2d(features, inside, 1), nn.ReLU(), nn.Conv2d(inside, features, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.body(x)
        return x + h * self.weigh(h.mean(dim=(2, 3), keepdim=True))


class ResidualGroup(nn.Module):
    """Attention blocks and a convolution, plus identity."""

    def __init__(self, size: MINetSize):
        super().__init__()
        blocks = [AttentionBlock(size.features, size.reduction) for _ in range(size.blocks)]
        self.body = nn.Sequential(*blocks, conv3(size.features, size.features))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class LayerAttention(nn.Module):
    """Mixes the feature maps of all stages: gamma S Z + Z, with gamma = 0 at first.

    As in the released code the dot products are not scaled and their order is turned round, so each stage attends
    to the stages that are *least* like it, and with many pixels to one of them almost alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))

    def weights(self, stages: Tensor) -> Tensor:
        """S = softmax(rowmax(Z Z^T) - Z Z^T), ``(B, N, N)``, of N feature maps ``(B, N, C, H, W)``; float32."""
        with torch.autocast(stages.device.type, enabled=False):
            flat = stages.float().flatten(2)
            likeness = flat @ flat.mT
            return (likeness.amax(dim=-1, keepdim=True) - likeness).softmax(dim=-1)

    def forward(self, stages: Tensor) -> Tensor:
        mixed = self.weights(stages).to(stages) @ stages.flatten(2)
        return self.gamma * mixed.unflatten(2, stages.shape[2:]) + stages


class ChannelSpatialAttention(nn.Module):
    """Weighs each number of a feature map by its neighbours in space and channels: gamma s x + x.

    s is the sigmoid of a 3 x 3 x 3 convolution over (C, H, W); gamma = 0 at first.
    """

    def __init__(self) -> None:
        super().__init__()
        bound = 27**-0.5
        self.weight = nn.Parameter(torch.empty(3, 3, 3).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(1))
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        logits = F.conv3d(x[:, None], self.weight[None, None], self.bias, padding=1)[:, 0]
        return x * (self.gamma * logits.sigmoid()) + x


class Branch(nn.Module):
    """Head, stages and attention of one contrast."""

    def __init__(self, size: MINetSize):
        super().__init__()
        self.head = conv3(1, size.features)
        groups = [ResidualGroup(size) for _ in range(size.groups)]
        self.stages = nn.ModuleList([*groups, conv3(size.features, size.features)])
        self.attention = ChannelSpatialAttention()


class MINetNetwork(nn.Module):
    """Reconstruct a target contrast with the help of a reference contrast.

    Features flow from the reference to the target after each stage k, never back:
    ``target_k <- target_k + conv1x1([reference_k, target_k])``. What both stages gave before is kept, mixed by
    `LayerAttention` and joined with the last features of the target.

    Parameters
    ----------
    size
        See `MINetSize`.

    Notes
    -----
    Two things of the released code are mended: the convolution that integrates the stages is made for the 2 (G + 1) F
    channels that it receives, and layers that no output depends on are left out (a mean shift, and most of 10.7
    million registered weights: 6.6 million are in use).
    """

    def __init__(self, size: MINetSize):
        super().__init__()
        features, stages = size.features, size.groups + 1
        self.reference, self.target = Branch(size), Branch(size)
        self.fusions = nn.ModuleList([nn.Conv2d(2 * features, features, 1) for _ in range(stages)])
        self.layers = LayerAttention()
        self.integrate = conv3(2 * stages * features, features)
        self.join = conv3(2 * features, features)
        self.refine = conv3(features, features)
        self.target_tail, self.reference_tail = conv3(features, 1), conv3(features, 1)

    def forward(self, reference: Tensor, zero_filled: Tensor) -> tuple[Tensor, Tensor]:
        """Return reference and target, each ``(B, 1, H, W)`` like the inputs and in their units."""
        reference_head = side = self.reference.head(reference)
        target_head = main = self.target.head(zero_filled)
        kept = []
        stages = zip(self.reference.stages, self.target.stages, self.fusions, strict=True)
        for reference_stage, target_stage, fusion in stages:
            side, main = reference_stage(side), target_stage(main)
            kept += [side, main]
            main = main + fusion(torch.cat([side, main], dim=1))
        integrated = self.integrate(self.layers(torch.stack(kept, dim=1)).flatten(1, 2))
        joined = self.join(torch.cat([self.target.attention(main), integrated], dim=1))
        refined = self.refine(self.reference.attention(side))
        return self.reference_tail(refined + reference_head), self.target_tail(joined + target_head)
