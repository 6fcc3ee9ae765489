r"""The best linear estimate of whole noisy stacks, from the principal components of clean ones.

Where a stack is nearly nothing but noise, it says more than most networks learn there. Explained in the chapter
"Unconditional samples".
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_FINEST = 64
"""Side of components; those of larger stacks are constant in blocks, for the leading ones are coarse."""


@dataclass(frozen=True, eq=False)
class PrincipalEstimate:
    r"""The conditional mean of a Gaussian with the leading principal components V of stacks, of variances lambda.

    .. math:: \hat x = m + V \,\mathrm{diag}\Bigl(
              \frac{\sqrt{\bar\alpha}\,\lambda}{\bar\alpha\lambda + 1 - \bar\alpha}
              \Bigr) V^\top (x_t - \sqrt{\bar\alpha}\, m) .

    Without components it is the mean.

    Parameters
    ----------
    mean
        m, `(n, H, W)`, model range.
    components
        V, orthonormal, `(K, n, H / f, W / f)`. With f above 1 they stand for components of whole stacks that are
        constant in blocks of f x f pixels, 1 / f times as large in each.
    variances
        Along them, `(K,)`, model range squared.
    """

    mean: Tensor
    components: Tensor
    variances: Tensor

    @classmethod
    def fit(cls, stacks: Tensor, count: int) -> "PrincipalEstimate":
        """Find the leading components of stacks and of their mirror images.

        Parameters
        ----------
        stacks
            `(N, n, H, W)`, model range.
        count
            Components K; fewer where there are fewer stacks.
        """
        both = torch.cat([stacks, stacks.flip(-1)])
        mean, side = both.flatten(1).mean(dim=0).reshape(both.shape[1:]), both.shape[-1]
        parts = _in_blocks(both - mean, side // _FINEST if side % _FINEST == 0 else 1)
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(0)
            _, values, vectors = torch.pca_lowrank(parts.flatten(1), min(count, len(parts)), center=False)
        return cls(mean, vectors.T.reshape(-1, *parts.shape[1:]).contiguous(), values.square() / len(parts))

    def __call__(self, x: Tensor, signal: Tensor | float, spread: Tensor | float) -> Tensor:
        r"""Return the estimate `(B, n, H, W)`, model range.

        Parameters
        ----------
        x
            Diffused stacks `(B, n, H, W)`, model range, all modalities at one level.
        signal, spread
            Square roots of :math:`\bar\alpha` and :math:`1 - \bar\alpha`.
        """
        if not len(self.components):
            return self.mean.expand_as(x)
        basis, block = self.components.flatten(1), self.mean.shape[-1] // self.components.shape[-1]
        gain = signal * self.variances / (signal**2 * self.variances + spread**2)
        along = _in_blocks(x - signal * self.mean, block).flatten(1) @ basis.T
        found = ((gain * along) @ basis).unflatten(1, self.components.shape[1:])
        return self.mean + (F.interpolate(found, scale_factor=block) / block if block > 1 else found)


def _in_blocks(x: Tensor, block: int) -> Tensor:
    """Products with the orthonormal images that are constant in one block of `block` x `block` pixels and 0 outside."""
    return block * F.avg_pool2d(x, block) if block > 1 else x
