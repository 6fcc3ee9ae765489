"""Discriminators that see single images: patch by patch, for one modality or told which one they look at.

Used by Hi-Net, UcDGAN, CocaGAN, PMM-Synth and pFLSynth.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from a2a.networks.patchgan import normal_weights


class ImageDiscriminator(nn.Module):
    """A map that says of every patch of an image how real it looks.

    Convolutions of stride 2 with a norm, except in the first, and LeakyReLU 0.2; perhaps some of stride 1; then one
    convolution to a single channel.

    Parameters
    ----------
    widths
        Channels after each halving of the size.
    inside
        Channels of what is judged, with everything that is shown beside it.
    kernel
        Side of the filters: 4 as in pix2pix; 3 as in Hi-Net, whose last convolution then adds no border.
    norm
        Makes the norm of so many channels.
    flat
        Channels of further convolutions with stride 1.
    """

    def __init__(
        self,
        widths: Sequence[int],
        inside: int = 1,
        kernel: int = 4,
        norm: Callable[[int], nn.Module] = nn.InstanceNorm2d,
        flat: Sequence[int] = (),
    ):
        super().__init__()
        layers: list[nn.Module] = []
        strides = (*(2 for _ in widths), *(1 for _ in flat))
        for outside, stride in zip((*widths, *flat), strides, strict=True):
            layers.append(nn.Conv2d(inside, outside, kernel, stride, padding=1))
            layers += [norm(outside)] if len(layers) > 1 else []
            layers.append(nn.LeakyReLU(0.2))
            inside = outside
        self.layers = nn.Sequential(*layers, nn.Conv2d(inside, 1, kernel, padding=kernel - 3))
        normal_weights(self)

    def forward(self, images: Tensor) -> Tensor:
        """Judge images ``(B, inside, H, W)``: a map ``(B, 1, h, w)``, trained to be 1 where real and 0 where not."""
        return self.layers(images)


class ModalityDiscriminators(nn.Module):
    """A discriminator for each modality, which sees images of this modality only.

    Parameters
    ----------
    modalities
        Their number n.
    make
        Makes one discriminator of images ``(B, 1, H, W)``.
    """

    def __init__(self, modalities: int, make: Callable[[], ImageDiscriminator]):
        super().__init__()
        self.each = nn.ModuleList(make() for _ in range(modalities))

    def forward(self, stack: Tensor, wanted: Sequence[int]) -> Tensor:
        """Judge some modalities of stacks.

        Parameters
        ----------
        stack
            ``(B, n, H, W)``.
        wanted
            Channels that are judged.

        Returns
        -------
        torch.Tensor
            Maps ``(B, len(wanted), h, w)``.
        """
        return torch.cat([self.each[i](stack[:, i : i + 1]) for i in wanted], dim=1)


class SourceClassifier(nn.Module):
    """Says of feature maps from which modality they were made; one answer for each map.

    Parameters
    ----------
    inside
        Channels of the maps.
    modalities
        Number of modalities n.
    widths
        Channels after each halving of the size.
    """

    def __init__(self, inside: int, modalities: int, widths: Sequence[int]):
        super().__init__()
        layers: list[nn.Module] = []
        for outside in widths:
            layers += [nn.Conv2d(inside, outside, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
            inside = outside
        self.layers, self.last = nn.Sequential(*layers), nn.Linear(inside, modalities)

    def forward(self, features: Tensor) -> Tensor:
        """Return the logarithms of unnormalised probabilities, ``(B, n)``, of features ``(B, inside, H, W)``."""
        return self.last(self.layers(features).mean(dim=(2, 3)))
