"""The weight of the prior against the data, from the variance of the residual."""

import torch
from torch import Tensor

from a2a.forward.observation import Observation


def corrected(observation: Observation, image: Tensor) -> Tensor:
    r"""Move a clean estimate to the data, as far as its own misfit says that it is wrong.

    .. math:: x_0^* = \arg\min_x \tfrac12 \|y - A x\|^2 + \sum_i \tfrac{\lambda_i}{2} \|x_i - \hat x_i\|^2,
              \qquad \lambda_i = \sigma_i^2 / V_i

    with the variance V of `residual_variance`. Clean modalities become their data.

    Parameters
    ----------
    observation
        B observed stacks.
    image
        Clean estimates `(B, n, H, W)`, image units.
    """
    near = observation.data_fidelity(image)
    residual = (near.misfit() + observation.energy).clamp_min(0)
    return near.solve(prior_weight(observation, residual_variance(observation, residual)))


def residual_variance(observation: Observation, residual: Tensor) -> Tensor:
    r"""Estimate the variance of a clean estimate from how far it is from the data.

    If :math:`\hat x_i` has independent errors of variance V, its residual has the expectation

    .. math:: E \|y_i - A_i \hat x_i\|^2 = V\, \mathrm{tr}(A_i^H A_i) + m_i \sigma_i^2

    with :math:`m_i` real numbers measured with noise :math:`\sigma_i`; solved for V, and not negative.

    Parameters
    ----------
    observation
        B observed stacks.
    residual
        Of a clean estimate, :math:`\|y_i - A_i \hat x_i\|^2`, `(B, n)`, see `Observation.residual_norm2`.

    Returns
    -------
    Tensor
        `(B, n)`, float64, squared image units; 0 where a modality has no data.
    """
    expected, trace, _ = observation.constants
    return ((residual - expected) / trace).clamp(min=0)


def prior_weight(observation: Observation, variance: Tensor) -> Tensor:
    r"""Weight :math:`\lambda_i = \sigma_i^2 / V_i` of the prior in the data-consistency problem.

    With it the problem is the Bayesian one for :math:`x_i \sim N(\hat x_i, V_i I)`. Modalities without noise get 0:
    their data are copied.

    Parameters
    ----------
    observation
        Gives the noise levels.
    variance
        V, `(n,)` or `(B, n)`, squared image units.
    """
    *_, noise = observation.constants
    return noise / variance.clamp(min=1e-12)


def fixed_weight(observation: Observation, weight: float) -> Tensor:
    """Return a constant weight for modalities with noise, 0 for the others, `(n,)`."""
    return torch.where(observation.constants[-1] > 0, weight, 0.0)
