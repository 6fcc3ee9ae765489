"""The vision transformer of BiomedCLIP (Zhang et al. 2023), with the names that its file gives to the tensors.

APT looks at images through it; see the chapter "APT".
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class ViTSize:
    """Size of a `VisionTransformer`; the defaults are those of BiomedCLIP, ViT-B/16.

    Parameters
    ----------
    width, depth, heads
        Channels of a token, blocks, and heads of each block.
    patch, image
        Sides of a patch and of the image, pixels; the one divides the other.
    dims
        Numbers that describe an image.
    """

    width: int = 768
    depth: int = 12
    heads: int = 12
    patch: int = 16
    image: int = 224
    dims: int = 512


class VisionTransformer(nn.Module):
    """Describes images ``(b, 3, image, image)`` by ``(b, dims)``; pre-norm, the first token stands for the image."""

    def __init__(self, size: ViTSize):
        super().__init__()
        self.size = size
        self.trunk, self.head = _Trunk(size), nn.ModuleDict({"proj": nn.Linear(size.width, size.dims, bias=False)})

    def forward(self, images: Tensor) -> Tensor:
        return self.head["proj"](self.trunk(images))


class _Trunk(nn.Module):
    def __init__(self, size: ViTSize):
        super().__init__()
        tokens = (size.image // size.patch) ** 2 + 1
        self.cls_token = nn.Parameter(torch.zeros(1, 1, size.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, tokens, size.width))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, size.width, size.patch, size.patch)})
        self.blocks = nn.ModuleList([_Block(size) for _ in range(size.depth)])
        self.norm = nn.LayerNorm(size.width, eps=1e-6)

    def forward(self, images: Tensor) -> Tensor:
        h = self.patch_embed["proj"](images).flatten(2).transpose(1, 2)
        h = torch.cat([self.cls_token.expand(len(h), -1, -1), h], dim=1) + self.pos_embed
        for block in self.blocks:
            h = block(h)
        return self.norm(h)[:, 0]


class _Block(nn.Module):
    def __init__(self, size: ViTSize):
        super().__init__()
        self.heads, wide = size.heads, size.width
        self.norm1, self.norm2 = nn.LayerNorm(wide, eps=1e-6), nn.LayerNorm(wide, eps=1e-6)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(wide, 3 * wide), "proj": nn.Linear(wide, wide)})
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(wide, 4 * wide), "fc2": nn.Linear(4 * wide, wide)})

    def forward(self, x: Tensor) -> Tensor:
        parts = self.attn["qkv"](self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(*parts)
        x = x + self.attn["proj"](y.transpose(1, 2).flatten(2))
        return x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))
