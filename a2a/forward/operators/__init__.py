"""Measurement operators A_i: identity (clean), zero (missing) and multi-coil undersampled Fourier, and their stack.

Explained in the chapter "The formulation".
"""

from a2a.forward.operators.base import DataFidelity, FidelityAt, Identity, LinearOperator, Missing
from a2a.forward.operators.fourier import fft2c, ifft2c
from a2a.forward.operators.lines import LineSense
from a2a.forward.operators.per_item import PerItem
from a2a.forward.operators.plane import PlaneSense
from a2a.forward.operators.sense import CartesianSense
from a2a.forward.operators.solvers import CGResult, cg
from a2a.forward.operators.stack import StackOperator

__all__ = [
    "CGResult",
    "CartesianSense",
    "DataFidelity",
    "FidelityAt",
    "Identity",
    "LineSense",
    "LinearOperator",
    "Missing",
    "PerItem",
    "PlaneSense",
    "StackOperator",
    "cg",
    "fft2c",
    "ifft2c",
]
