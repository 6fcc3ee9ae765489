"""What a sampler tells the network: all modalities at one noise level, or the clean ones as they are."""

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from a2a.common.errors import InputError
from a2a.common.units import to_model
from a2a.forward.observation import Observation
from a2a.prior.denoiser import Denoiser
from a2a.prior.engine import OnnxPrior
from a2a.prior.prior import Prior

NoiseLevels = Annotated[
    Literal["joint", "per-modality"],
    Field(description="per-modality: the network sees clean images without noise, which some priors have learned"),
]


def seeing_adjacent(prior: Denoiser, part: Observation) -> Denoiser:
    """Return the denoiser of some stacks that is shown the slices below and above, if it can look at them.

    Parameters
    ----------
    prior
        The denoiser.
    part
        B observed stacks.
    """
    if part.adjacent is None or not isinstance(prior, (Prior, OnnxPrior)):
        return prior
    return prior.beside(part.adjacent)


def prediction(prior: Denoiser, part: Observation, noise_levels: NoiseLevels) -> Callable[[Tensor, int], Tensor]:
    r"""Return ``predict(x_t, t)``, the prior's own or conditioned on the clean modalities c of an observation.

    .. math:: E[x_0 | x_t] \quad\text{(joint)}, \qquad E[x_0 | x_t^{\bar c}, y_c] \quad\text{(per modality)}

    With a level for each modality the clean ones stay at time 0 while the others go from noise to data, as in
    UniDiffuser (Bao et al. 2023): every evaluation sees all of them, and where the prior is exact, MDS is too.
    Chapter "MDS".

    Parameters
    ----------
    prior
        The denoiser.
    part
        B observed stacks.
    noise_levels
        ``"joint"`` or ``"per-modality"``.

    Raises
    ------
    InputError
        If the prior knows one level for the whole stack only, or a clean modality is noisy: it would have to be
        denoised with the others.
    """
    if noise_levels == "joint":
        return prior.predict
    if prior.noise_levels == "joint":
        raise InputError("noise_levels: this prior knows one for all modalities; use 'joint', or another prior.")
    clean = [kind == "clean" for kind in part.kinds]
    for name, known, std in zip(part.spec.names, clean, part.noise_std, strict=True):
        if known and std:
            why = f"{name} has noise_std = {std}"
            raise InputError(f"noise_levels: {why}; use 'joint', for 'per-modality' takes images without noise.")
    if not any(clean):
        return prior.predict
    given = prior.schedule.abar(0) ** 0.5 * to_model(part.adjoint.to(prior.like))
    kept = torch.tensor(clean, device=given.device)[:, None, None]

    def predict(x: Tensor, t: int) -> Tensor:
        return prior.predict(torch.where(kept, given, x), [0 if known else t for known in clean])

    return predict
