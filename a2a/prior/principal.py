r"""The best linear estimate of whole noisy stacks, from the principal components of clean ones.

Where a stack is nearly nothing but noise, it says more than most networks learn there. Explained in the chapter
"Unconditional samples".
"""

from dataclasses import dataclass

import torch
from torch import Tensor


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
        V, orthonormal, `(K, n, H, W)`.
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
        rows = torch.cat([stacks, stacks.flip(-1)]).flatten(1)
        mean = rows.mean(dim=0)
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(0)
            _, values, vectors = torch.pca_lowrank(rows - mean, min(count, len(rows)), center=False)
        found = vectors.T.reshape(-1, *stacks.shape[1:]).contiguous()
        return cls(mean.reshape(stacks.shape[1:]), found, values.square() / len(rows))

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
        basis = self.components.flatten(1)
        gain = signal * self.variances / (signal**2 * self.variances + spread**2)
        along = (x - signal * self.mean).flatten(1) @ basis.T
        return self.mean + ((gain * along) @ basis).view_as(x)
