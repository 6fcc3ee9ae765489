"""Conjugate gradients for a batch of independent real systems."""

from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class CGResult:
    """Solution of `cg`, and for each system how it ended.

    Parameters
    ----------
    x
        Solutions ``(B, H, W)``.
    residual
        ``||rhs - A x|| / max(||rhs||, ||first residual||)``, ``(B,)``, float64, as the recursion tracks it.
    iterations
        Iterations that each system took, ``(B,)``.
    converged
        Whether each residual reached the tolerance, ``(B,)``.
    """

    x: torch.Tensor
    residual: torch.Tensor
    iterations: torch.Tensor
    converged: torch.Tensor


def dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Inner product of each image of the batch, in float64."""
    return (a.double() * b.double()).sum(dim=(-2, -1))


def cg(
    apply: Callable[[torch.Tensor], torch.Tensor],
    rhs: torch.Tensor,
    start: torch.Tensor,
    tolerance: float,
    iterations: int,
    precondition: Callable[[torch.Tensor], torch.Tensor] | None = None,
    residual: torch.Tensor | None = None,
) -> CGResult:
    """Solve A x = rhs for a symmetric positive (semi-)definite A, one system for each image of the batch.

    Each system has its own step lengths and is left alone once it has converged, so no solution depends on what
    else is in the batch. A system also stops where the curvature <p, A p> is not positive, that is when rounding
    has exhausted what the arithmetic can resolve.

    Parameters
    ----------
    apply
        The map x -> A x on real images ``(B, H, W)``; must treat the images of a batch independently.
    rhs, start
        Right-hand sides and starting points, ``(B, H, W)``. Directions that A does not see keep their start value.
    tolerance
        A system is solved when its residual is below `tolerance` x max(||rhs||, ||first residual||).
    iterations
        Cap on the number of iterations; reaching it is reported in the result and raises nothing.
    precondition
        A symmetric positive map near the inverse of A, again of independent images; it saves iterations, and changes
        which of several solutions is found where A is singular.

    residual
        ``rhs - A start`` where that is known already.

    Returns
    -------
    CGResult

    References
    ----------
    Hestenes and Stiefel, J. Res. Nat. Bur. Stand. 49 (1952). Chapter "The formulation".
    """
    x, r = start, rhs - apply(start) if residual is None else residual
    rr, p, size = dot(r, r), torch.zeros_like(r), torch.tensor(torch.inf)
    scale = torch.maximum(dot(rhs, rhs), rr)
    goal = tolerance**2 * scale
    count = torch.zeros_like(rr, dtype=torch.long)
    alive = rr > goal
    for _ in range(iterations):
        if not bool(alive.any()):
            break
        near = r if precondition is None else precondition(r)
        former, size = size, dot(r, near)
        p = near + torch.where(alive, size / former, 0.0).to(x.dtype)[:, None, None] * p
        q = apply(p)
        curvature = dot(p, q)
        alive = alive & (curvature > 0)
        step = torch.where(alive, size / curvature, 0.0).to(x.dtype)[:, None, None]
        x, r = x + step * p, r - step * q
        rr = torch.where(alive, dot(r, r), rr)
        count = count + alive
        alive = alive & (rr > goal)
    residual = (rr / scale.clamp_min(torch.finfo(torch.float64).tiny)).sqrt()
    return CGResult(x, residual, count, rr <= goal)
