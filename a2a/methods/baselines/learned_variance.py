"""A reverse process that learns its variance (Nichol and Dhariwal 2021), as DisC-Diff at its published size does.

All images are in [-1, 1]. Explained in the chapter "DisC-Diff".
"""

import math

import torch
from torch import Tensor

from a2a.methods.baselines.conditional import Predicts, noise_in, target
from a2a.prior.schedule import END, NoiseSchedule

HALF_BIN = 1 / 255  # half the distance of two grey levels when 256 of them span [-1, 1]


def log_variance(schedule: NoiseSchedule, raw: Tensor, t: int, s: int) -> Tensor:
    r"""Logarithm of the variance of the step from t to s, between the two values that theory gives it.

    .. math:: \log \sigma^2 = \tfrac{w+1}{2} \log \beta + \tfrac{1-w}{2} \log \tilde\beta

    with :math:`\beta = 1 - \bar\alpha_t / \bar\alpha_s` and the posterior variance :math:`\tilde\beta`, which is 0 on
    the last step and is taken from the step before it there (Nichol and Dhariwal 2021, Eq. 15).

    Parameters
    ----------
    raw
        w, what the network answers, nominally in [-1, 1]; the result has its shape.
    """
    upper = math.log(1 - schedule.abar(t) / schedule.abar(s))
    lower = 2 * math.log(schedule.sigma(t, s, 1.0) if s >= 0 else schedule.sigma(1, 0, 1.0))
    return (raw + 1) / 2 * upper + (1 - raw) / 2 * lower


def step(
    schedule: NoiseSchedule, clean: Tensor, x: Tensor, noise: Tensor, t: int, s: int, raw: Tensor | None
) -> Tensor:
    """Take the ancestral step from x_t to x_s, with the variance that was learned or, without one, the posterior's.

    Parameters
    ----------
    clean, x, noise
        Clean estimate, x_t, and fresh noise, ``(b, c, H, W)``.
    t, s
        This time and the next.
    raw
        See `log_variance`; None for the posterior variance.
    """
    if raw is None or s == END:
        return schedule.ancestral(clean, x, noise, t, s)
    mean = schedule.ancestral(clean, x, torch.zeros_like(x), t, s)
    return mean + (0.5 * log_variance(schedule, raw, t, s)).exp() * noise


def variational_bound(
    schedule: NoiseSchedule, x0: Tensor, noisy: Tensor, times: Tensor, clean: Tensor, raw: Tensor
) -> Tensor:
    """Term of the variational bound at each row's time, in bits per pixel, ``(b,)``.

    The divergence of the learned step from ``q(x_{t-1} | x_t, x_0)``, or at t = 0 the negative log-likelihood of the
    256 grey levels (Ho et al. 2020, Eq. 5 and 13).

    Parameters
    ----------
    x0, noisy, clean, raw
        True clean image, x_t, the estimate of the clean image (no gradient flows into it) and w, ``(b, c, H, W)``.
    times
        Time indices ``(b,)``.
    """
    rows = zip(x0, noisy, times.tolist(), clean.detach(), raw, strict=True)
    return torch.stack([_term(schedule, *row) for row in rows])


def _term(schedule: NoiseSchedule, x0: Tensor, noisy: Tensor, t: int, clean: Tensor, raw: Tensor) -> Tensor:
    s, none = t - 1, torch.zeros_like(x0)
    mean, learned = schedule.ancestral(clean, noisy, none, t, s), log_variance(schedule, raw, t, s)
    if t == 0:
        return -_grey_levels(x0, mean, learned).mean() / math.log(2)
    true = schedule.ancestral(x0, noisy, none, t, s)
    posterior = 2 * math.log(schedule.sigma(t, s, 1.0))
    gap = learned - posterior
    divergence = 0.5 * (gap - 1 + (-gap).exp() + (true - mean).square() * (-learned).exp())
    return divergence.mean() / math.log(2)


def _grey_levels(x0: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Log-probability of the grey level of each pixel; the darkest and the brightest take all that lies beyond."""
    scale = (-0.5 * log_variance).exp()
    above = torch.where(x0 > 0.999, 1.0, torch.special.ndtr((x0 + HALF_BIN - mean) * scale))
    below = torch.where(x0 < -0.999, 0.0, torch.special.ndtr((x0 - HALF_BIN - mean) * scale))
    return (above - below).clamp_min(1e-12).log()


def noise_errors(
    schedule: NoiseSchedule,
    out: Tensor,
    stack: Tensor,
    noisy: Tensor,
    times: Tensor,
    noise: Tensor,
    predicts: Predicts = "noise",
) -> Tensor:
    """Squared error of the answer, and where the variance is learned its bound, of each modality by itself.

    Parameters
    ----------
    out
        What the network answers: noise or velocity, ``(b, n, H, W)``, or with the raw variance ``(b, 2 n, H, W)``.
    stack, noisy, noise
        Clean stacks, x_t, and the noise in it, ``(b, n, H, W)``.
    times
        Time indices ``(b,)``.
    predicts
        Which of the two.
    """
    answer, raw = split(out, stack.shape[1])
    signal, spread = (torch.as_tensor(each) for each in schedule.coefficients(times, noisy))
    errors = (answer - target(predicts, stack, noise, signal, spread)).square()
    if raw is None:
        return errors
    estimate = (noisy - spread * noise_in(predicts, answer, noisy, signal, spread)) / signal
    truth, x, clean, wanted = (each.flatten(0, 1)[:, None] for each in (stack, noisy, estimate, raw))
    bound = variational_bound(schedule, truth, x, times.repeat_interleave(stack.shape[1]), clean, wanted)
    return errors + bound.view(*stack.shape[:2], 1, 1)


def split(out: Tensor, modalities: int) -> tuple[Tensor, Tensor | None]:
    """Part what a network answers into noise and raw variance, None where it answers none."""
    return out[:, :modalities], out[:, modalities:] if out.shape[1] > modalities else None
