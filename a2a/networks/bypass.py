"""A way for the pixels of a patch past a network that folds patches into channels.

Explained in the chapter "What it costs".
"""

import torch.nn.functional as F
from torch import Tensor, nn

from a2a.networks.blocks import zeroed


class Bypass(nn.Module):
    """``W_m(t) x_m`` of the p^2 pixels x_m of each patch of each modality m, with small matrices that know the time.

    What a denoiser predicts is for the most part a linear function of the very pixels that it is asked about: of fine
    structure, which is nearly all noise, simply a multiple. A narrow network would have to carry p^2 times as many
    pixels through all its layers for that; so they go past it. The matrices start at zero.

    Parameters
    ----------
    channels
        Modalities n.
    patch
        Side p of the patches.
    embedding
        Numbers that say the time.
    """

    def __init__(self, channels: int, patch: int, embedding: int):
        super().__init__()
        self.pixels = patch**2
        self.maps = zeroed(nn.Linear(embedding, channels * self.pixels**2))

    def forward(self, folded: Tensor, embedding: Tensor) -> Tensor:
        """Return ``W x``, shape of the folded stack ``(B, n p^2, H / p, W / p)``."""
        maps = self.maps(F.silu(embedding)).unflatten(1, (-1, self.pixels, self.pixels))
        return (maps @ folded.unflatten(1, (-1, self.pixels)).flatten(3)).reshape(folded.shape)
