"""The generator of ResViT: convolutions in and out, and between them residual blocks, two of them with a transformer.

Dalmaz, Yurt and Cukur, IEEE TMI 2022, section II-B, as in their code. Chapter "mmResViT" shows it at a glance.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from a2a.common.errors import InputError
from a2a.networks.patchgan import normal_weights

HALVINGS = 2  # of the encoder


@dataclass(frozen=True)
class ResViTSize:
    """Size of a `ResViT`; the defaults are the published ones.

    Parameters
    ----------
    width
        Channels at full resolution; the bottleneck has four times as many, at a quarter of the size.
    blocks
        Residual blocks of the bottleneck.
    attended
        Which of them, counted from 1, contain the transformer.
    downs
        Channels after each halving on the way from the bottleneck to the tokens.
    tokens, layers, heads, mlp
        Width of the tokens, layers, attention heads and hidden width of the transformer.
    dropout
        Probability in the transformer.
    """

    width: int = 64
    blocks: int = 9
    attended: tuple[int, ...] = (1, 6)
    downs: tuple[int, ...] = (512, 1024)
    tokens: int = 768
    layers: int = 12
    heads: int = 12
    mlp: int = 3072
    dropout: float = 0.1


def halve(inside: int, outside: int) -> list[nn.Module]:
    """Make a convolution that halves the size, with its norm and ReLU."""
    convolution = nn.Conv2d(inside, outside, 3, stride=2, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(outside), nn.ReLU()]


def double(inside: int, outside: int) -> list[nn.Module]:
    """Make a transposed convolution that doubles the size, with its norm and ReLU."""
    convolution = nn.ConvTranspose2d(inside, outside, 3, stride=2, padding=1, output_padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(outside), nn.ReLU()]


def residual(inside: int, outside: int, padding: str) -> nn.Sequential:
    """Make convolution and norm twice, with a ReLU between.

    Parameters
    ----------
    inside, outside
        Channels before and after.
    padding
        How the border is filled, as for a convolution of PyTorch.
    """
    layers: list[nn.Module] = []
    for channels in (inside, outside):
        convolution = nn.Conv2d(channels, outside, 3, padding=1, padding_mode=padding, bias=False)
        layers += [convolution, nn.BatchNorm2d(outside), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Transformer(nn.Module):
    """Encoder of ViT: layers of attention and MLP, each behind its norm, and a last norm; ``(B, tokens, width)``."""

    def __init__(self, size: ResViTSize):
        super().__init__()
        options = {"activation": "gelu", "layer_norm_eps": 1e-6, "batch_first": True, "norm_first": True}
        shape = (size.tokens, size.heads, size.mlp, size.dropout)
        self.layers = nn.ModuleList(nn.TransformerEncoderLayer(*shape, **options) for _ in range(size.layers))
        for layer in self.layers:
            layer.self_attn.dropout = 0.0  # as in ViT-B/16, whose attention drops nothing
        self.norm = nn.LayerNorm(size.tokens, eps=1e-6)

    def forward(self, tokens: Tensor) -> Tensor:
        for layer in self.layers:
            tokens = layer(tokens)
        return self.norm(tokens)


class AttendedPath(nn.Module):
    """What a block with transformer does first: tokens of the map, the transformer, and back beside the map.

    The map is halved a few times, each pixel becomes a token with a learned position code, and the answer, brought back
    to the size of the map, is joined with it and compressed to its channels.

    Parameters
    ----------
    channels, side
        Of the map.
    size
        Sizes.
    """

    def __init__(self, channels: int, side: int, size: ResViTSize):
        super().__init__()
        coarse = side // 2 ** len(size.downs)
        pairs = zip((channels, *size.downs), size.downs, strict=False)
        self.down = nn.Sequential(*(layer for pair in pairs for layer in halve(*pair)))
        self.embed = nn.Conv2d(size.downs[-1], size.tokens, 1)
        self.position = nn.Parameter(torch.zeros(1, coarse * coarse, size.tokens))
        self.dropout = nn.Dropout(size.dropout)
        wide = (size.tokens, *reversed(size.downs[:-1]))
        pairs = zip(wide, (*wide[1:], channels), strict=True)
        self.up = nn.Sequential(*(layer for pair in pairs for layer in double(*pair)))
        self.compress = residual(2 * channels, channels, "zeros")
        self.shortcut = nn.Sequential(nn.Conv2d(2 * channels, channels, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor, transformer: Transformer) -> Tensor:
        maps = self.embed(self.down(x))
        tokens = transformer(self.dropout(maps.flatten(2).transpose(1, 2) + self.position))
        both = torch.cat([self.up(tokens.transpose(1, 2).reshape(maps.shape)), x], dim=1)
        return torch.relu(self.compress(both) + self.shortcut(both))


class ResViT(nn.Module):
    """Generator of ResViT for stacks; answers in (-1, 1).

    All blocks with a transformer use the same one; their other weights are their own.

    Parameters
    ----------
    modalities
        n, channels in and out.
    side
        Height and width of the images: the position codes are for this size.
    size
        Sizes of the layers.
    """

    def __init__(self, modalities: int, side: int, size: ResViTSize):
        super().__init__()
        stride, widths = 2 ** (HALVINGS + len(size.downs)), [size.width * 2**level for level in range(HALVINGS + 1)]
        if side % stride:
            raise InputError(f"Images of side {side} do not fit ResViT; {stride} must divide the side.")
        self.modalities, self.side, wide = modalities, side, widths[-1]
        first = nn.Conv2d(modalities, size.width, 7, padding=3, padding_mode="reflect", bias=False)
        halves = [layer for level in range(HALVINGS) for layer in halve(widths[level], widths[level + 1])]
        self.encoder = nn.Sequential(first, nn.BatchNorm2d(size.width), nn.ReLU(), *halves)
        self.residual = nn.ModuleList(residual(wide, wide, "reflect") for _ in range(size.blocks))
        paths = {str(block): AttendedPath(wide, side // 2**HALVINGS, size) for block in size.attended}
        self.attended, self.transformer = nn.ModuleDict(paths), Transformer(size)
        doubles = [layer for level in range(HALVINGS, 0, -1) for layer in double(widths[level], widths[level - 1])]
        last = nn.Conv2d(size.width, modalities, 7, padding=3, padding_mode="reflect")
        self.decoder = nn.Sequential(*doubles, last, nn.Tanh())
        self.register_buffer("joined", torch.tensor(False))
        normal_weights(self)

    def forward(self, x: Tensor, use_transformer: bool | None = None) -> Tensor:
        """Map stacks ``(B, n, side, side)`` in [-1, 1] to stacks.

        Parameters
        ----------
        x
            Stacks.
        use_transformer
            False leaves a plain residual network, the first stage of training. None does as the last training step did;
            the weights remember it.

        Raises
        ------
        InputError
            If the number of modalities or the image size does not fit the network.
        """
        needed = (self.modalities, self.side, self.side)
        if x.shape[1:] != needed:
            raise InputError(f"The network takes stacks of shape {needed}, got {tuple(x.shape[1:])}.")
        if use_transformer is None:
            use_transformer = bool(self.joined)
        elif self.training:
            self.joined.fill_(use_transformer)
        x = self.encoder(x)
        for number, block in enumerate(self.residual, start=1):
            if use_transformer and str(number) in self.attended:
                x = self.attended[str(number)](x, self.transformer)
            x = x + block(x)
        return self.decoder(x)
