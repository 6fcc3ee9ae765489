"""Noise that makes up for what a clean estimate does not know."""

from collections.abc import Callable

import torch
from torch import Tensor

from a2a.prior.denoiser import Denoiser
from a2a.prior.frequency_bands import filtered
from a2a.samplers.cross_modal import regression
from a2a.samplers.table import Eta


def noise_of_a_step(
    prior: Denoiser, eta: Eta, missing: list[int], told: list[int]
) -> tuple[float, Callable[[Tensor, int, int], Tensor]]:
    r"""Return the eta of `a2a.prior.schedule.NoiseSchedule.step` and what turns its noise z into the one it takes.

    A step takes the clean estimate for the truth. What the estimate does not know, of covariance C, is lost to the
    samples, and with few steps they become too alike. With ``"optimal"`` a step from t to s draws it,

    .. math:: \sigma^2 I + \kappa^2 C, \qquad \kappa = \frac{\sqrt{\bar\alpha_s}\, (1 - \bar\alpha_t / \bar\alpha_s)}
                                                         {1 - \bar\alpha_t}

    with :math:`\sigma` of eta = 1: the covariance of x_s under the true posterior of x_0 (Bao et al. 2022). C is the
    error of the estimate on validation slices, between modalities in each frequency band. The last step, which lands on
    the clean estimate, draws nothing.

    Parameters
    ----------
    prior
        Has the error, see `Denoiser.error_covariance`.
    eta
        ``"optimal"``, or a number, for which the noise stays as it is.
    missing
        Modalities that get this noise. Others follow their data.
    told
        Modalities that the estimate knows exactly: C is what is left of the error when they are known.
    """
    if not isinstance(eta, str):
        return eta, lambda z, t, s: z
    none, shown = torch.zeros(len(prior.spec), dtype=torch.float64), torch.zeros(len(prior.spec), dtype=torch.float64)
    shown[missing] = 1

    def widened(z: Tensor, t: int, s: int) -> Tensor:
        sigma = prior.schedule.sigma(t, s, 1.0)
        if not sigma:
            return z
        error = prior.error_covariance(t)
        error = error - regression(error, told, none) @ error[:, told] if told else error
        ratio = (prior.schedule.of_the_estimate(t, s) / sigma) ** 2
        covariance = torch.eye(len(shown), dtype=torch.float64) + 4 * ratio * error * shown[:, None] * shown
        return filtered(torch.linalg.cholesky(covariance), z)

    return 1.0, widened
