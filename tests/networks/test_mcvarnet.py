"""MC-VarNet's network: data consistency, the split of the reference, scalars, sizes."""

import pytest
import torch
from torch import Tensor, nn

from a2a.forward.operators import CartesianSense
from a2a.forward.operators.fourier import fft2c, ifft2c
from a2a.forward.operators.per_item import PerItem
from a2a.forward.undersampling import Undersampling
from a2a.networks.mcvarnet import Convolutions, MCVarNetNetwork, MCVarNetSize, PriorNet, Split, data_consistency

SIDE = 16
TINY = MCVarNetSize(features=2, iterations=4)
EIGHT_COILS = Undersampling().operator(SIDE, SIDE)
ONE_COIL = CartesianSense(Undersampling().mask(SIDE, SIDE), torch.ones(1, SIDE, SIDE, dtype=torch.complex128))


def stacks(*counts: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Random features, one stack ``(2, count, SIDE, SIDE)`` for each count."""
    torch.manual_seed(1)
    return [torch.rand(2, count, SIDE, SIDE, dtype=dtype) for count in counts]


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    "size, count", [(MCVarNetSize(), 1_387_493), (MCVarNetSize(16, 4), 348_033), (MCVarNetSize(8, 4), 87_647)]
)
def test_sizes_are_the_published_ones(size, count):
    with torch.device("meta"):
        network = MCVarNetNetwork(size)
    assert parameters(network) == pytest.approx(count, rel=0.001)


def test_every_trained_weight_has_a_say():
    torch.manual_seed(0)
    network, (b, r) = MCVarNetNetwork(TINY), stacks(1, 1)
    loss = network(b, r, EIGHT_COILS).square().sum()
    gradients = torch.autograd.grad(loss, [p for p in network.parameters() if p.requires_grad])
    assert all(torch.isfinite(g).all() and g.abs().max() > 0 for g in gradients)


def test_without_weights_the_iterations_are_gradient_steps():
    network, (x, b, r) = MCVarNetNetwork(TINY).eval(), stacks(2, 2, 2)
    for name, p in network.named_parameters():
        if "." in name:
            nn.init.zeros_(p)
    split, expected = Split(x, *[torch.zeros_like(x)] * 4), x
    for i in range(4):
        split = network.step(i, split, b, r, EIGHT_COILS)
        normal = torch.stack([EIGHT_COILS.normal(expected[:, c]) for c in range(2)], dim=1)
        expected = expected - (normal - b)
    assert torch.allclose(split.x, expected, atol=1e-6) and not torch.allclose(expected, x, atol=1e-2)


def test_the_released_prior_shrinks_an_image_even_without_weights():
    b = torch.zeros(1, 2, SIDE, SIDE)
    for residual, factor in ((False, 1.0), (True, 0.9)):
        network = MCVarNetNetwork(MCVarNetSize(2, 4, residual_prior=residual)).eval()
        for name, p in network.named_parameters():
            if "." in name:
                nn.init.zeros_(p)
        x = torch.rand(1, 2, SIDE, SIDE)
        plain = data_consistency(x, b, EIGHT_COILS)
        found = network.update_image(0, Split(x, *[torch.zeros_like(x)] * 4), b, EIGHT_COILS)
        assert torch.allclose(found - plain, (factor - 1) * x, atol=1e-6)


def test_one_coil_is_corrected_by_its_measured_samples_alone():
    x, truth = (image[:, 0] for image in stacks(1, 1, dtype=torch.float64))
    mask = ONE_COIL.mask[:, None].double()
    k = mask * fft2c(truth)
    residual = mask * fft2c(x) - k
    found = data_consistency(x[:, None], ONE_COIL.adjoint(k[:, None])[:, None], ONE_COIL)[:, 0]
    assert torch.allclose(found, x - ifft2c(mask * residual).real, atol=1e-12)


def test_one_step_restores_the_samples_of_one_coil_where_the_mask_is_symmetric():
    x, truth = (image[:, 0] for image in stacks(1, 1, dtype=torch.float64))
    mask = torch.zeros(SIDE, dtype=torch.bool)
    mask[SIDE // 2 - 3 : SIDE // 2 + 4] = True
    operator = CartesianSense(mask, ONE_COIL.maps)
    y = operator.forward(truth)
    found = data_consistency(x[:, None], operator.adjoint(y)[:, None], operator)[:, 0]
    assert torch.allclose(operator.forward(found), y, atol=1e-12)
    assert not torch.allclose(operator.forward(x), y, atol=1e-1)


def test_full_sampling_gives_the_image_whatever_the_features():
    x, truth = stacks(3, 1)
    operator = Undersampling(acceleration=1).operator(SIDE, SIDE)
    b = operator.adjoint(operator.forward(truth[:, 0]))[:, None].expand(-1, 3, -1, -1)
    assert torch.allclose(data_consistency(x, b, operator), truth.expand(-1, 3, -1, -1), atol=1e-5)


def test_maps_of_each_slice_are_used_for_that_slice():
    x, b = stacks(3, 3)
    other = CartesianSense(EIGHT_COILS.mask, EIGHT_COILS.maps.flip(0) * 0.5)
    found = data_consistency(x, b, PerItem((EIGHT_COILS, other)))
    for i, operator in enumerate((EIGHT_COILS, other)):
        assert torch.allclose(found[i], data_consistency(x[i : i + 1], b[i : i + 1], operator)[0], atol=1e-6)


def test_data_consistency_is_never_computed_in_reduced_precision():
    x, b = stacks(2, 2)
    with torch.autocast("cpu", torch.bfloat16):
        inside = data_consistency(x, b, EIGHT_COILS)
    assert torch.equal(inside, data_consistency(x, b, EIGHT_COILS))


def test_the_two_parts_make_up_the_reference_at_first():
    b, r = stacks(2, 2)
    split = MCVarNetNetwork(TINY).begin(b, r)
    assert torch.allclose(split.c + split.u, r, atol=1e-6)
    assert torch.equal(split.p, split.c) and torch.equal(split.q, split.u)


def test_the_unique_part_goes_from_the_rest_of_the_reference_to_its_prior():
    network, parts = MCVarNetNetwork(TINY), stacks(2, 2, 2, 2, 2, 2)
    split, r = Split(*parts[:5]), parts[5]
    with torch.no_grad():
        network.beta.fill_(0.0)
        assert torch.allclose(network.update_unique(0, split, r), r - split.c)
        network.beta.fill_(1e8)
        assert torch.allclose(network.update_unique(0, split, r), split.q, atol=1e-5)


def test_every_update_uses_the_old_values_of_the_others():
    network, (x, c, b, r) = MCVarNetNetwork(TINY), stacks(2, 2, 2, 2)
    old = Split(x, c, r - c, c, r - c)
    new = network.step(0, old, b, r, EIGHT_COILS)
    assert torch.equal(new.u, network.update_unique(0, old, r))
    assert not torch.allclose(new.u, network.update_unique(0, old._replace(c=new.c), r), atol=1e-4)


@pytest.mark.parametrize("trained", [True, False])
def test_scalars_are_weights_where_they_are_trained_and_kept_with_them_either_way(trained):
    network = MCVarNetNetwork(MCVarNetSize(2, 4, train_scalars=trained))
    scalars = {"mu", "lam", "gamma_x", "gamma_c", "alpha", "beta"}
    assert scalars <= set(network.state_dict())
    assert (scalars & set(dict(network.named_parameters()))) == (scalars if trained else set())


def test_the_activation_is_prelu():
    block, x = Convolutions(3, 2), torch.randn(2, 3, 8, 8)
    expected = block.convs[1](nn.functional.prelu(block.convs[0](x), block.slope))
    assert torch.allclose(block(x), expected, atol=1e-6)


@pytest.mark.parametrize("height, width", [(16, 16), (8, 20)])
def test_the_prior_keeps_the_size_and_is_the_identity_without_weights(height, width):
    x, prior = torch.rand(2, 3, height, width), PriorNet(3)
    assert prior(x).shape == x.shape and not torch.allclose(prior(x), x)
    for p in prior.parameters():
        nn.init.zeros_(p)
    assert torch.equal(prior(x), x)


def test_batch_mates_do_not_matter():
    torch.manual_seed(0)
    network, (b, r) = MCVarNetNetwork(TINY).eval(), stacks(1, 1)
    together = network(b, r, EIGHT_COILS)
    alone = torch.cat([network(b[i : i + 1], r[i : i + 1], EIGHT_COILS) for i in range(2)])
    assert torch.allclose(together, alone, atol=1e-5)
