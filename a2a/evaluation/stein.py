r"""Whether samples are of the prior's own posterior, without truth: kernel Stein discrepancy.

A density p with score :math:`s = \nabla \log p` satisfies :math:`E_p[s(x)^\top f(x) + \mathrm{div} f(x)] = 0` for
smooth functions f. The discrepancy is the largest violation over the unit ball of a kernel (Liu, Lee, Jordan 2016;
Chwialkowski, Strathmann, Gretton 2016). It needs samples and the score, which a diffusion prior has, and it judges the
sampler: what the prior has wrong stays wrong. Explained in the chapter "What the samples know".
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from a2a.common.errors import InputError, whole
from a2a.common.rng import generator, randn, spawn
from a2a.common.units import to_image, to_model
from a2a.forward.observation import Observation
from a2a.prior.denoiser import Denoiser
from a2a.samplers.noise_levels import prediction
from a2a.samplers.prior_weight import prior_weight

DRAWS = 999


@dataclass(frozen=True)
class Stein:
    """What Stein's identity says of samples.

    Parameters
    ----------
    discrepancy
        Estimate of the squared kernel Stein discrepancy, times the squared width of the kernel: 0 on average for
        samples of p, also negative.
    p_value
        How often samples of p would have a discrepancy as large.
    variance_ratio
        Variance of the samples over that of p, if p is Gaussian; 1 on average for samples of any p.
    """

    discrepancy: float
    p_value: float
    variance_ratio: float


def stein_discrepancy(points: Tensor, scores: Tensor, draws: int = DRAWS, seed: int = 0) -> Stein:
    r"""Compare samples of some distributions with their scores.

    The kernel is :math:`k(x, x') = (1 + \|x - x'\|^2 / h^2)^{-1/2}`, h the median distance (Gorham and Mackey 2017).
    The estimate leaves out pairs of a sample with itself; p-values come from random signs (wild bootstrap).

    Parameters
    ----------
    points
        ``(B, S, q)``: S independent samples of each of B distributions, S >= 2.
    scores
        Of the distributions at the samples, of the same shape. Where the points are a projection P x, P with
        orthonormal rows, P s(x) will do: then f looks at the projection alone.
    draws
        Of the bootstrap.
    seed
        Of its signs.

    Raises
    ------
    InputError
        If shapes do not fit, values are not finite, or samples are all the same.
    """
    if points.ndim != 3 or points.shape != scores.shape or points.shape[1] < 2:
        raise InputError(f"points, scores: needed are (B, S, q), S >= 2; got {(*points.shape,)}, {(*scores.shape,)}.")
    x, s = points.double(), scores.double()
    if not bool(x.isfinite().all() and s.isfinite().all()):
        raise InputError("points, scores: there are values that are not finite.")
    groups, count, size = x.shape
    apart = torch.cdist(x, x).square()
    pairs = ~torch.eye(count, dtype=torch.bool)
    width2 = apart[:, pairs].median()
    if not width2 > 0:
        raise InputError("points: the samples are all the same.")
    kernel = (1 + apart / width2).rsqrt()
    along = torch.einsum("bijq,bijq->bij", x[:, :, None] - x[:, None], s[:, :, None] - s[:, None])
    terms = kernel * (s @ s.mT) + kernel**3 * (along + size) / width2 - 3 * kernel**5 * apart / width2**2
    terms = terms * pairs
    found = terms.mean(dim=0).sum() / (count * (count - 1))
    signs = torch.randint(2, (draws, groups, count), generator=generator(seed), dtype=torch.float64) * 2 - 1
    by_chance = torch.einsum("dbi,bij,dbj->d", signs, terms, signs) / groups / (count * (count - 1))
    p_value = (1 + int((by_chance >= found).sum())) / (1 + draws)
    centred = x - x.mean(dim=1, keepdim=True)
    ratio = -(centred * s).sum() / (groups * (count - 1) * size)
    return Stein(float(found * width2), p_value, float(ratio))


def posterior_score(
    prior: Denoiser, observation: Observation, samples: Tensor, t: int, generators: Sequence[torch.Generator]
) -> tuple[Tensor, Tensor]:
    r"""Diffuse samples to time t, and return the score of the diffused posterior there.

    With :math:`x_t = \sqrt{\bar\alpha}\, x + \sqrt{1 - \bar\alpha}\, n` for x from p(x | y),

    .. math:: \nabla \log p(x_t \mid y) = \frac{\sqrt{\bar\alpha}\, E[x \mid x_t, y] - x_t}{1 - \bar\alpha}

    (Tweedie). Clean modalities are given to the prior as they are and are not diffused, which is exact. For measured
    ones the estimate of the prior is moved to the data with the weight :math:`\sigma^2 / V_t`, V_t being the variance
    of its errors: exact where these are independent and Gaussian, as they become for small t.

    Parameters
    ----------
    prior
        The denoiser; it needs levels of its own for clean modalities.
    observation
        B observed stacks.
    samples
        ``(S, B, n, H, W)``, image units.
    t
        Time, from 0.
    generators
        One for each of the S B rows, sample by sample.

    Returns
    -------
    tuple
        x_t and the score, ``(S, B, n, H, W)`` in the model's range; the score of a clean modality is 0.

    Raises
    ------
    InputError
        If the time is not on the schedule, or the prior knows one level for the whole stack only.
    """
    whole("t", t, 0, prior.schedule.length - 1)
    count, given = len(samples), observation.repeat(len(samples)).to(prior.like)
    abar, rows = prior.schedule.abar(t), samples.flatten(0, 1).to(prior.like)
    x = abar**0.5 * to_model(rows) + (1 - abar) ** 0.5 * randn(rows.shape[1:], generators, rows)
    told = "per-modality" if "clean" in observation.kinds else "joint"
    with torch.no_grad():
        estimate = to_image(prediction(prior, given, told)(x, t))
    weight = prior_weight(given, torch.as_tensor(prior.variance(t)).to(given.constants[-1]))
    score = (abar**0.5 * to_model(given.operator.prox(estimate, given.adjoint, weight)) - x) / (1 - abar)
    known = torch.tensor([kind == "clean" for kind in observation.kinds])[:, None, None]
    return x.unflatten(0, (count, -1)), torch.where(known, 0.0, score).unflatten(0, (count, -1))


def stein_check(
    prior: Denoiser,
    observation: Observation,
    samples: Tensor,
    times: Sequence[int] = (200, 500, 800),
    side: int = 4,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare samples with the posterior of their prior, each open modality by itself, at some noise levels.

    Whole images have more dimensions than there are samples, so each is seen as the means of ``side x side`` blocks:
    brightness and shape. Little noise asks for every detail of the score, and networks err most there, relatively;
    much noise hides what the samples do.

    Parameters
    ----------
    prior, observation, samples
        As in `posterior_score`, S >= 2.
    times
        Of `posterior_score`.
    side
        Blocks along each axis.
    seed
        Of the noise and of the bootstrap.

    Returns
    -------
    pandas.DataFrame
        ``modality, t`` and the fields of `Stein`.

    Raises
    ------
    InputError
        As `posterior_score` and `stein_discrepancy`, or if H and W do not divide into the blocks.
    """
    items, height, width = observation.shape
    if side < 1 or height % side or width % side:
        raise InputError(f"side: {height} x {width} pixels do not divide into {side} x {side} blocks.")
    block = (height // side, width // side)

    def seen(images: Tensor) -> Tensor:
        """Orthonormal projection of ``(S, B, H, W)`` to ``(B, S, q)``."""
        return (avg_pool2d(images, block) * (block[0] * block[1]) ** 0.5).flatten(2).transpose(0, 1)

    states = [(t, *posterior_score(prior, observation, samples, t, spawn(seed, items, len(samples)))) for t in times]
    rows = [
        {"modality": name, "t": t} | vars(stein_discrepancy(seen(x[:, :, i]), seen(scores[:, :, i]), seed=seed))
        for i, name in enumerate(observation.spec.names)
        if observation.kinds[i] != "clean"
        for t, x, scores in states
    ]
    return pd.DataFrame(rows)
