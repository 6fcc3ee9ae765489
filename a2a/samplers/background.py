"""A prior that knows where the patient is: of what lies outside it is sure.

Chapter "Your own NIfTI files".
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.prior.denoiser import Denoiser, Times
from a2a.prior.engine import OnnxPrior
from a2a.prior.prior import Prior
from a2a.prior.schedule import NoiseSchedule


@dataclass(frozen=True, eq=False)
class Bounded:
    r"""A denoiser conditioned on the background of some stacks, :math:`E[x_0 | x_t, x_0 = 0 \text{ outside}]`.

    Outside the estimate is 0 in image units whatever x_t is, as that of a clean modality is the image. What the
    background says of the inside is left to the network, which sees it in x_t.

    Parameters
    ----------
    prior
        The denoiser.
    support
        ``bool (B, n, H, W)``, False where a modality is known to be 0.
    """

    prior: Denoiser
    support: Tensor

    @property
    def spec(self) -> StackSpec:
        """The modalities."""
        return self.prior.spec

    @property
    def schedule(self) -> NoiseSchedule:
        """The noise schedule."""
        return self.prior.schedule

    @property
    def noise_levels(self) -> Literal["joint", "per-modality"]:
        """The noise levels that the denoiser is told."""
        return self.prior.noise_levels

    @property
    def like(self) -> Tensor:
        """See `a2a.prior.denoiser.Denoiser.like`."""
        return self.prior.like

    def predict(self, x: Tensor, t: Times) -> Tensor:
        """See `a2a.prior.denoiser.Denoiser.predict`."""
        return torch.where(self.support, self.prior.predict(x, t), -1.0)

    def variance(self, t: int) -> Tensor:
        """See `a2a.prior.denoiser.Denoiser.variance`."""
        return self.prior.variance(t)

    def error_covariance(self, t: int) -> Tensor:
        """See `a2a.prior.denoiser.Denoiser.error_covariance`."""
        return self.prior.error_covariance(t)

    def clamp(self, x: Tensor) -> Tensor:
        """See `a2a.prior.denoiser.Denoiser.clamp`; what was moved outside comes back."""
        return torch.where(self.support, self.prior.clamp(x), -1.0)


def bounded(prior: Denoiser, part: Observation) -> Denoiser:
    """Return the denoiser of some stacks: the prior itself, unless the observation says where they are 0.

    It looks only where a modality that is not known exactly may be other than 0; what is known exactly is copied.

    Parameters
    ----------
    prior
        The denoiser.
    part
        B observed stacks.
    """
    if part.support is None:
        return prior
    support = part.support.to(prior.like.device)
    asked = [i for i, kind in enumerate(part.kinds) if kind != "clean" or part.noise_std[i]]
    if asked and isinstance(prior, (Prior, OnnxPrior)):
        prior = prior.within(support[:, asked].any(dim=1).any(dim=0))
    return Bounded(prior, support)
