r"""Noise of neighbouring slices that goes together, so that their samples make one volume.

.. math:: z_k = \rho z_{k-1} + \sqrt{1 - \rho^2}\, \epsilon_k

Each z_k is standard normal by itself, so the law of each slice stays what it is; only how slices go together changes.
Chapter "Your own NIfTI files".
"""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Neighbours:
    """Correlates the noise of rows that are slices of volumes, in the order in which they lie.

    Parameters
    ----------
    rho
        Correlation of neighbours: 0 none, 1 the same noise in all slices.
    items
        Slices of a volume; rows are volume by volume, sample by sample.
    """

    rho: float
    items: int
    _last: dict[int, Tensor] = field(default_factory=dict)

    def __call__(self, noise: Tensor, first: int, draw: int) -> Tensor:
        """Return the noise of some rows, which follow on those of the last call for the same draw.

        Parameters
        ----------
        noise
            Independent standard normal noise, `(rows, n, H, W)`.
        first
            Number of the first row.
        draw
            Which of the draws of a walk it is; neighbours go together draw by draw.
        """
        if not self.rho:
            return noise
        fresh = (1 - self.rho**2) ** 0.5
        for i in range(len(noise)):
            if (first + i) % self.items:
                before = noise[i - 1] if i else self._last[draw]
                noise[i].mul_(fresh).add_(before, alpha=self.rho)
        self._last[draw] = noise[-1].clone()
        return noise
