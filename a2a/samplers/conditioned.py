"""What a sampler asks the network: all modalities at one noise level, or the clean ones as they are."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from a2a.common.errors import InputError
from a2a.common.units import to_model
from a2a.forward.observation import Observation
from a2a.prior.denoiser import Denoiser

Levels = Literal["shared", "own"]


def prediction(prior: Denoiser, part: Observation, levels: Levels) -> Callable[[Tensor, int], Tensor]:
    r"""Return ``predict(x_t, t)``, the prior's own or conditioned on the clean modalities c of an observation.

    .. math:: E[x_0 | x_t] \quad\text{(shared)}, \qquad E[x_0 | x_t^{\bar c}, y_c] \quad\text{(own)}

    With levels of their own the clean modalities stay at time 0 while the others go from noise to data, as in
    UniDiffuser (Bao et al. 2023): every evaluation sees all of them, and where the prior is exact, MDS is too.
    Chapter "MDS".

    Parameters
    ----------
    prior
        The denoiser.
    part
        B observed stacks.
    levels
        ``"shared"`` or ``"own"``.

    Raises
    ------
    InputError
        If `levels` is neither of the two, the prior knows one level for the whole stack only, or a clean modality is
        noisy: it would have to be denoised with the others.
    """
    if levels not in ("shared", "own"):
        raise InputError(f"levels: unknown value {levels!r}; use 'shared' or 'own'.")
    if levels == "shared":
        return prior.predict
    if prior.levels != "own":
        raise InputError("levels: this prior knows one noise level for all modalities; use 'shared', or another prior.")
    clean = [kind == "clean" for kind in part.kinds]
    for name, known, std in zip(part.spec.names, clean, part.noise_std, strict=True):
        if known and std:
            raise InputError(
                f"levels: {name} has noise_std = {std}; use 'shared', for 'own' takes images without noise."
            )
    if not any(clean):
        return prior.predict
    given = prior.schedule.abar(0) ** 0.5 * to_model(part.adjoint.to(prior.like))
    kept = torch.tensor(clean, device=given.device)[:, None, None]

    def predict(x: Tensor, t: int) -> Tensor:
        return prior.predict(torch.where(kept, given, x), [0 if known else t for known in clean])

    return predict
