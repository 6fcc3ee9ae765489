"""The block-diagonal operator: each modality by itself, alike ones in one solve."""

import pytest
import torch

from a2a.common.errors import InputError
from a2a.common.rng import generator
from a2a.forward.masks import equispaced_mask
from a2a.forward.operators import CartesianSense, Identity, Missing, StackOperator
from a2a.forward.undersampling import birdcage_maps

MAPS = birdcage_maps(4, 8, 8)


def fourfold():
    return CartesianSense(equispaced_mask(8, 4), MAPS.clone())


STACK = StackOperator((fourfold(), Identity(), fourfold(), Missing(), CartesianSense(equispaced_mask(8, 2), MAPS)))


def stacks(seed, batch=3, n=5):
    return torch.randn(batch, n, 8, 8, generator=generator(seed), dtype=torch.float64)


def test_equal_operators_are_grouped_and_nothing_else():
    assert STACK.groups == ((0, 2), (1,), (4,))


def test_data_of_each_modality():
    data = STACK.forward(stacks(0))
    assert [tuple(y.shape) for y in data] == [(3, 4, 8, 8), (3, 8, 8), (3, 4, 8, 8), (3, 0, 8, 8), (3, 4, 8, 8)]
    assert STACK.adjoint(data).shape == (3, 5, 8, 8)


@pytest.mark.parametrize(
    "lam",
    [0.2, torch.tensor([0.1, 0.0, 0.3, 0.4, 0.5]), torch.rand(3, 5, generator=generator(7)) + 0.1],
    ids=["one", "per modality", "per image"],
)
def test_blocks_act_each_for_itself(lam):
    x, z = stacks(0), stacks(1)
    b = STACK.adjoint(STACK.forward(x))
    normal, solved = STACK.normal(x), STACK.prox(z, b, lam)
    weights = torch.as_tensor(lam, dtype=torch.float64).expand(3, 5)
    for i, block in enumerate(STACK.blocks):
        torch.testing.assert_close(b[:, i], block.adjoint(block.forward(x[:, i])))
        torch.testing.assert_close(normal[:, i], block.normal(x[:, i]))
        torch.testing.assert_close(solved[:, i], block.prox(z[:, i], b[:, i], weights[:, i, None, None]))


def test_zero_weight_copies_clean_and_keeps_missing():
    z, b = stacks(0).float(), stacks(1).float()
    solved = STACK.prox(z, b, 0.0)
    assert torch.equal(solved[:, 1], b[:, 1]) and torch.equal(solved[:, 3], z[:, 3])


def test_everything_missing():
    nothing = StackOperator((Missing(), Missing()))
    x = stacks(0, n=2)
    data = nothing.forward(x)
    assert torch.equal(nothing.adjoint(data), torch.zeros_like(x))
    assert torch.equal(nothing.prox(x, nothing.adjoint(data), 1.0), x)


@pytest.mark.parametrize("shape", [(4,), (5, 3), (3, 5, 1), (3, 1)])
def test_weights_of_another_shape_are_refused(shape):
    with pytest.raises(InputError, match=r"expected a number, \(5,\) or \(3, 5\)"):
        STACK.prox(stacks(0), stacks(1), torch.ones(shape))


@pytest.mark.parametrize("lam", [-1.0, float("nan"), torch.tensor([1.0, 1.0, 1.0, -1.0, 1.0])])
def test_bad_weights_are_refused(lam):
    with pytest.raises(InputError, match="lam"):
        STACK.prox(stacks(0), stacks(1), lam)


def test_bad_shapes_are_refused():
    with pytest.raises(InputError, match=r"expected \(B, 5, H, W\)"):
        STACK.forward(stacks(0, n=4))
    with pytest.raises(InputError, match="3 modalities for a stack of 5"):
        STACK.adjoint(STACK.forward(stacks(0))[:3])
    with pytest.raises(InputError, match="at least one"):
        StackOperator(())
