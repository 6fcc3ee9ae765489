"""How much an operator measures, against the operator written out as a matrix."""

import pytest
import torch

from a2a.forward.operators import CartesianSense, Identity, Missing
from a2a.forward.undersampling import Undersampling

MASKS = {
    "equispaced": Undersampling(coils=3).operator(8, 4),
    "offset": Undersampling(coils=3, offset=1).operator(8, 4),
    "calibrated": Undersampling(coils=3, acs=3).operator(8, 4),
    "2-D": CartesianSense(
        torch.rand(8, 4, generator=torch.Generator().manual_seed(0)) > 0.5, Undersampling(coils=2).operator(8, 4).maps
    ),
}


@pytest.mark.parametrize("operator", [Identity(), Missing(), *MASKS.values()], ids=["clean", "missing", *MASKS])
def test_numbers_and_trace_are_those_of_the_matrix(operator):
    basis = torch.eye(32, dtype=torch.float64).reshape(32, 8, 4)
    normal = operator.normal(basis).reshape(32, 32)
    data = operator.forward(torch.rand(50, 8, 4, dtype=torch.float64) + 0.1)
    real = torch.view_as_real(data) if data.is_complex() else data
    assert operator.trace(8, 4) == pytest.approx(float(normal.trace()), rel=1e-6)
    assert operator.measurements(8, 4) == int((real != 0).any(dim=0).sum())
