"""Generators that translate one image and know the site: pFLSynth, and FTN in our reading.

pFLSynth is by Dalmaz et al., Medical Image Analysis 2024 (github.com/icon-lab/pFLSynth). FTN is by Zhou et al., Medical
Image Analysis 2023, who publish an outline. Used by `a2a.methods.baselines.pflsynth` and `a2a.methods.baselines.ftn`.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from a2a.networks.blocks import conv3
from a2a.networks.patchgan import normal_weights
from a2a.networks.resvit import double, halve, residual
from a2a.networks.translator import told

STRIDE = 4
REDUCTION = 8


class EqualisedLinear(nn.Module):
    """A linear map whose weights are stored large and used small, so that they learn at a hundredth of the rate.

    Parameters
    ----------
    inside, outside
        Numbers in and out.
    rate
        By how much slower it learns (Karras et al. 2019).
    """

    def __init__(self, inside: int, outside: int, rate: float = 0.01):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outside, inside) / rate)
        self.bias = nn.Parameter(torch.zeros(outside))
        self.rate, self.scale = rate, rate / math.sqrt(inside)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias * self.rate)


class Personalisation(nn.Module):
    """Instance norm with scale and shift, then a weight of each channel in (0, 1), all from what is told of the site.

    Parameters
    ----------
    channels
        Of the feature map.
    latent
        Numbers that tell of site, source and target.
    """

    def __init__(self, channels: int, latent: int):
        super().__init__()
        self.norm, self.style = nn.InstanceNorm2d(channels), nn.Linear(latent, 2 * channels)
        narrow = max(channels // REDUCTION, 1)
        self.weigh = nn.Sequential(nn.Linear(latent, narrow), nn.ReLU(), nn.Linear(narrow, channels))

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        scale, shift = self.style(latent)[:, :, None, None].chunk(2, dim=1)
        weight = self.weigh(latent).sigmoid()[:, :, None, None]
        return (self.norm(x) * (scale + 1) + shift) * weight


class PersonalResNet(nn.Module):
    """The generator of pFLSynth: a ResNet, each of whose layers is followed by a `Personalisation`.

    Parameters
    ----------
    sites, modalities
        Data sets and modalities that there are.
    width
        Channels at full resolution; published 64.
    blocks
        Residual blocks; published 9.
    latent, layers
        Numbers of the mapper, and its layers; published 512 and 6.
    dropout
        In the residual blocks; published 0.5.
    """

    def __init__(
        self,
        sites: int,
        modalities: int,
        width: int = 64,
        blocks: int = 9,
        latent: int = 512,
        layers: int = 6,
        dropout: float = 0.5,
    ):
        super().__init__()
        self.sites, self.modalities, wide = sites, modalities, 4 * width
        first = nn.Conv2d(1, width, 7, padding=3, padding_mode="reflect", bias=False)
        self.down = nn.ModuleList(
            [nn.Sequential(first, nn.BatchNorm2d(width), nn.ReLU())]
            + [nn.Sequential(*halve(width * f, 2 * width * f)) for f in (1, 2)]
        )
        self.residual = nn.ModuleList(_dropped(residual(wide, wide, "reflect"), dropout) for _ in range(blocks))
        self.up = nn.ModuleList(nn.Sequential(*double(wide // f, wide // f // 2)) for f in (1, 2))
        last = nn.Conv2d(width, 1, 7, padding=3, padding_mode="reflect")
        self.image = nn.Sequential(last, nn.Tanh())
        normal_weights(self)
        widths = [width, 2 * width, wide, *[wide] * blocks, 2 * width, width]
        self.personal = nn.ModuleList(Personalisation(channels, latent) for channels in widths)
        steps = [sites + 2 * modalities, *[latent] * layers]
        pairs = zip(steps, steps[1:], strict=False)
        self.mapper = nn.Sequential(*(one for i, o in pairs for one in (EqualisedLinear(i, o), nn.LeakyReLU(0.2))))

    def forward(self, image: Tensor, site: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """Translate images.

        Parameters
        ----------
        image
            ``(B, 1, H, W)`` in [-1, 1]; 4 divides the sides.
        site, source, target
            Number of the data set, and channels of the image and of what is wanted, ``(B,)``.

        Returns
        -------
        torch.Tensor
            ``(B, 1, H, W)`` in (-1, 1).
        """
        counts = (self.sites, self.modalities, self.modalities)
        codes = [F.one_hot(each, count) for each, count in zip((site, source, target), counts, strict=True)]
        latent, personal = self.mapper(torch.cat(codes, dim=1).to(image)), iter(self.personal)
        h = image
        for layer in self.down:
            h = next(personal)(layer(h), latent)
        for block in self.residual:
            h = next(personal)(h + block(h), latent)
        for layer in self.up:
            h = next(personal)(layer(h), latent)
        return self.image(h)


def _dropped(block: nn.Sequential, dropout: float) -> nn.Sequential:
    """Put dropout between the two convolutions of a residual block."""
    return nn.Sequential(*block[:3], nn.Dropout(dropout), *block[3:])


class SiteTransformation(nn.Module):
    """What one site does to the features of every level: scales and shifts made from a vector of its own.

    Parameters
    ----------
    widths
        Channels of each level.
    code
        Numbers of the vector.
    """

    def __init__(self, widths: tuple[int, ...], code: int = 32):
        super().__init__()
        self.code = nn.Parameter(torch.randn(code))
        self.hidden = nn.Sequential(nn.Linear(code, code), nn.SiLU())
        self.levels = nn.ModuleList(nn.Linear(code, 2 * channels) for channels in widths)
        for level in self.levels:
            nn.init.zeros_(level.weight)
            nn.init.zeros_(level.bias)

    def forward(self) -> list[Tensor]:
        """Return scale less 1 and shift of each level, ``(2, channels)``; zeros at first."""
        hidden = self.hidden(self.code)
        return [level(hidden).unflatten(0, (2, -1)) for level in self.levels]


class SiteUNet(nn.Module):
    """FTN in our reading: a U-Net that all sites share, whose features each site transforms with weights of its own.

    Beside the image stand maps that say which modality it is and which is wanted.

    Parameters
    ----------
    sites, modalities
        Data sets and modalities that there are.
    widths
        Channels of the three levels; published (32, 64, 128).
    """

    def __init__(self, sites: int, modalities: int, widths: tuple[int, int, int] = (32, 64, 128)):
        super().__init__()
        self.modalities = modalities
        pairs = zip((1 + 2 * modalities, *widths), widths, strict=False)
        self.down = nn.ModuleList(_pair(inside, outside) for inside, outside in pairs)
        self.up = nn.ModuleList([_pair(widths[2] + widths[1], widths[1]), _pair(widths[1] + widths[0], widths[0])])
        self.image = conv3(widths[0], 1)
        self.own = nn.ModuleList(SiteTransformation((*widths, widths[1], widths[0])) for _ in range(sites))

    def forward(self, image: Tensor, site: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """Translate images of one site.

        Parameters
        ----------
        image
            ``(B, 1, H, W)`` in [0, 1]; 4 divides the sides.
        site
            Number of the data set, ``(B,)``, the same in every row.
        source, target
            Channels of the image and of what is wanted, ``(B,)``.
        """
        transformed = iter(self.own[int(site[0])]())
        h = torch.cat([image, told(source, self.modalities, image), told(target, self.modalities, image)], dim=1)
        kept: list[Tensor] = []
        for number, level in enumerate(self.down):
            h = _transformed(level(F.max_pool2d(h, 2) if number else h), next(transformed))
            kept.append(h)
        kept.pop()
        for level in self.up:
            h = torch.cat([F.interpolate(h, scale_factor=2.0), kept.pop()], dim=1)
            h = _transformed(level(h), next(transformed))
        return self.image(h)


def _pair(inside: int, outside: int) -> nn.Sequential:
    unit = lambda i: [conv3(i, outside), nn.InstanceNorm2d(outside), nn.LeakyReLU(0.2)]  # noqa: E731
    return nn.Sequential(*unit(inside), *unit(outside))


def _transformed(x: Tensor, told: Tensor) -> Tensor:
    scale, shift = told[:, None, :, None, None]
    return x * (1 + scale) + shift
