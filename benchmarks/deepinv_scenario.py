"""One scenario of a2a as a benchmark of deepinv: its physics, its data set and its metrics, for any model of either.

The scenario names images that are given and one modality that is measured, such as ``T1 + y(T2FLAIR)``. To deepinv that
modality is the unknown ``x`` ``(B, 1, H, W)``, its data are ``y``, and the images come along as the parameter
``given``, which deepinv keeps at the physics: its own algorithms leave them aside, `Completer` uses them. From the root
of a clone, with the extra ``bench`` (see ``benchmarks/peers.py`` for an installation that leaves PyTorch as it is)::

    python benchmarks/deepinv_scenario.py --data runs/data/phantom-any2all-64-ci

prints PSNR and SSIM, as deepinv computes them, of Any2all and of the least-squares image.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from a2a import Observation, load_prior
from a2a.common._torchvision import ensure_torchvision
from a2a.common.errors import InputError
from a2a.common.rng import spawn
from a2a.data.store.read import SliceStore
from a2a.forward.measured import Measured
from a2a.methods.interface import Any2all, Method

ensure_torchvision()

from deepinv import test  # noqa: E402 - torchvision, which it imports, may need the line above
from deepinv.datasets import ImageDataset  # noqa: E402
from deepinv.loss.metric import PSNR, SSIM  # noqa: E402
from deepinv.models import Reconstructor  # noqa: E402
from deepinv.physics import GaussianNoise, LinearPhysics  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402


def as_reals(data: Tensor) -> Tensor:
    """Complex data ``(B, ...)`` as deepinv has them, ``(B, 2, ...)``; real data as they are."""
    return torch.view_as_real(data).movedim(-1, 1).contiguous() if data.is_complex() else data


def as_data(reals: Tensor, like: Tensor) -> Tensor:
    """What `as_reals` was given, complex where the data `like` are."""
    return torch.view_as_complex(reals.movedim(1, -1).contiguous()) if like.is_complex() else reals


class ModalityPhysics(LinearPhysics):
    """The operator of the one measured modality of an observation, as physics of deepinv.

    Parameters
    ----------
    observed
        One modality is measured, the others are clean or missing; made alike for all items.

    Raises
    ------
    InputError
        If no modality is measured, or several.
    """

    def __init__(self, observed: Observation):
        measured = [index for index, kind in enumerate(observed.kinds) if kind == "measured"]
        if len(measured) != 1:
            raise InputError(f"{observed.scenario}: a physics of deepinv needs exactly one measured modality.")
        (self.index,) = measured
        _, height, width = observed.shape
        noise = GaussianNoise(sigma=observed.noise_std[self.index])
        super().__init__(img_size=(1, height, width), noise_model=noise)
        self.operator, self.like = observed.operator.blocks[self.index], observed.data[self.index][:1]
        self.spec, self.kinds, self.noise_std = observed.spec, observed.kinds, observed.noise_std[self.index]
        self.register_buffer("given", torch.zeros(1, len(observed.spec), height, width))

    def A(self, x: Tensor, **of_the_batch: Tensor) -> Tensor:  # noqa: N802 - deepinv's names; so below
        """Data of images ``(B, 1, H, W)``; deepinv passes the parameters of the batch to every call."""
        return as_reals(self.operator.forward(x[:, 0]))

    def A_adjoint(self, y: Tensor, **of_the_batch: Tensor) -> Tensor:  # noqa: N802
        """Images ``(B, 1, H, W)`` of data."""
        return self.operator.adjoint(as_data(y, self.like))[:, None]

    def prox_l2(self, z: Tensor | float, y: Tensor, gamma: float, **of_a_solver: Any) -> Tensor:
        """argmin_x gamma/2 ||A x - y||^2 + 1/2 ||x - z||^2 by the exact solver of the operator."""
        b = self.A_adjoint(y)
        start = z if isinstance(z, Tensor) else torch.full_like(b, z)
        return self.operator.prox(start[:, 0], b[:, 0], 1 / gamma)[:, None]

    def A_dagger(self, y: Tensor, **of_a_solver: Any) -> Tensor:  # noqa: N802
        """Of all least-squares images the smallest."""
        b = self.operator.adjoint(as_data(y, self.like))
        return self.operator.prox(torch.zeros_like(b), b, 0.0)[:, None]


class Slices(ImageDataset):
    """The slices of an observation: the truth ``x`` of the measured modality, its data ``y``, and what is given.

    Parameters
    ----------
    truth
        Complete stacks ``(B, n, H, W)`` in image units.
    observed
        What was observed of them.
    physics
        Of the observation.
    """

    def __init__(self, truth: Tensor, observed: Observation, physics: ModalityPhysics):
        super().__init__(use_dict_output=True)
        clean = torch.tensor([kind == "clean" for kind in observed.kinds])[:, None, None]
        self.x, self.y = truth[:, physics.index, None], as_reals(observed.data[physics.index])
        self.given = observed.adjoint * clean

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {"x": self.x[row], "y": self.y[row], "params": {"given": self.given[row]}}


class Completer(Reconstructor):
    """A method of a2a as a model of deepinv: completes the stack, and returns the measured modality.

    Parameters
    ----------
    method
        Such as `a2a.methods.interface.Any2all`.
    samples
        The mean of how many is returned.
    seed
        Of the samples; equal for each batch.
    """

    def __init__(self, method: Method, samples: int = 1, seed: int = 0):
        super().__init__()
        self.method, self.samples, self.seed = method, samples, seed

    def forward(self, y: Tensor, physics: ModalityPhysics, **of_the_batch: Any) -> Tensor:
        """Complete the stacks of a batch."""
        names = physics.spec.names
        clean = {n: physics.given[:, i] for i, n in enumerate(names) if physics.kinds[i] == "clean"}
        measured = Measured(physics.operator, as_data(y, physics.like), physics.noise_std)
        observed = Observation.build(physics.spec, clean, {names[physics.index]: measured})
        done = self.method.complete(observed, self.samples, spawn(self.seed, range(len(y)), self.samples))
        return done.mean[:, physics.index, None]


def main() -> None:
    """Test Any2all on the slices of a store, beside the least-squares image."""
    parser = argparse.ArgumentParser(description="One scenario of a2a as a benchmark of deepinv.")
    parser.add_argument("--data", type=Path, required=True, help="slice store (a2a prepare)")
    parser.add_argument("--prior", default="phantom-any2all-64")
    parser.add_argument("--given", default="T1 + y(T2FLAIR)", help="scenario with one measured modality")
    parser.add_argument("--every", type=int, default=12, help="every n-th slice of each test subject")
    parser.add_argument("--steps", type=int, default=25, help="network evaluations of MDS")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    prior, split = load_prior(options.prior), SliceStore.open(options.data).split("test")
    rows = split.thinned(options.every)
    truth = torch.from_numpy(np.float32(split.images[rows]))
    observed = Observation.simulate(truth, options.given, prior.spec, generators=spawn(options.seed, rows.tolist()))
    physics = ModalityPhysics(observed)
    loader = DataLoader(Slices(truth, observed, physics), batch_size=8)
    model = Completer(Any2all(prior, "mds", {"steps": options.steps}), seed=options.seed)
    scores = test(model, loader, physics, [PSNR(), SSIM()], no_learning_method="A_dagger", verbose=False)
    for name, value in scores.items():
        print(f"{name}: {value:.3f}")


if __name__ == "__main__":
    main()
