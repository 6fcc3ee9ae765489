"""Operators of single items of a batch: what each one does alone, in any part of the batch."""

import pytest
import torch

from a2a.common.errors import InputError
from a2a.common.rng import generator
from a2a.forward.masks import equispaced_mask, poisson_mask
from a2a.forward.measured import KSpace
from a2a.forward.observation import Observation
from a2a.forward.operators import CartesianSense, PerItem
from a2a.forward.stack import StackSpec
from a2a.forward.undersampling import birdcage_maps
from a2a.samplers.prior_weight import residual_variance

MASKS = {"exact": equispaced_mask(8, 2, acs=4), "conjugate gradients": poisson_mask((8, 8), 2)}
MAPS = torch.stack([birdcage_maps(4, 8, 8, radius) * scale for radius, scale in ((1.5, 1.0), (2.0, 0.5), (1.2, 1.5))])


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


@pytest.fixture(params=MASKS)
def operator(request) -> PerItem:
    return PerItem(tuple(CartesianSense(MASKS[request.param], maps) for maps in MAPS))


def test_every_item_is_measured_by_its_own_operator(operator):
    x, z, lam = random(3, 8, 8), random(3, 8, 8, seed=1), torch.tensor([0.1, 0.5, 2.0])[:, None, None]
    y = operator.forward(x)
    b, n, p, q = operator.adjoint(y), operator.normal(x), operator.prox(z, x, lam), operator.prox(z, x, 0.3)
    for i, alone in enumerate(operator.operators):
        one = slice(i, i + 1)
        assert torch.equal(y[one], alone.forward(x[one])) and torch.equal(b[one], alone.adjoint(y[one]))
        assert torch.equal(n[one], alone.normal(x[one])) and torch.equal(q[one], alone.prox(z[one], x[one], 0.3))
        assert torch.equal(p[one], alone.prox(z[one], x[one], float(lam[i])))
        assert operator.trace(8, 8)[i] == alone.trace(8, 8) and operator.measurements(8, 8) == alone.measurements(8, 8)


def test_the_adjoint_is_the_adjoint(operator):
    x, y = random(3, 8, 8), torch.complex(random(3, 4, 8, 8, seed=2), random(3, 4, 8, 8, seed=3))
    torch.testing.assert_close((operator.forward(x).conj() * y).sum().real, (x * operator.adjoint(y)).sum())


def observation() -> Observation:
    x = torch.rand(3, 8, 8, generator=generator(5))
    y = torch.cat([CartesianSense(MASKS["exact"], m).forward(x[i : i + 1]) for i, m in enumerate(MAPS)])
    kspace = KSpace(y, MASKS["exact"], MAPS, 0.01)
    return Observation.build(StackSpec.of("T1", "T2"), {"T1": x}, {"T2": kspace})


def test_parts_and_repetitions_of_an_observation_keep_their_operators():
    whole = observation()
    assert torch.equal(whole[1:].adjoint, whole.adjoint[1:])
    assert torch.equal(whole.repeat(2)[2:5].adjoint, whole.repeat(2).adjoint[2:5])
    guess = torch.rand(3, 2, 8, 8, generator=generator(6))
    residual = whole.residual_norm2(guess)
    assert torch.equal(whole[2:].residual_norm2(guess[2:]), residual[2:])
    assert torch.equal(residual_variance(whole[2:], residual[2:]), residual_variance(whole, residual)[2:])


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (MAPS[:2], r"expected complex \(2, 4, 8, 8\) to fit its maps"),
        (MAPS[:, :3], r"expected complex \(3, 3, 8, 8\) to fit its maps"),
        (MAPS[:0], "same mask and number of coils"),
    ],
)
def test_maps_of_other_slices_or_coils_are_refused(maps, message):
    data = torch.zeros(3, 4, 8, 8, dtype=torch.complex64)
    with pytest.raises(InputError, match=message):
        KSpace(data, MASKS["exact"], maps, 0.0).measurement("T2")


def test_operators_that_differ_and_batches_of_another_length_are_refused(operator):
    with pytest.raises(InputError, match="only maps may differ"):
        PerItem((CartesianSense(MASKS["exact"], MAPS[0]), CartesianSense(equispaced_mask(8, 4), MAPS[1])))
    with pytest.raises(InputError, match="A batch of 2 does not fit operators of 3 items"):
        operator.forward(random(2, 8, 8))
