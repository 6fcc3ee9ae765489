r"""The phase of an image in its coil maps, so that what is unknown is real, and a noise level that owns what is left.

A scanner's image is complex. With the phase :math:`\varphi` of a first, complex reconstruction folded into the maps,
:math:`s_c e^{i \varphi}`, the image that they see is real and, but for what the phase misses, not negative. What no
real image explains is then no noise of the receiver, but as uncertain, so it counts as noise. The phase is taken as it
is found: smoothed by one pixel it costs 4 dB on a real scan at 3.5 mm. Chapter "Your own NIfTI files".
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from a2a.common.progress import remark
from a2a.data.kspace.check import residual
from a2a.forward.measured import AnyKSpace
from a2a.forward.operators import LinearOperator

_DAMPING, _STEPS = 0.01, 30


def with_phase(kspace: AnyKSpace, name: str) -> AnyKSpace:
    """Fold the phase of the image into estimated maps, and what is left of it into the noise level.

    Parameters
    ----------
    kspace
        With maps that were estimated, of one slice or of each.
    name
        The modality, for messages.

    Returns
    -------
    AnyKSpace
        The same data with maps of each slice, and a noise level that is not smaller than before.
    """
    operator, data = kspace.measurement(name)
    turn = torch.exp(1j * complex_image(operator, data).angle())
    maps = kspace.maps if kspace.maps.ndim == 4 else kspace.maps[None]
    turned = replace(kspace, maps=(maps * turn[:, None]).contiguous())
    found = misfit(turned, name)
    if found <= kspace.noise_std:
        return turned
    remark(f"{name}: no real image explains k-space better than to {found:.2g}, so that is taken as its noise level")
    return replace(turned, noise_std=found)


def complex_image(operator: LinearOperator, data: Tensor) -> Tensor:
    """Return the damped least-squares image without the constraint that it is real, complex ``(N, H, W)``.

    Parameters
    ----------
    operator
        Of real images.
    data
        What was measured.
    """

    def adjoint(y: Tensor) -> Tensor:
        return torch.complex(operator.adjoint(y), operator.adjoint(-1j * y))

    def normal(x: Tensor) -> Tensor:
        return adjoint(operator.forward(x.real.contiguous()) + 1j * operator.forward(x.imag.contiguous()))

    left = adjoint(data)
    damping = _DAMPING * float(torch.as_tensor(operator.trace(*left.shape[1:])).double().mean()) / left[0].numel()
    image, direction = torch.zeros_like(left), left.clone()
    size = left.abs().square().sum(dim=(1, 2), keepdim=True)
    for _ in range(_STEPS):
        product = normal(direction) + damping * direction
        length = size / (direction.conj() * product).real.sum(dim=(1, 2), keepdim=True).clamp(min=1e-30)
        image, left = image + length * direction, left - length * product
        former, size = size, left.abs().square().sum(dim=(1, 2), keepdim=True)
        direction = left + size / former.clamp(min=1e-30) * direction
    return image


def misfit(kspace: AnyKSpace, name: str) -> float:
    """Return what the best real image leaves of each real number that is measured beyond image and phase.

    These are taken as a quarter of all at least, for few data are fitted too well to say how uncertain they are.

    Parameters
    ----------
    kspace
        With its maps.
    name
        The modality, for messages.
    """
    operator, data = kspace.measurement(name)
    count = operator.measurements(*kspace.maps.shape[-2:])
    beyond = count - 2 * kspace.maps.shape[-2] * kspace.maps.shape[-1]
    return residual(operator, data) / float(np.sqrt(len(data) * max(beyond, count / 4)))
