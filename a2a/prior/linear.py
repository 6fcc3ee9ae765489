r"""The best linear estimate of a stack from its diffused self, at each pixel: what a network need not learn.

Explained in the chapter "The diffusion prior".
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from a2a.common.errors import InputError

Kind = Literal["pixel", "cross-modal", "pooled"]
FLOOR = 2.5e-5  # squared image units, added to each variance: black margins vary little, and a scan may differ there
_CHUNK = 256
_NAMES = {"mean": "linear.mean", "covariance": "linear.covariance"}


@dataclass(frozen=True, eq=False)
class LinearEstimate:
    r"""The clean estimate of stacks that are Gaussian at each pixel, independent of other pixels.

    With the mean m and the covariance P of the n modalities of a pixel, and a noise level of each modality, collected
    in the diagonal matrices :math:`D = \mathrm{diag}(\sqrt{\bar\alpha_i})` and
    :math:`R = \mathrm{diag}(1 - \bar\alpha_i)`,

    .. math:: \hat x = m + P D (D P D + R)^{-1} (x_t - D m), \qquad V = P - P D (D P D + R)^{-1} D P .

    Where some modalities are clean and the others are nothing but noise, it is linear regression on the clean ones.

    Parameters
    ----------
    mean
        m, `(n, H, W)` in image units, or `(n, 1, 1)` where it is the same for all pixels.
    covariance
        P, `(n, n, H, W)` or `(n, n, 1, 1)` in squared image units; symmetric and positive definite at each pixel.

    Raises
    ------
    InputError
        If the shapes do not fit, or a value is not finite or a variance not positive.
    """

    mean: Tensor
    covariance: Tensor

    def __post_init__(self) -> None:
        n = len(self.mean)
        if self.mean.ndim != 3 or self.covariance.shape != (n, *self.mean.shape):
            shapes = f"{tuple(self.mean.shape)} and {tuple(self.covariance.shape)}"
            raise InputError(f"linear: mean (n, H, W) and covariance (n, n, H, W) are needed, got {shapes}.")
        variances = self.covariance.diagonal()
        if not (self.mean.isfinite().all() and self.covariance.isfinite().all() and (variances > 0).all()):
            raise InputError("linear: mean and covariance must be finite, and the variances positive.")

    @classmethod
    def fit(cls, images: np.ndarray, kind: Kind) -> "LinearEstimate":
        """Measure mean and covariance of slices and of their mirror images.

        Parameters
        ----------
        images
            ``(N, n, H, W)`` in [0, 1]; a memory-mapped array is read in pieces.
        kind
            ``"pixel"``: each modality by itself; ``"cross-modal"``: how modalities go together, too; ``"pooled"``: so,
            and the same for all pixels, measured where any modality is positive. It is for a few heads, which say
            little of a single pixel, and for crops.
        """
        if kind == "pooled":
            return cls._pooled(images)
        parts = [images[first : first + _CHUNK] for first in range(0, len(images), _CHUNK)]
        mean = _mirrored(torch.stack([_float(part).sum(dim=0) for part in parts]).sum(dim=0) / len(images))
        apart = [_float(part) - mean for part in parts]
        products = torch.stack([torch.einsum("bihw,bjhw->ijhw", part, part) for part in apart])
        covariance = _mirrored(products.sum(dim=0) / len(images))
        own = torch.eye(len(mean))[:, :, None, None]
        return cls(mean, (covariance if kind == "cross-modal" else own * covariance) + FLOOR * own)

    @classmethod
    def _pooled(cls, images: np.ndarray) -> "LinearEstimate":
        n, count = images.shape[1], 0
        total, squares = torch.zeros(n, dtype=torch.float64), torch.zeros(n, n, dtype=torch.float64)
        for first in range(0, len(images), _CHUNK):
            pixels = _float(images[first : first + _CHUNK]).permute(1, 0, 2, 3).flatten(1).double()
            pixels = pixels[:, (pixels > 0).any(dim=0)]
            total, squares, count = total + pixels.sum(dim=1), squares + pixels @ pixels.T, count + pixels.shape[1]
        if count < 2:
            raise InputError("linear: no pixel of the training slices is positive.")
        mean = total / count
        covariance = squares / count - torch.outer(mean, mean) + FLOOR * torch.eye(n)
        return cls(mean[:, None, None].float(), covariance[:, :, None, None].float())

    @property
    def pooled(self) -> bool:
        """Whether it is the same for all pixels."""
        return self.mean.shape[1:] == (1, 1)

    def __call__(self, x: Tensor, signal: float | Tensor, spread: float | Tensor) -> tuple[Tensor, Tensor]:
        r"""Return the estimate and the standard deviation that it leaves, model range.

        The modalities are taken in one after the other, each as a single number for each pixel: that needs no inverse
        of a matrix, and is the same.

        Parameters
        ----------
        x
            Diffused stacks `(B, n, H, W)`, model range.
        signal, spread
            Square roots of :math:`\bar\alpha` and :math:`1 - \bar\alpha`, see `NoiseSchedule.coefficients`.

        Returns
        -------
        tuple
            The estimate `(B, n, H, W)`, and its deviation, `(B, n, H, W)` or, where the levels of all stacks are the
            same, `(1, n, H, W)`; `(B, n, 1, 1)` where the estimate is pooled.
        """
        signal, spread = (_levels(value, x) for value in (signal, spread))
        estimate = (2 * self.mean.to(x) - 1).expand_as(x)
        left = 4 * self.covariance.to(x).expand(len(signal), -1, -1, -1, -1)
        for i in range(x.shape[1]):
            root, row = signal[:, i, None], left[:, i]
            gain = root * row / (root.square() * row[:, i, None] + spread[:, i, None].square())
            estimate = estimate + gain * (x[:, i, None] - root * estimate[:, i, None])
            left = left - gain[:, :, None] * (root * row)[:, None]
        return estimate, left.diagonal(dim1=1, dim2=2).permute(0, 3, 1, 2).clamp_min(1e-10).sqrt()

    def alone(self, x: Tensor, signal: float | Tensor, spread: float | Tensor) -> Tensor:
        """Return the estimate of each modality by itself, model range: the mean where it is only noise.

        Parameters
        ----------
        x
            x_t, ``(B, n, H, W)``.
        signal, spread
            ``sqrt(abar)`` and ``sqrt(1 - abar)`` of the stacks or of each modality.
        """
        mean, variance = (2 * self.mean - 1).to(x), 4 * self._variances.to(x)
        signal, spread = (_levels(value, x) for value in (signal, spread))
        gain = signal * variance / (signal.square() * variance + spread.square())
        return mean + gain * (x - signal * mean)

    @property
    def _variances(self) -> Tensor:
        return self.covariance.diagonal().permute(2, 0, 1)

    def standardised(self, estimate: Tensor) -> Tensor:
        """Return how far an estimate (model range) is from the mean, in standard deviations of the stacks."""
        deviation = 2 * self._variances.sqrt()
        return (estimate - (2 * self.mean - 1).to(estimate)) / deviation.to(estimate)

    def left(self, deviation: Tensor) -> Tensor:
        """Return the share of the stacks' deviations that a deviation (model range) is, from 0 to 1."""
        return deviation / (2 * self._variances.sqrt()).to(deviation)

    def to(self, like: Tensor) -> "LinearEstimate":
        """Return the same with the dtype and device of a tensor."""
        return LinearEstimate(self.mean.to(like), self.covariance.to(like))

    def tensors(self) -> dict[str, Tensor]:
        """Return mean and covariance by the names that they have in a weights file; float32."""
        return {name: getattr(self, field).cpu().float().contiguous() for field, name in _NAMES.items()}

    @classmethod
    def taken_from(cls, tensors: dict[str, Tensor]) -> "LinearEstimate | None":
        """Take out of a file's tensors what `tensors` returned, or return None where they are not among them."""
        found = {field: tensors.pop(name) for field, name in _NAMES.items() if name in tensors}
        return cls(**found) if found else None


def _levels(value: float | Tensor, x: Tensor) -> Tensor:
    """Noise levels of each modality, ``(B, n, 1, 1)``, or ``(1, n, 1, 1)`` where they are those of all stacks."""
    each = value if torch.is_tensor(value) else x.new_full((1, 1, 1, 1), value)
    return each.to(x).expand(-1, x.shape[1], 1, 1)


def _float(images: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(images, dtype=np.float32))


def _mirrored(image: Tensor) -> Tensor:
    """The mean of an image and its mirror image."""
    return (image + image.flip(-1)) / 2
