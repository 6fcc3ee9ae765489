"""What the networks of the compared GANs share: their initial weights and their discriminator.

Chapter "mmGAN" shows the discriminator at a glance.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def normal_weights(network: nn.Module) -> None:
    """Draw the weights of convolutions and linear maps from N(0, 0.02), of norms from N(1, 0.02) (pix2pix)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)


def same_size(inside: int, outside: int, bias: bool) -> nn.Sequential:
    """Convolution of 4 x 4 that keeps the size, since one row and one column of zeros are added at the top left.

    Parameters
    ----------
    inside, outside
        Channels.
    bias
        Whether the convolution has one.
    """
    return nn.Sequential(nn.ZeroPad2d((1, 0, 1, 0)), nn.Conv2d(inside, outside, 4, padding=1, bias=bias))


class PatchDiscriminator(nn.Module):
    """Discriminator of mm-gan: for each modality a map that says of every patch how real it looks.

    Convolutions of 4 x 4 with stride 2 (instance norm except in the first, LeakyReLU 0.2), then one that keeps the size
    (Sharma and Hamarneh 2020, section III-B, as in their code).

    Parameters
    ----------
    modalities
        Number of modalities n.
    widths
        Channels after each halving of the size; published (64, 128, 256, 512).
    """

    def __init__(self, modalities: int, widths: Sequence[int] = (64, 128, 256, 512)):
        super().__init__()
        layers: list[nn.Module] = []
        for level, (inside, outside) in enumerate(zip((2 * modalities, *widths), widths, strict=False)):
            layers.append(nn.Conv2d(inside, outside, 4, stride=2, padding=1))
            layers += [nn.InstanceNorm2d(outside)] if level > 0 else []
            layers.append(nn.LeakyReLU(0.2))
        self.layers = nn.Sequential(*layers, same_size(widths[-1], modalities, bias=False))
        normal_weights(self)

    def forward(self, stack: Tensor, condition: Tensor) -> Tensor:
        """Judge stacks beside what they are to fit, both ``(B, n, H, W)``.

        Returns
        -------
        torch.Tensor
            ``(B, n, H / 2^k, W / 2^k)`` for k widths; trained to be 1 where real and 0 where not.
        """
        return self.layers(torch.cat([stack, condition], dim=1))
