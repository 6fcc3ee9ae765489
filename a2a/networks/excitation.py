"""Squeeze-and-excitation (Hu et al. 2018): channels are weighted by what the whole image says.

Part of the networks of the chapters "M2DN" and "DisC-Diff".
"""

from torch import Tensor, nn


class SqueezeExcitation(nn.Module):
    r"""Multiply each channel by a number between 0 and 1 that depends on the means of all channels.

    .. math:: y_c = x_c \, \sigma(W_2 \, \mathrm{ReLU}(W_1 \bar x))_c

    Parameters
    ----------
    channels
        Of the feature map ``(B, channels, H, W)``; the output has its shape.
    reduction
        By how much the hidden layer is narrower.
    """

    def __init__(self, channels: int, reduction: int = 8):
        super().__init__()
        hidden = max(channels // reduction, 1)
        narrow, wide = nn.Linear(channels, hidden, bias=False), nn.Linear(hidden, channels, bias=False)
        self.weights = nn.Sequential(narrow, nn.ReLU(), wide, nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weights(x.mean(dim=(2, 3)))[:, :, None, None]
