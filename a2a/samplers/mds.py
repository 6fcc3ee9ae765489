"""MDS: DDIM whose clean estimate is corrected by a small least-squares problem."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from a2a.common.errors import InputError
from a2a.common.units import to_image, to_model
from a2a.forward.completion import Completion
from a2a.forward.observation import Observation
from a2a.prior.denoiser import Denoiser
from a2a.prior.schedule import Spacing
from a2a.samplers.conditioned import Levels, prediction
from a2a.samplers.cross_modal import coupled_estimate
from a2a.samplers.prior_weight import corrected, fixed_weight
from a2a.samplers.reverse import Update, reverse


def mds(
    prior: Denoiser,
    observation: Observation,
    *,
    steps: int = 150,
    eta: float = 1.0,
    weight: float | None = None,
    errors: Literal["independent", "coupled"] = "independent",
    levels: Levels = "shared",
    spacing: Spacing = 1.0,
    restarts: int = 0,
    samples: int = 1,
    rows: Sequence[torch.Generator] | None = None,
    batch: int = 16,
) -> Completion:
    r"""Multimodal decomposition sampling (Any2all, Gan, Wang et al. 2026); chapter "MDS".

    Each step predicts the clean stack, moves it to

    .. math:: x_0^* = \arg\min_x \tfrac12 \|y - A x\|^2 + \sum_i \tfrac{\lambda_i}{2} \|x_i - \hat x_{0,i}\|^2

    and recombines :math:`x_0^*` with the noise that :math:`\hat x_0` left of x_t (deriving it anew from :math:`x_0^*`
    would forget the other modalities' news).

    Parameters
    ----------
    prior
        The denoiser.
    observation
        What was acquired; with all modalities missing this is DDIM.
    steps
        Network evaluations (exactly).
    eta
        DDIM noise level, which the paper does not give. 1, ancestral, forgets earlier errors fastest, which matters
        where the network cannot reproduce clean data exactly.
    weight
        Weight lambda of the prior for modalities with noise. None derives it anew in each step, for each sample and
        modality, from the residual: :math:`\lambda_i = \sigma_i^2 / V_i` with the variance V of the clean estimate
        that `a2a.samplers.prior_weight.surprise` infers. Clean modalities have lambda = 0: they are copied exactly.
    errors
        What the prior's weight takes the errors of the clean estimate for: ``"independent"`` between pixels and
        modalities, as in the paper, or ``"coupled"`` as they were on validation slices, so that missing modalities
        follow the given ones; see `a2a.samplers.cross_modal.coupled_estimate`. Their noise is then what :math:`x_0^*`
        leaves, for the news of the given ones are in it already.
    levels
        ``"shared"``: the clean modalities are noised as the others, as in the paper. ``"own"``: the network sees them
        as they are; needs a prior that was trained so, see `a2a.samplers.conditioned.prediction`.
    spacing, restarts, samples, rows, batch
        See `a2a.samplers.reverse.reverse`.

    Raises
    ------
    InputError
        If `errors` or `levels` is neither of the two, `weight` is negative or not finite or meets coupled `errors`, or
        the prior has no levels of their own.
    """
    if errors not in ("independent", "coupled"):
        raise InputError(f"errors: unknown value {errors!r}; use 'independent' or 'coupled'.")
    if weight is not None and not 0 <= weight < math.inf:
        raise InputError(f"weight: {weight} must be finite and not negative.")
    if errors == "coupled" and weight is not None:
        raise InputError("weight: coupled errors have no single weight; leave it out, or use errors='independent'.")

    def update_for(part: Observation) -> Update:
        missing = torch.tensor([kind == "missing" for kind in part.kinds])[:, None, None].to(prior.like.device)
        predict = prediction(prior, part, levels)

        def update(x: Tensor, z: Tensor, t: int, s: int) -> Tensor:
            with torch.no_grad():
                predicted = predict(x, t)
            image = to_image(predicted)
            if errors == "coupled":
                x0 = prior.clamp(to_model(coupled_estimate(part, image, prior.coupling(t))))
                predicted = torch.where(missing, x0, predicted)
            elif weight is None:
                x0 = to_model(corrected(part, image))
            else:
                x0 = to_model(part.operator.prox(image, part.adjoint, fixed_weight(part, weight)))
            return prior.schedule.step(x0, prior.schedule.left_in(x, predicted, t), z, t, s, eta)

        return update

    course = {"steps": steps, "spacing": spacing, "restarts": restarts}
    common = {"samples": samples, "rows": rows, "batch": batch, "label": f"MDS, {observation.scenario}"}
    done = reverse(prior, observation, update_for, **course, **common)
    return replace(done, samples=_copy_clean(observation, done.samples))


def _copy_clean(observation: Observation, samples: Tensor) -> Tensor:
    """Put exact data back bit for bit: the way to the model's range and back rounds in the last place."""
    exact = [k == "clean" and std == 0 for k, std in zip(observation.kinds, observation.noise_std, strict=True)]
    return torch.where(torch.tensor(exact)[:, None, None], observation.adjoint.to(samples), samples)
