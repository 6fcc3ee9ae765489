r"""deepinv 0.5 and diffusers, the optional extra ``bench``, set up to do the same work as a2a.

Neither belongs to the project's environment. Where torch is a CPU build, a plain installation would replace it::

    uv pip install --target FOLDER --no-deps deepinv==0.5.0 einops h5py natsort diffusers==0.42.1 \
        huggingface_hub httpx2 httpcore2 truststore hf-xet anyio h11 regex
    PYTHONPATH=FOLDER python benchmarks/sampler_cost.py
"""

from collections.abc import Callable
from importlib import import_module
from types import ModuleType

import torch
from side_by_side import Laps
from torch import Tensor, nn

from a2a.common._torchvision import ensure_torchvision
from a2a.forward.observation import Observation
from a2a.forward.operators import CartesianSense
from a2a.prior.prior import Prior
from a2a.prior.schedule import NoiseSchedule


def optional(name: str) -> ModuleType | None:
    """Import a peer, or say in a sentence that its rows are left out."""
    ensure_torchvision()
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        print(f"{name} cannot be imported (no module {error.name!r}): its rows are left out; see benchmarks/peers.py.")
        return None


class SigmaDenoiser(nn.Module):
    """A noise predictor as deepinv calls it, by noise level: clean estimate of ``x = x_0 + sigma z``."""

    def __init__(self, network: nn.Module, schedule: NoiseSchedule, laps: Laps, floor: Callable[..., object]):
        super().__init__()
        abar = torch.tensor([schedule.abar(t) for t in range(schedule.length)])
        self.network, self.laps, self.floor = network, laps, floor
        self.levels = ((1 - abar) / abar).sqrt()

    def forward(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Lap, then predict."""
        level = torch.as_tensor(sigma, dtype=x.dtype).flatten()[0]
        t = int((self.levels - level).abs().argmin())
        scaled, times = x / (1 + level**2).sqrt(), torch.full((len(x),), t)
        self.laps.lap(lambda: self.floor(self.network, scaled.detach(), times))
        return x - level * self.network(scaled, times)


def multi_coil(operator: CartesianSense) -> nn.Module:
    """deepinv's physics of the same mask and coil maps, for complex images in two channels."""
    mask = operator.mask.reshape(operator.shape[0], -1).expand(operator.shape).float()
    return import_module("deepinv").physics.MultiCoilMRI(mask=mask, coil_maps=operator.maps)


def two_channels(kspace: Tensor) -> Tensor:
    """Complex ``(B, coils, H, W)`` as deepinv wants it, ``(B, 2, coils, H, W)``."""
    return torch.view_as_real(kspace).permute(0, 4, 1, 2, 3).contiguous()


def complex_residual(physics: nn.Module, z: Tensor, y: Tensor, lam: float, x: Tensor) -> float:
    """Relative residual of deepinv's normal equations (A^H A + lam) x = A^H y + lam z."""
    right = physics.A_adjoint(y) + lam * z
    return float((physics.A_adjoint_A(x) + lam * x - right).norm() / right.norm())


def fewest_iterations(physics: nn.Module, z: Tensor, y: Tensor, lam: float, goal: float) -> tuple[int, float]:
    """Conjugate-gradient iterations with which deepinv's ``prox_l2`` meets a residual, and the residual met."""
    for iterations in range(1, 400):
        x = physics.prox_l2(z, y, 1 / lam, solver="CG", max_iter=iterations, tol=1e-12)
        met = complex_residual(physics, z, y, lam, x)
        if met <= goal:
            break
    return iterations, met


def peer_steps(deepinv: ModuleType, algorithm: str, prior: Prior, given: Observation, floor: Callable) -> Callable:
    """The same for an algorithm of deepinv."""
    operator, y = given.operator.blocks[1], two_channels(given.data[1])
    physics = multi_coil(operator)

    def run(laps: Laps, steps: int) -> None:
        model = SigmaDenoiser(prior.network, prior.schedule, laps, floor)
        if algorithm == "DPS":
            sampling = deepinv.sampling.DPS(denoiser=model, num_steps=steps + 1, dtype=torch.float32)
        else:
            fidelity = deepinv.optim.data_fidelity.L2()
            sampling = deepinv.sampling.DiffPIR(model, fidelity, sigma=0.01, max_iter=steps + 1)
        sampling(y, physics, seed=1)
        laps.drop()

    return run
