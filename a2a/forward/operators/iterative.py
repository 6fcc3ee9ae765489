"""What follows from an operator's `forward` and `adjoint` alone: its solves, its trace, and whether the two fit."""

import warnings
from collections.abc import Callable

import torch

from a2a.forward.operators.solvers import cg

PROBES, SEED = 64, 0
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
ITERATIONS = 500

Map = Callable[[torch.Tensor], torch.Tensor]


def solved(normal: Map, rhs: torch.Tensor, lam: float | torch.Tensor) -> torch.Tensor:
    """Solve (N + lam) d = rhs for each image by conjugate gradients from zero, see `a2a.forward.operators.solvers.cg`.

    For lam = 0 and a right-hand side in the range of N it is the smallest solution.

    Parameters
    ----------
    normal
        N = Re(A^H A) of real images ``(B, H, W)``.
    rhs
        ``(B, H, W)``.
    lam
        Weight >= 0, a number or one for each image ``(B, 1, 1)``.

    Returns
    -------
    torch.Tensor
        ``(B, H, W)``, to a relative residual of 1e-5 in float32 and 1e-12 in float64; warns where that is not reached.
    """
    start = torch.zeros_like(rhs)
    done = cg(lambda d: normal(d) + lam * d, rhs, start, TOLERANCE[rhs.dtype], ITERATIONS, residual=rhs)
    if not bool(done.converged.all()):
        warnings.warn(
            f"Conjugate gradients ended at a relative residual of {float(done.residual.max()):.1e}; "
            "give the operator a `prox` of its own, or take a larger weight.",
            RuntimeWarning,
            stacklevel=3,
        )
    return done.x


def estimated_trace(normal: Map, height: int, width: int) -> float:
    """Trace of N, the mean of v^T N v over random signs v (Hutchinson 1990); a few per cent of it, always the same.

    Parameters
    ----------
    normal
        N = Re(A^H A) of real images ``(B, H, W)``.
    height, width
        Of the images.
    """
    draw = torch.Generator().manual_seed(SEED)
    signs = 2.0 * torch.randint(2, (PROBES, height, width), generator=draw) - 1
    return float((signs * normal(signs)).double().sum()) / PROBES


def adjoint_error(forward: Map, adjoint: Map, height: int, width: int) -> float:
    """Return how far an adjoint is off: ``|<A x, y> - <x, A^H y>|`` over the norms of A x and y, of random x and y.

    Rounding leaves some 1e-7 in float32.

    Parameters
    ----------
    forward, adjoint
        A, of real images ``(B, H, W)`` to data of any shape, and Re(A^H).
    height, width
        Of the images.
    """
    draw = torch.Generator().manual_seed(SEED)
    x = torch.randn(1, height, width, generator=draw)
    seen = forward(x)
    parts = torch.view_as_real(seen) if seen.is_complex() else seen
    y = torch.randn(parts.shape, generator=draw).to(parts)
    data = torch.view_as_complex(y) if seen.is_complex() else y
    size = float(parts.double().norm() * y.double().norm())
    gap = float((parts.double() * y.double()).sum() - (x.double() * adjoint(data).double()).sum())
    return abs(gap) / size if size else 0.0
