"""MINet: units, loss weights."""

import pytest
import torch

from a2a.common.rng import spawn
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.minet import MINet, MINetConfig, Units
from a2a.methods.recipes import objective

SMALL = {"features": 4, "groups": 1, "blocks": 1, "reduction": 2}
RUN = {"name": "tiny", "data": "discs", "steps": 1} | SMALL
SPEC = StackSpec.of("T1", "T2FLAIR")


def test_units_bring_a_slice_to_mean_0_and_standard_deviation_1_and_back():
    image = 0.2 + 0.1 * torch.rand(3, 1, 8, 8) * torch.tensor([1.0, 2.0, 3.0])[:, None, None, None]
    units = Units.of(image, True)
    scaled = units.into(image)
    assert torch.allclose(scaled.mean(dim=(1, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(scaled.std(dim=(1, 2, 3), correction=0), torch.ones(3), atol=1e-5)
    assert torch.allclose(units.back(scaled), image, atol=1e-6)
    assert torch.equal(Units.of(image, False).into(image), image)


def test_black_slices_have_units_too():
    black = torch.zeros(2, 1, 8, 8)
    assert torch.equal(Units.of(black, True).into(black), black)


def test_normalised_answers_scale_with_data_and_shift_with_nothing_else():
    torch.manual_seed(0)
    config = MINetConfig(**RUN)
    method = MINet(MINet.build(config, SPEC, 16).eval().requires_grad_(False), config, SPEC, 16)
    zero_filled, reference = 0.2 + 0.3 * torch.rand(2, 2, 1, 16, 16)
    plain = method.reconstruct(zero_filled, reference, None, [])
    assert torch.allclose(method.reconstruct(2 * zero_filled, reference, None, []), 2 * plain, atol=1e-4)
    assert torch.allclose(method.reconstruct(zero_filled, 0.5 * reference, None, []), plain, atol=1e-4)


@pytest.mark.parametrize("normalise", [True, False])
def test_the_loss_weighs_two_absolute_errors(normalise, make_store):
    store, clean = make_store(), torch.rand(2, 3, 16, 16)

    def loss(target: float, reference: float) -> torch.Tensor:
        config = MINetConfig(**RUN, target_weight=target, reference_weight=reference, normalise=normalise)
        task = objective(config, store)
        torch.manual_seed(0)
        return task.loss("network", task.networks(), task.inputs(clean, spawn(0, 2), 0))

    assert torch.allclose(loss(0.7, 0.3), 0.7 * loss(1, 0) + 0.3 * loss(0, 1))
    assert not torch.allclose(loss(1, 0), loss(0, 1))
    assert MINetConfig(**RUN).target_weight > MINetConfig(**RUN).reference_weight
